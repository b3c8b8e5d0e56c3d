//! What somebody else has done to the branch: named, counted, and which merges are gone.

use std::fs;

use crewlog::model::branch::{BranchMove, NAMED_MAX};
use crewlog::model::ids::CommitId;
use crewlog::scheduler::ports::{GitBranch, Integration};
use crewlog::workspace::{Error, Repository};

use crate::fixture::{BRANCH, Fixture, run};

fn child(fixture: &Fixture, parent: &CommitId, subject: &str) -> CommitId {
    let tree = fixture.id(&format!("{parent}^{{tree}}"));
    let id = fixture.git(&[
        "commit-tree",
        "-p",
        parent.as_str(),
        "-m",
        subject,
        tree.as_str(),
    ]);
    id.trim().parse().expect("an id")
}

async fn moved(
    repository: &Repository,
    (from, to): (&CommitId, &CommitId),
    merges: &[&CommitId],
) -> BranchMove {
    let merges: Vec<CommitId> = merges.iter().map(|&it| it.clone()).collect();
    let explained = repository.explain_move(from, to, &merges).await;
    explained.expect("explained")
}

#[test]
fn added_lost_and_rewritten_commits_are_told_apart() {
    run(async {
        let fixture = Fixture::new();
        let (repository, first) = fixture.begun().await;
        let one = child(&fixture, &first, "one");
        let two = child(&fixture, &one, "two");
        let other = child(&fixture, &one, "an other two");

        let added = moved(&repository, (&one, &two), &[&one]).await;
        assert_eq!((added.added_total, added.lost_total), (1, 0));
        assert_eq!(added.added[0].commit, two);
        assert_eq!(added.added[0].subject, "two");
        assert!(!added.added[0].author.is_empty());
        assert!(added.gone.is_empty());

        let rewound = moved(&repository, (&two, &first), &[&one, &two]).await;
        assert_eq!((rewound.added_total, rewound.lost_total), (0, 2));
        assert_eq!(rewound.gone, [one.clone(), two.clone()]);

        let rewritten = moved(&repository, (&two, &other), &[&one, &two]).await;
        assert_eq!((rewritten.added_total, rewritten.lost_total), (1, 1));
        assert_eq!(rewritten.lost[0].subject, "two");
        assert_eq!(rewritten.gone, [two]);
    });
}

#[test]
fn a_recorded_head_that_git_has_forgotten_says_what_is_left() {
    run(async {
        let fixture = Fixture::new();
        let (repository, first) = fixture.begun().await;
        let one = child(&fixture, &first, "one");
        let (lost, older): (CommitId, CommitId) = (
            "12".repeat(20).parse().expect("an id"),
            "34".repeat(20).parse().expect("an id"),
        );
        let explained = moved(&repository, (&lost, &one), &[&first, &lost, &older]).await;
        assert_eq!((explained.added_total, explained.lost_total), (0, 0));
        assert_eq!(explained.gone, [lost, older]);
    });
}

#[test]
fn many_commits_are_counted_and_the_newest_are_named() {
    run(async {
        let fixture = Fixture::new();
        let (repository, first) = fixture.begun().await;
        let mut head = first.clone();
        for number in 0..NAMED_MAX + 5 {
            head = child(&fixture, &head, &format!("number {number}"));
        }
        let explained = moved(&repository, (&first, &head), &[]).await;
        assert_eq!(explained.added_total, NAMED_MAX as u64 + 5);
        assert_eq!(explained.added.len(), NAMED_MAX);
        assert_eq!(explained.added[0].commit, head);
    });
}

/// A person who has the branch checked out keeps an index and files that belong to it.
#[test]
fn nothing_is_merged_where_somebody_has_the_branch_checked_out() {
    run(async {
        let fixture = Fixture::new();
        let (repository, head) = fixture.begun().await;
        let next = child(&fixture, &head, "next");
        let git = GitBranch {
            repository: repository.clone(),
            branch: BRANCH.to_owned(),
        };
        fixture.git(&["switch", "-q", BRANCH]);
        let at = repository.checked_out(BRANCH).await.expect("an answer");
        let top = fs::canonicalize(&fixture.repo).expect("a path");
        assert_eq!(at.as_deref(), top.to_str());
        let refused = git.merge(&head, &next).await;
        assert!(
            matches!(refused, Err(Error::BranchCheckedOut { .. })),
            "{refused:?}"
        );
        assert_eq!(fixture.id(BRANCH), head);
        assert_eq!(fixture.git(&["status", "--porcelain"]), "");
        fixture.git(&["switch", "-q", "-"]);
        assert_eq!(
            repository.checked_out(BRANCH).await.expect("an answer"),
            None
        );
        let merged = git.merge(&head, &next).await.expect("merged");
        assert!(merged.merged);
    });
}
