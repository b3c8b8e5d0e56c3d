//! Recognises failures that the cage has caused, from the program's output.

use std::path::{Path, PathBuf};

use super::{Access, Cage};

/// Lines at the end of an output that are searched: the relevant one is among the last.
const LINES_MAX: usize = 200;

/// How programs report that something was refused.
const REFUSED: [&str; 6] = [
    "permission denied",
    "read-only file system",
    "operation not permitted",
    "eacces",
    "eperm",
    "erofs",
];

/// How programs report that something does not exist.
const MISSING: [&str; 4] = ["no such file", "not found", "enoent", "cannot find"];

/// One sentence that names the path and the config key if the cage caused the failure; `None` if
/// nothing shows that. Looks at the disk, because some things would be refused without a cage, too.
pub fn explain(output: &str, cage: &Cage) -> Option<String> {
    explain_with(output, cage, &may_write, &|path| path.exists())
}

fn explain_with(
    output: &str,
    cage: &Cage,
    may_write: &dyn Fn(&Path) -> bool,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<String> {
    let lines: Vec<&str> = output.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LINES_MAX)..)?;
    for line in last.iter().rev() {
        let lower = line.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let refused = says(&REFUSED);
        if !refused && !says(&MISSING) {
            continue;
        }
        for path in paths(line) {
            let access = access(cage, &path);
            if access == Access::Hide && exists(&path) {
                return Some(format!(
                    "the cage hides {0}; show it with cage.read = [\"{0}\"] in .crewlog/config.toml",
                    path.display()
                ));
            }
            if refused && access == Access::Read && may_write(&path) {
                return Some(format!(
                    "the cage does not allow writing to {0}; allow it with cage.write = [\"{0}\"] in .crewlog/config.toml",
                    path.display()
                ));
            }
        }
    }
    None
}

/// What the cage allows for a path.
fn access(cage: &Cage, path: &Path) -> Access {
    let mut found = (0, Access::Read);
    let own = ["/tmp", "/var/tmp", "/dev", "/proc"];
    if own.iter().any(|own| path.starts_with(own)) {
        found = (1, Access::Write);
    }
    for place in &cage.places {
        let depth = place.path.components().count();
        if path.starts_with(&place.path) && depth >= found.0 {
            found = (depth, place.access);
        }
    }
    found.1
}

/// The absolute paths in a line, as programs quote them.
fn paths(line: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let ends = |c: char| c.is_whitespace() || "'\"`():,;[]<>‘’".contains(c);
    for word in line.split(ends) {
        // `--out=/path`
        if let Some(at) = word.find('/')
            && (at == 0 || word.get(..at).is_some_and(|before| before.ends_with('=')))
        {
            let path = word.get(at..).unwrap_or_default().trim_end_matches('.');
            if path.len() > 1 {
                found.push(PathBuf::from(path));
            }
        }
    }
    found
}

/// Whether the person could write there: the path itself, or the nearest directory above it.
fn may_write(path: &Path) -> bool {
    let there = path.ancestors().find(|path| path.exists());
    there.is_some_and(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    fn told(output: &str) -> Option<String> {
        let cage = Cage {
            places: vec![
                Place::new("/home/u/.ssh", Access::Hide),
                Place::new("/home/u/project", Access::Hide),
                Place::new("/home/u/project/a1", Access::Write),
                Place::new("/home/u/.cargo", Access::Cache),
            ],
            ..Cage::default()
        };
        let ours = |path: &Path| path.starts_with("/home/u");
        explain_with(output, &cage, &ours, &ours)
    }

    #[test]
    fn the_path_and_the_key_are_named() {
        let write = "the cage does not allow writing to /home/u/.bashrc; allow it with cage.write = [\"/home/u/.bashrc\"] in .crewlog/config.toml";
        for line in [
            "sh: 1: cannot create /home/u/.bashrc: Permission denied",
            "PermissionError: [Errno 13] Permission denied: '/home/u/.bashrc'",
            "Error: EROFS: read-only file system, open '/home/u/.bashrc'",
            "touch: cannot touch ‘/home/u/.bashrc’: Read-only file system",
            "error\nopen --out=/home/u/.bashrc: Operation not permitted.\nmake: *** failed",
        ] {
            assert_eq!(told(line).as_deref(), Some(write), "{line}");
        }
        let hidden = told("cat: /home/u/.ssh/id_ed25519: No such file or directory");
        assert!(
            hidden
                .expect("told")
                .contains("cage.read = [\"/home/u/.ssh/id_ed25519\"]")
        );
    }

    #[test]
    fn what_the_cage_has_not_caused_is_not_laid_to_it() {
        for line in [
            "",
            "all is well in /home/u/.bashrc",
            "cannot open /etc/shadow: Permission denied",
            "mkdir: /home/u/project/a1/x: Permission denied",
            "/home/u/.cargo/registry: Permission denied",
            "cat: /home/u/missing.txt: No such file or directory",
            "/tmp/x: Permission denied",
            "permission denied",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }
}
