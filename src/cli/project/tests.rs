use super::*;

fn location(git_dir: &str, common: &str, top: Option<&str>) -> Location {
    Location {
        git_dir: git_dir.into(),
        common_dir: common.into(),
        top: top.map(PathBuf::from),
    }
}

#[test]
fn every_working_tree_and_directory_has_a_name_of_its_own() {
    let main = location("/r/.git", "/r/.git", Some("/r"));
    let bare = location("/r.git", "/r.git", None);
    let linked = location("/r/.git/worktrees/x", "/r/.git", Some("/w"));
    let odd = location("/r/.git/worktrees/a b", "/r/.git", Some("/w"));
    let table = [
        ("/r", &main, "main"),
        ("/r/sub", &main, "main+sub-"),
        ("/r/sub/b", &main, "main+sub-b-"),
        ("/r/sub-b", &main, "main+sub-b-"),
        ("/r.git", &bare, "main"),
        ("/w", &linked, "worktree-x"),
        ("/w/sub", &linked, "worktree-x+sub-"),
        ("/w", &odd, "worktree-a-b-"),
    ];
    let mut names = std::collections::BTreeSet::new();
    for (root, location, begin) in table {
        let found = name(Path::new(root), location);
        assert!(found.starts_with(begin), "{root}: {found}");
        assert!(found.len() < 200 && !found.contains('/'), "{found}");
        names.insert(found);
    }
    assert_eq!(
        names.len(),
        table.len() - 1,
        "only the bare one shares one: {names:?}"
    );
    // A repository that was moved is what it was.
    let moved = location("/m/.git", "/m/.git", Some("/m"));
    assert_eq!(
        name(Path::new("/m/sub"), &moved),
        name(Path::new("/r/sub"), &main)
    );
}

#[test]
fn long_names_fit_into_a_file_name() {
    let long = "d".repeat(255);
    let at = location(&format!("/r/.git/worktrees/{long}"), "/r/.git", Some("/w"));
    let deep = format!("/w/{long}/{long}");
    assert!(name(Path::new(&deep), &at).len() < 200);
}
