//! What git prints. The first byte chooses the answer; paths in it are the fuzzer's.

use crewlog::model::ids::CommitId;
use crewlog::workspace::Version;
use crewlog::workspace::parse::{
    CommitObjects, Fields, RawEntries, merge_tree, numstat, unborn_repository, unmerged,
};

use super::take::Take;

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    match take.byte() % 6 {
        0 => raw(take),
        1 => commit(take),
        2 => conflicts(take),
        3 => statistics(take),
        4 => anything(take.0),
        _ => words(&String::from_utf8_lossy(take.0)),
    }
}

/// Paths as git may print them: not empty, without NUL.
fn paths<'a>(take: &mut Take<'a>) -> Vec<&'a [u8]> {
    let paths = take.0.split(|byte| *byte == 0);
    paths.filter(|path| !path.is_empty()).collect()
}

/// Every path comes back, whatever it looks like, in pieces of any size.
fn raw(mut take: Take<'_>) {
    let size = usize::from(take.byte()) + 1;
    let paths = paths(&mut take);
    let mut stream = Vec::new();
    for (at, path) in paths.iter().enumerate() {
        let mode = ["100644", "160000"][at % 2];
        stream.extend(format!(":000000 {mode} {ID} {ID} A\0").bytes());
        stream.extend_from_slice(path);
        stream.push(0);
    }
    let (mut fields, mut entries, mut found) = (Fields::default(), RawEntries::default(), vec![]);
    for piece in stream.chunks(size) {
        fields.feed(piece, &mut |field| found.extend(entries.field(field)));
    }
    assert_eq!(found.len(), paths.len());
    for (at, (entry, path)) in found.iter().zip(&paths).enumerate() {
        assert_eq!((&entry.path[..], entry.id.as_str()), (*path, ID));
        assert_eq!(entry.mode == "160000", at % 2 == 1);
    }
}

/// Of a commit, only names of objects are handed on, and none that a path made up.
fn commit(mut take: Take<'_>) {
    let size = usize::from(take.byte()) + 1;
    let separator = [b'\n', 0][size % 2];
    let mut stream = format!("{ID} {ID}").into_bytes();
    stream.push(separator);
    let paths = paths(&mut take);
    for path in &paths {
        stream.extend(format!(":000000 100644 {ID} {ID} A\0").bytes());
        stream.extend_from_slice(path);
        stream.push(0);
    }
    stream.push(0);
    let (mut objects, mut found) = (CommitObjects::default(), Vec::new());
    for piece in stream.chunks(size) {
        objects.feed(piece, &mut |id: CommitId| found.push(id));
    }
    assert_eq!(objects.parents(), Some(ID));
    assert_eq!(found.len(), paths.len() + 1);
    assert!(found.iter().all(|id| id.as_str() == ID));
}

fn conflicts(mut take: Take<'_>) {
    let paths = paths(&mut take);
    let mut answer = format!("{ID}\0").into_bytes();
    let mut listed = Vec::new();
    for path in &paths {
        answer.extend_from_slice(path);
        answer.push(0);
        for stage in 1..=3 {
            listed.extend(format!("100644 {ID} {stage}\t").bytes());
            listed.extend_from_slice(path);
            listed.push(0);
        }
    }
    answer.extend_from_slice(b"\x001\0x\0CONFLICT (content): Merge conflict in x\n\0");
    let mut wanted: Vec<String> = paths
        .iter()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect();
    wanted.dedup();
    wanted.truncate(200);
    let merged = merge_tree(&answer);
    assert_eq!(merged.tree.map(|id| id.to_string()).as_deref(), Some(ID));
    assert_eq!(merged.files, wanted);
    assert_eq!(merged.detail, "CONFLICT (content): Merge conflict in x");
    assert_eq!(unmerged(&listed), wanted);
}

fn statistics(mut take: Take<'_>) {
    let (added, deleted) = (take.short(), take.short());
    let field = [format!("{added}\t{deleted}\t").as_bytes(), take.0].concat();
    let wanted = (u64::from(added), u64::from(deleted), take.0);
    assert_eq!(numstat(&field), Some(wanted));
    let binary = [b"-\t-\t", take.0].concat();
    assert_eq!(numstat(&binary), Some((0, 0, take.0)));
}

/// No answer upsets a reader.
fn anything(bytes: &[u8]) {
    let (mut entries, mut objects, mut found) =
        (RawEntries::default(), CommitObjects::default(), 0);
    Fields::default().feed(bytes, &mut |field| {
        numstat(field);
        entries.field(field);
    });
    objects.feed(bytes, &mut |id| found += usize::from(!id.is_none()));
    assert!(found <= bytes.len() / 40);
    let merged = merge_tree(bytes);
    assert!(merged.files.len() <= 200 && merged.detail.chars().count() <= 1_003);
    assert!(unmerged(bytes).len() <= 200);
}

fn words(text: &str) {
    if let Some(path) = unborn_repository(text) {
        let path = std::path::Path::new(&path);
        let inside = |part| matches!(part, std::path::Component::Normal(_));
        assert!(path.components().all(inside), "{path:?} leads out");
    }
    if let Some(version) = Version::parse(text) {
        assert_eq!(
            Version::parse(&format!("git version {version}.windows.1")),
            Some(version)
        );
    }
}
