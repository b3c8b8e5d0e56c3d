use super::*;

#[test]
fn a_cage_passes_through_a_file_unchanged() {
    let cage = Cage {
        places: vec![Place::new("/a b/ü", Access::Write)],
        tmp: "/t".into(),
        ..Cage::default()
    };
    let file = cage.to_file().expect("a file");
    let again = file.try_clone().expect("the same file");
    assert_eq!(Cage::from_file(file).expect("read"), cage);
    assert_eq!(Cage::from_file(again).expect("read twice"), cage);
}

#[test]
fn the_deeper_and_the_later_place_decides() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path().canonicalize().expect("a path");
    std::fs::create_dir_all(root.join("a/b")).expect("made");
    std::os::unix::fs::symlink(root.join("a"), root.join("link")).expect("linked");
    let cage = Cage {
        places: vec![
            Place::new(root.join("link/b"), Access::Hide),
            Place::new(root.join("a"), Access::Hide),
            Place::new(root.join("a/b"), Access::Write),
            Place::new(root.join("missing"), Access::Write),
        ],
        ..Cage::default()
    };
    let resolved = cage.resolve();
    let seen: Vec<_> = resolved
        .iter()
        .map(|one| (one.path.clone(), one.access))
        .collect();
    let expected = [
        (root.join("a"), Access::Hide),
        (root.join("a/b"), Access::Write),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn limits_are_told_in_people_s_units_with_their_key() {
    let gib = Exceeded::Memory(12 << 30).to_string();
    assert_eq!(
        gib,
        "its processes used more than 12 GiB of memory (`cage.memory`)"
    );
    let mib = Exceeded::Memory(300 << 20).to_string();
    assert!(mib.contains("300 MiB"), "{mib}");
    let processes = Exceeded::Processes(4096).to_string();
    assert!(processes.contains("4096") && processes.contains("cage.processes"));
}
