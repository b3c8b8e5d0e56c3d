use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;

use super::*;

/// Every file below `dir`, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut dirs, mut found) = (vec![dir.to_owned()], BTreeMap::new());
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(&at).expect("readable").flatten() {
            let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(dir).expect("below").to_owned();
                found.insert(name, fs::read(path).expect("readable"));
            }
        }
    }
    found
}

/// Where the data was, where it belongs, and what is in it.
fn world(top: &Path) -> (PathBuf, PathBuf, BTreeMap<PathBuf, Vec<u8>>) {
    let (old, new) = (top.join(".crewlog/data"), top.join(".git/crewlog/main"));
    for (name, text) in [
        ("log/sled/db", "events"),
        ("log/head", "head"),
        ("log/content/ab/cd", "long"),
        ("snapshots/1.snapshot", "state"),
        ("spool/7.json", "result"),
        ("workers.log", ""),
    ] {
        let path = old.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    }
    fs::create_dir_all(top.join(".git")).expect("a directory");
    let _socket = UnixListener::bind(old.join("socket")).expect("a socket");
    let before = files(&old);
    (old, new, before)
}

type Carry = fn(&Path, &Path, Step<'_>) -> io::Result<()>;

/// Takes `steps` steps, and dies; whether it died before the end.
fn die_after(steps: usize, old: &Path, new: &Path, carry: Carry) -> bool {
    let mut left = steps;
    let died = go_on(old, new, carry, &mut |_| match left {
        0 => Err(io::Error::other("killed")),
        _ => {
            left -= 1;
            Ok(())
        }
    });
    died.is_err()
}

#[test]
fn a_move_that_dies_at_any_step_is_finished_by_the_next() {
    for (what, carry) in [("rename", carry as Carry), ("copy", copy as Carry)] {
        let mut points = 0;
        for steps in 0.. {
            let dir = tempfile::tempdir().expect("a directory");
            let (old, new, before) = world(dir.path());
            if !die_after(steps, &old, &new, carry) {
                assert_eq!(files(&new), before);
                break;
            }
            points += 1;
            // At every moment one of the two places has all of it.
            let whole = |place: &Path| {
                place.is_dir() && {
                    let mut found = files(place);
                    found.remove(Path::new(COPIED));
                    found == before
                }
            };
            assert!(whole(&new) || whole(&old), "{what} {steps}");
            // Those that continue die, too.
            for again in 0..2 {
                die_after(again, &old, &new, carry);
                assert!(whole(&new) || whole(&old), "{what} {steps} {again}");
            }
            assert!(go_on(&old, &new, carry, &mut |_| Ok(())).expect("moved"));
            assert_eq!(files(&new), before, "{what} {steps}");
            let left: Vec<_> = fs::read_dir(dir.path().join(".crewlog"))
                .expect("readable")
                .collect();
            assert!(left.is_empty(), "{what} {steps}: {left:?}");
            let places = fs::read_dir(dir.path().join(".git/crewlog")).expect("readable");
            assert_eq!(places.count(), 1, "{what} {steps}");
        }
        let least = if what == "copy" { 12 } else { 4 };
        assert!(points >= least, "{what}: {points}");
    }
}

#[test]
fn originals_that_were_written_to_are_not_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (old, new, _) = world(dir.path());
    let mut seen = false;
    let died = go_on(&old, &new, copy, &mut |step| match step {
        "put the originals aside" => {
            seen = true;
            Err(io::Error::other("killed"))
        }
        _ => Ok(()),
    });
    assert!(died.is_err() && seen);
    fs::write(old.join("log/sled/db"), "events and more").expect("a file");
    let one = go_on(&old, &new, copy, &mut |_| Ok(())).expect("a look");
    assert!(!one, "two logs are two logs");
    assert!(old.join("log/sled/db").exists() && new.join("log/sled/db").exists());
}
