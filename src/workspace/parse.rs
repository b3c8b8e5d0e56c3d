//! Parses git's output, without I/O. Agents choose the names of files, so a path may contain
//! anything except NUL, even text that looks like a line of git's. Fields are identified by their
//! position, never by their look.

use super::git::shorten;
use crate::model::ids::CommitId;

/// A conflict in more files than this is no longer listed file by file.
const CONFLICTS_MAX: usize = 200;

/// Cuts a stream into its NUL-terminated fields. A field is a path and a few words.
#[derive(Debug, Default)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// Takes the next bytes of the stream and passes on the fields that they complete.
    pub fn feed(&mut self, bytes: &[u8], each: &mut (dyn FnMut(&[u8]) + Send)) {
        let mut parts = bytes.split(|byte| *byte == 0);
        let first = parts.next().unwrap_or_default();
        self.0.extend_from_slice(first);
        for part in parts {
            each(&self.0);
            self.0.clear();
            self.0.extend_from_slice(part);
        }
    }
}

/// One file of `diff-tree --raw`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    /// The new mode: `100644`, `120000`, `160000`, ...; `000000` if there is none.
    pub mode: String,
    /// The old mode.
    pub old_mode: String,
    /// The id of its contents; zeros if there are none.
    pub id: CommitId,
    /// Its path, as git has it.
    pub path: Vec<u8>,
}

/// Parses the fields of `diff-tree --raw -z --no-abbrev --no-renames`: alternately `:MODE MODE ID
/// ID STATUS` and the path.
#[derive(Debug, Default)]
pub struct RawEntries {
    header: Option<RawEntry>,
}

impl RawEntries {
    /// Takes a field; returns the entry that it completes. An invalid header is skipped.
    pub fn field(&mut self, field: &[u8]) -> Option<RawEntry> {
        if let Some(entry) = self.header.take() {
            let path = field.to_vec();
            return Some(RawEntry { path, ..entry });
        }
        let text = std::str::from_utf8(field).ok()?.strip_prefix(':')?;
        let words: Vec<&str> = text.split(' ').collect();
        let [old_mode, mode, _, id, _] = words[..] else {
            return None;
        };
        self.header = Some(RawEntry {
            mode: mode.to_owned(),
            old_mode: old_mode.to_owned(),
            id: id.parse().ok().filter(|id: &CommitId| !id.is_none())?,
            path: Vec::new(),
        });
        None
    }
}

/// One field of `diff-tree --numstat -z`: lines added, lines removed, and the path. A binary file's
/// numbers are dashes, and count as 0.
pub fn numstat(field: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut parts = field.splitn(3, |byte| *byte == b'\t');
    let mut number = || {
        let digits = std::str::from_utf8(parts.next()?).ok()?;
        Some(digits.parse().unwrap_or(0))
    };
    let (added, deleted) = (number()?, number()?);
    Some((added, deleted, parts.next()?))
}

/// Parses the output of `diff-tree --raw -z --pretty=format:%T %P`: a commit's header, then
/// entries.
#[derive(Debug, Default)]
pub struct CommitObjects {
    fields: Fields,
    parents: Option<String>,
    entries: RawEntries,
}

impl CommitObjects {
    /// Takes the next bytes, and passes on the name of every object in them.
    pub fn feed(&mut self, bytes: &[u8], each: &mut (dyn FnMut(CommitId) + Send)) {
        let Self {
            fields,
            parents,
            entries,
        } = self;
        fields.feed(bytes, &mut |field| {
            let mut entry = field;
            if parents.is_none() {
                // The first entry may follow the header after only a line feed.
                let end = field.iter().position(|byte| *byte == b'\n');
                let (header, rest) = field.split_at(end.unwrap_or(field.len()));
                entry = rest.get(1..).unwrap_or_default();
                let header = String::from_utf8_lossy(header);
                if let Some((tree, of)) = header.split_once(' ') {
                    tree.parse().into_iter().for_each(&mut *each);
                    *parents = Some(of.to_owned());
                }
            }
            if let Some(RawEntry { id, .. }) = entries.field(entry) {
                each(id);
            }
        });
    }

    /// The commit's parents as git names them, with spaces between; `None` if no header came.
    pub fn parents(&self) -> Option<&str> {
        self.parents.as_deref()
    }
}

/// The result of a merge in the object database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedTree {
    /// The tree, even of a merge with conflicts.
    pub tree: Option<CommitId>,
    /// The files in conflict, at most 200; bytes that are not UTF-8 are replaced.
    pub files: Vec<String>,
    /// git's message about them, shortened.
    pub detail: String,
}

