//! Every number that should be 0 is not when it must not be.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::cli::drill::observer::Observer;
use crate::cli::drill::sandbox_repo::users_head;
use crate::cli::drill::targets::Target;
use crate::model::command::PersonCommand;
use crate::model::feature::FeatureSpec;
use crate::model::ids::{CommandId, Sequence};

/// A repository with one commit and an integration branch, and a log with two features.
struct World {
    project: Project,
    _dir: tempfile::TempDir,
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=A", "-c", "user.email=a@example.invalid"])
        .args(args)
        .output()
        .expect("git");
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("its path");
        git(&root, &["init", "-q", "-b", USERS]);
        git(&root, &["commit", "-q", "--allow-empty", "-m", "first"]);
        git(&root, &["branch", &format!("crewlog/{BRANCH}")]);
        let project = Project::at(&root);
        project.create_data().expect("its data");
        std::fs::create_dir(root.join(".crewlog")).expect("a directory");
        std::fs::write(root.join(".crewlog/.gitignore"), "*\n").expect("a file");
        std::fs::write(&project.config, "").expect("a config");
        Self { project, _dir: dir }
    }

    /// A child that another test is just starting shares the lock's file for a moment.
    async fn log(&self) -> SledLog {
        let config = Config::load(&self.project).expect("a config");
        store::hold(&self.project, &config).await.expect("the log")
    }

    async fn import(&self, names: &[&str]) {
        let spec = |name: &&str| FeatureSpec {
            name: (*name).to_owned(),
            ..FeatureSpec::default()
        };
        let features = (1..).map(FeatureId).zip(names.iter().map(spec));
        let command = PersonCommand::Import {
            features: features.collect(),
            update: false,
        };
        let (id, now) = (CommandId(1), store::now());
        let log = self.log().await;
        let actor = crate::protocol::caller::own_person();
        crate::scheduler::offline::submit(&log, &self.project.snapshots, &actor, id, now, command)
            .expect("an import");
    }

    async fn outcome(&self, features: u32) -> Outcome {
        Outcome {
            seed: 1,
            observer: Observer::default(),
            kills: BTreeMap::new(),
            at_once: 0,
            in_recovery: 0,
            restarts: 0,
            features,
            repeated: 0,
            faults: Vec::new(),
            orphans: Vec::new(),
            users_head: users_head(&self.project).await.expect("a head"),
            killing: Duration::ZERO,
            interrupted: false,
        }
    }
}

fn events_of(log: &SledLog) -> Vec<(Sequence, Vec<u8>)> {
    let chunk = log.read(Sequence(1), usize::MAX).expect("a read");
    let envelopes = chunk.envelopes().map(|it| it.expect("an envelope"));
    envelopes
        .map(|envelope| (envelope.sequence, envelope.bytes.to_vec()))
        .collect()
}

#[tokio::test]
async fn a_world_in_order_has_nothing_to_find() {
    let world = World::new();
    let outcome = world.outcome(0).await;
    let findings = examine(&world.project, outcome).await.expect("findings");
    assert!(findings.clean(), "{findings:?}");
}

#[tokio::test]
async fn missing_and_altered_events_are_lost() {
    let world = World::new();
    world.import(&["one", "two"]).await;
    let (mut outcome, log) = (world.outcome(0).await, world.log().await);
    for (sequence, bytes) in events_of(&log) {
        outcome.observer.told(sequence, &bytes);
    }
    let mut findings = Findings::default();
    events(&log, &outcome, &mut findings);
    assert_eq!(findings.lost, 0, "{findings:?}");
    outcome.observer.told(Sequence(99), b"was acknowledged");
    outcome.observer.told(Sequence(1), b"was something else");
    events(&log, &outcome, &mut findings);
    assert_eq!(
        (findings.lost, findings.faults.len()),
        (2, 2),
        "{findings:?}"
    );
}

#[tokio::test]
async fn an_import_that_is_gone_and_a_feature_that_did_not_pass_are_found() {
    let world = World::new();
    world.import(&["one", "two"]).await;
    let outcome = world.outcome(3).await;
    let findings = examine(&world.project, outcome).await.expect("findings");
    assert_eq!(findings.lost, 1, "{findings:?}");
    assert_eq!(findings.faults.len(), 3, "{findings:?}");
}

#[tokio::test]
async fn second_merges_missing_merges_and_the_users_branch_are_looked_at() {
    let world = World::new();
    let root = &world.project.root;
    let outcome = world.outcome(0).await;
    git(root, &["checkout", "-q", &format!("crewlog/{BRANCH}")]);
    for _ in 0..2 {
        let message = "work\n\nCrewlog-Feature: #1\nCrewlog-Attempt: 5\n";
        git(root, &["commit", "-q", "--allow-empty", "-m", message]);
    }
    let mut findings = Findings::default();
    let passing = ["#1".to_owned(), "#2".to_owned()];
    let looked = super::git(&world.project, &outcome, &passing, &mut findings).await;
    looked.expect("a look");
    assert_eq!(
        (findings.merged_twice, findings.lost),
        (1, 1),
        "{findings:?}"
    );
    let moved = findings.faults.iter().any(|fault| fault.contains("moved"));
    assert!(moved, "the user stands elsewhere: {findings:?}");
}

#[tokio::test]
async fn whatever_outlives_the_run_is_an_orphan() {
    let world = World::new();
    let mut outcome = world.outcome(0).await;
    outcome.orphans.push(Target {
        pid: 1,
        kind: Kind::Agent,
        attempt: None,
    });
    std::fs::create_dir_all(world.project.worktrees.join("7")).expect("a directory");
    let mut findings = Findings::default();
    orphans(&world.project, &outcome, &mut findings);
    assert_eq!(findings.orphans, 2, "{findings:?}");
}
