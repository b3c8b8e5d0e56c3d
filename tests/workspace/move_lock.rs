//! A git that lives longer than whoever asked it to move the branch.

use std::fs;

use crewlog::workspace::{Advance, Error};

use crate::fixture::{BRANCH, Fixture, commit, run, write, write_script};

/// Replaces the fixture's git by one that fails at moving the branch, and does it nevertheless when
/// somebody opens `late`.
fn delay_moves(fixture: &Fixture) {
    let script = fs::read_to_string(&fixture.git).expect("the script");
    let top = fixture.top();
    let made = std::process::Command::new("mkfifo")
        .arg(top.join("late"))
        .status();
    assert!(made.expect("mkfifo").success());
    // All but its standard input is closed, as if its caller had been killed.
    let late = format!(
        "#!/bin/sh\ncase \"$*\" in *' update-ref --no-deref '*)\n\
         exec 3<&0 >/dev/null 2>&1\n\
         setsid sh -c 'read go <\"$0\"; exec git \"$@\"' '{}' \"$@\" <&3 3<&- &\n\
         exit 128;;\nesac\n",
        top.join("late").display()
    );
    let script = script.replacen("#!/bin/sh\n", &late, 1);
    write_script(&fixture.git, &script);
}

#[test]
fn nobody_says_where_the_branch_is_while_a_git_is_on_its_way_to_move_it() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let mut worktree = fixture.worktree(&repository, 1).await;
        write(worktree.path(), "work", "w");
        let done = commit(&mut worktree).await.commit;
        let rested = repository.head_at_rest(BRANCH).await;
        assert_eq!(rested.expect("nobody moves it"), head);
        let script = fs::read_to_string(&fixture.git).expect("the script");
        delay_moves(&fixture);
        let failed = repository.advance(BRANCH, &head, &done, "x").await;
        assert!(matches!(failed, Err(Error::Failed { .. })), "{failed:?}");
        // The branch has not moved, but it is going to.
        assert_eq!(repository.head(BRANCH).await.expect("a head"), head);
        write_script(&fixture.git, &script);
        let busy = repository.head_at_rest(BRANCH).await;
        let said = busy.expect_err("not known").to_string();
        assert!(
            said.contains("fuser ") && said.contains("branch.flock"),
            "{said}"
        );
        let moved = repository.advance(BRANCH, &head, &done, "x").await;
        assert!(matches!(moved, Err(Error::BranchBusy { .. })), "{moved:?}");
        // It comes to its end.
        fs::write(fixture.top().join("late"), "go\n").expect("it is read");
        let rested = loop {
            match repository.head_at_rest(BRANCH).await {
                Err(Error::BranchBusy { .. }) => {}
                rested => break rested,
            }
        };
        assert_eq!(rested.expect("a head"), done);
        let moved = repository.advance(BRANCH, &head, &done, "x").await;
        assert_eq!(moved.expect("it is there"), Advance::Moved);
    });
}