/// Parses the output of `merge-tree --write-tree -z --name-only`: the tree; after a conflict the
/// files, an empty field, and then messages.
pub fn merge_tree(stdout: &[u8]) -> MergedTree {
    let text = String::from_utf8_lossy(stdout);
    let mut fields = text.split('\0');
    let tree = fields.next().unwrap_or_default().trim_end();
    let listed = fields.by_ref().take_while(|field| !field.is_empty());
    let mut files: Vec<String> = Vec::new();
    for file in listed {
        if files.len() < CONFLICTS_MAX && files.last().is_none_or(|last| last != file) {
            files.push(file.to_owned());
        }
    }
    MergedTree {
        tree: tree.parse().ok().filter(|id: &CommitId| !id.is_none()),
        files,
        detail: conflicts(fields.map(str::trim)),
    }
}

/// The files of `ls-files --unmerged -z`, at most 200: `MODE ID STAGE<tab>PATH`, up to three
/// stages of each file.
pub fn unmerged(stdout: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stdout);
    let paths = text.split('\0').filter_map(|entry| entry.split_once('\t'));
    let mut files: Vec<String> = Vec::new();
    for (_, path) in paths {
        if files.len() < CONFLICTS_MAX && files.last().is_none_or(|last| last != path) {
            files.push(path.to_owned());
        }
    }
    files
}

/// The lines about conflicts in git's output.
pub fn conflicts<'a>(messages: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<&str> = messages
        .filter(|message| message.starts_with("CONFLICT ") && message.contains(':'))
        .collect();
    shorten(&lines.join("\n"))
}

/// git refuses to add a repository without a commit and names it. `None` if it says something else,
/// or names a place outside.
pub fn unborn_repository(stderr: &str) -> Option<String> {
    let (before, _) = stderr.split_once("' does not have a commit checked out")?;
    let (_, path) = before.rsplit_once("error: '")?;
    let path = path.trim_end_matches('/');
    let mut parts = std::path::Path::new(path).components();
    let sound = parts.all(|part| matches!(part, std::path::Component::Normal(_)));
    (sound && !path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn entries(fields: &[&str]) -> Vec<(String, String)> {
        let mut entries = RawEntries::default();
        let read = fields
            .iter()
            .filter_map(|field| entries.field(field.as_bytes()));
        read.map(|entry| (entry.mode, String::from_utf8(entry.path).expect("a path")))
            .collect()
    }

    #[test]
    fn a_path_is_never_taken_for_a_header() {
        let header = format!(":000000 160000 {ID} {ID} A");
        let forged = format!(":000000 100644 {ID} {ID} A");
        let found = entries(&[&header, &forged, &header, "plain"]);
        let wanted = [
            ("160000".to_owned(), forged),
            ("160000".to_owned(), "plain".to_owned()),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn only_names_of_objects_are_handed_on() {
        let tree = ID.replace('0', "f");
        // A directory and a file named so that the path looks like an entry with a file's name.
        let forged = ":1 2 3 aa/tmp/pipe M";
        let answer = format!("{tree} {ID}\n:000000 100644 {ID} {ID} A\0{forged}\0");
        for size in [1, 7, answer.len()] {
            let (mut objects, mut found) = (CommitObjects::default(), Vec::new());
            for piece in answer.as_bytes().chunks(size) {
                objects.feed(piece, &mut |id| found.push(id.to_string()));
            }
            assert_eq!(found, [tree.as_str(), ID]);
            assert_eq!(objects.parents(), Some(ID));
        }
    }

    #[test]
    fn names_of_files_stay_as_they_are() {
        let merged = merge_tree(
            format!("{ID}\0 a\n\0 a\n\0\u{20}\0\x001\0 a\n\0CONFLICT (contents)\0CONFLICT (content): in a\n\0")
                .as_bytes(),
        );
        assert_eq!(merged.tree.map(|id| id.to_string()).as_deref(), Some(ID));
        assert_eq!(merged.files, [" a\n", " "]);
        assert_eq!(merged.detail, "CONFLICT (content): in a");
        let listed = format!("100644 {ID} 1\tx\ty\0100644 {ID} 2\tx\ty\0");
        assert_eq!(unmerged(listed.as_bytes()), ["x\ty"]);
        assert_eq!(numstat(b"1\t-\tx\ty"), Some((1, 0, &b"x\ty"[..])));
        assert_eq!(numstat(b"1\tx"), None);
    }

    #[test]
    fn a_repository_without_a_commit_is_named_unless_it_is_elsewhere() {
        let says = |path: &str| format!("error: '{path}' does not have a commit checked out\n");
        let table = [
            ("a b/", Some("a b")),
            ("../x/", None),
            ("/x", None),
            ("", None),
        ];
        for (path, wanted) in table {
            assert_eq!(unborn_repository(&says(path)).as_deref(), wanted, "{path}");
        }
        assert_eq!(unborn_repository("error: out of paper"), None);
    }
}
