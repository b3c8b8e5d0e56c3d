//! A tree that is ended by its own worker.

use crewlog::agent::process::{Isolation, ProgramEnd, Tree};
use rustix::process::{Signal, kill_process};

use super::kit::*;

#[tokio::test]
async fn killing_a_tree_leaves_nothing() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let word = unique();
        for (name, script, count) in escapes(&word) {
            let mut tree = Tree::spawn(command(&script, "t-kill", isolation))
                .await
                .expect("tree");
            await_sleepers(name, &word, count);
            let ended = tree.kill().await;
            assert_eq!(ended.left, 0, "{name} {isolation:?}");
            assert_eq!(with_word(&word), Vec::<u32>::new(), "{name} {isolation:?}");
            assert_eq!(tree.kill().await, ended, "killing again changes nothing");
        }
    }
}

#[tokio::test]
async fn dropping_a_tree_ends_it() {
    let word = unique();
    let tree = Tree::spawn(command(&format!("sleep {word}"), "t-drop", Isolation::Auto))
        .await
        .expect("tree");
    until("the sleeper", || sleepers(&word) == 1);
    drop(tree);
    until("the end", || with_word(&word).is_empty());
}

#[tokio::test]
async fn a_program_that_ends_takes_its_children_along() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let word = unique();
        let script = format!("env -i setsid sleep {word} & exit 7");
        let mut tree = Tree::spawn(command(&script, "t-exit", isolation))
            .await
            .expect("tree");
        let ended = tree.wait().await;
        assert_eq!((ended.end, ended.left), (ProgramEnd::Exited(7), 0));
        assert_eq!(with_word(&word), Vec::<u32>::new(), "{isolation:?}");
    }
}

#[tokio::test]
async fn a_stopped_guard_does_not_stop_the_end() {
    for isolation in [Isolation::Auto, Isolation::Subreaper] {
        let word = unique();
        let script = format!("setsid sleep {word} & exec sleep {word}");
        let mut tree = Tree::spawn(command(&script, "t-stop", isolation))
            .await
            .expect("tree");
        until("the sleepers", || sleepers(&word) == 2);
        let guard = pid_of(&tree.guard_pid().expect("guard").to_string());
        kill_process(guard, Signal::STOP).expect("stop");
        assert_eq!(tree.kill().await.left, 0);
        assert_eq!(with_word(&word), Vec::<u32>::new());
    }
}
