//! Backlogs that are worked off through the socket.

use std::collections::BTreeMap;

use crewlog::model::event::RunOutcome;
use crewlog::model::feature::Status;
use crewlog::model::settings::WorkerKind;
use crewlog::protocol::{SchedulerMessage, StopMode, Verdict, WorkerMessage};
use crewlog::queue::{Error, OpenOptions, SledLog};
use crewlog::scheduler::{Ending, load};

use crate::kit::{Peer, Rig, Wish, commit, done, features, private, sled};

/// Does jobs until it is told that there are no more; how many.
async fn works(mut peer: Peer, rig: &Rig, name: u64) -> u64 {
    let mut count = 0;
    peer.say(&WorkerMessage::Ready).await;
    loop {
        let job = match peer.hear().await {
            Some(SchedulerMessage::Job(job)) => *job,
            Some(SchedulerMessage::Drain { reason }) => {
                peer.say(&WorkerMessage::Leaving { reason }).await;
                return count;
            }
            other => panic!("no job: {other:?}"),
        };
        let to = commit(name * 1_000 + job.attempt.0);
        let mut onto = job.base.clone();
        loop {
            peer.say(&done(&job, &onto, &to)).await;
            match peer.hear().await {
                Some(SchedulerMessage::Rebase { onto: head, .. }) => onto = head,
                Some(SchedulerMessage::Reported {
                    verdict,
                    acknowledged,
                    ..
                }) => {
                    assert_eq!(verdict, Verdict::Passed);
                    assert!(
                        rig.log.head().sequence >= acknowledged,
                        "durable before it is said"
                    );
                    break;
                }
                other => panic!("no answer: {other:?}"),
            }
        }
        count += 1;
        peer.say(&WorkerMessage::Ready).await;
    }
}

async fn backlog_on(mut wish: Wish) {
    wish.stay = false;
    // There is work before the first scheduler comes, or it would end at once.
    let snapshots = wish.dir.path().join("data/snapshots");
    let id = crate::kit::next_id();
    let now = crewlog::model::ids::Timestamp(1);
    let actor = crewlog::protocol::caller::own_person();
    crewlog::scheduler::offline::submit(&*wish.log, &snapshots, &actor, id, now, features(1..=20))
        .expect("accepted");
    let rig = Rig::start(wish).await;
    let (one, two) = (rig.worker(1).await, rig.worker(2).await);
    let (one, two) = tokio::join!(works(one, &rig, 1), works(two, &rig, 2));
    assert_eq!(one + two, 20);
    assert_eq!(
        rig.branch.moves.lock().expect("moves").len(),
        20,
        "each merged once"
    );
    let ending = rig.task.await.expect("no panic").expect("it ends");
    assert_eq!(ending, Ending::Finished(RunOutcome::AllPassing));
    let state = load::load(&*rig.log, &snapshots).expect("a state");
    assert_eq!(state.count(Status::Passing), 20);
    assert!(snapshots.read_dir().expect("snapshots").next().is_some());
    let folded = load::resume(&*rig.log, None).expect("it folds");
    let bytes = |state: &crewlog::model::state::State| state.to_bytes().expect("bytes");
    assert!(
        bytes(&folded) == bytes(&state),
        "the snapshot is what the log says"
    );
    assert!(!rig.socket.exists(), "the socket is gone");
}

#[tokio::test]
async fn two_workers_do_a_backlog_in_memory() {
    backlog_on(Wish::default()).await;
}

#[tokio::test]
async fn two_workers_do_a_backlog_on_disk() {
    let dir = private();
    let log = sled(dir.path());
    let wish = Wish {
        log,
        dir,
        ..Wish::default()
    };
    backlog_on(wish).await;
}

#[tokio::test]
async fn one_log_has_one_scheduler_and_is_free_when_that_has_ended() {
    let dir = private();
    let log = sled(dir.path());
    let path = dir.path().join("log");
    let wish = Wish {
        log,
        dir,
        ..Wish::default()
    };
    let rig = Rig::start(wish).await;
    // A follower and a silent stranger hold nothing back.
    let mut follower = rig.client().await;
    let (from, follow) = (crewlog::model::ids::Sequence(1), true);
    let read = crewlog::protocol::ClientMessage::Read { from, follow };
    follower.say(&read).await;
    let _stranger = crate::kit::raw(&rig.socket).await;
    let second = SledLog::open(&path, &OpenOptions::default());
    assert!(matches!(second, Err(Error::Held { .. })), "{second:?}");
    let Rig {
        dir,
        log,
        handle,
        task,
        ..
    } = rig;
    handle.stop(StopMode::Now).await;
    task.await.expect("no panic").expect("it ends");
    drop((handle, log));
    SledLog::open(&path, &OpenOptions::default()).expect("nobody holds it");
    drop(dir);
}

#[tokio::test]
async fn a_worker_comes_back_to_the_next_scheduler() {
    let mut rig = Rig::memory().await;
    rig.person(features(1..=2)).await;
    let mut peer = rig.worker(1).await;
    peer.say(&WorkerMessage::Ready).await;
    let job = peer.job().await;
    // The scheduler goes without a word, as by kill -9.
    rig.task.abort();
    assert!((&mut rig.task).await.is_err());
    while peer.hear::<SchedulerMessage>().await.is_some() {}
    let wish = Wish {
        log: rig.log.clone(),
        dir: rig.dir,
        ..Wish::default()
    };
    let rig = Rig::start(wish).await;
    let mut peer = Peer::connect(&rig.socket, crewlog::protocol::Role::Worker).await;
    let mut hello = crate::kit::hello(1);
    if let WorkerMessage::Hello { holding, .. } = &mut hello {
        *holding = Some(crewlog::protocol::Holding {
            attempt: job.attempt,
            acknowledged: job.acknowledged,
        });
    }
    peer.say(&hello).await;
    let welcome = peer.hear().await;
    assert!(
        matches!(
            welcome,
            Some(SchedulerMessage::Welcome {
                holding_accepted: true,
                ..
            })
        ),
        "{welcome:?}"
    );
    peer.say(&done(&job, &job.base, &commit(9))).await;
    let answer = peer.hear().await;
    assert!(
        matches!(
            answer,
            Some(SchedulerMessage::Reported {
                verdict: Verdict::Passed,
                ..
            })
        ),
        "{answer:?}"
    );
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn a_dead_workers_job_goes_to_another() {
    let rig = Rig::memory().await;
    rig.person(features(1..=1)).await;
    let (mut one, mut two) = (rig.worker(1).await, rig.worker(2).await);
    one.say(&WorkerMessage::Ready).await;
    let first = one.job().await;
    two.say(&WorkerMessage::Ready).await;
    drop(one);
    rig.living.dies(1);
    let second = two.job().await;
    assert!(second.attempt > first.attempt);
    assert_eq!(second.features[0].id, first.features[0].id);
    rig.stop().await.1.expect("it ends");
}

#[tokio::test]
async fn own_workers_are_started_replaced_and_ended() {
    let dir = private();
    let pids = dir.path().join("pids");
    // It says who it is, and never finds the scheduler.
    let script = format!("echo $$ >> '{}'; exec sleep 1000", pids.display());
    let wish = Wish {
        dir,
        crew: BTreeMap::from([(WorkerKind::Coding, 2)]),
        worker_command: ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec(),
        ..Wish::default()
    };
    let rig = Rig::start(wish).await;
    let lines = || std::fs::read_to_string(&pids).unwrap_or_default();
    let started = async |count: usize| -> Vec<u32> {
        loop {
            let pids: Vec<u32> = lines()
                .lines()
                .filter_map(|line| line.parse().ok())
                .collect();
            if pids.len() >= count {
                return pids;
            }
            tokio::task::yield_now().await;
        }
    };
    let first = started(2).await;
    let pid = rustix::process::Pid::from_raw(first[0] as i32).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    // It died soon, so that the next one is started after half a second.
    let all = started(3).await;
    let (_dir, ended) = rig.stop().await;
    assert_eq!(ended.expect("it ends"), Ending::Interrupted);
    for pid in all {
        let alive = crewlog::protocol::identity::process_identity(pid)
            .is_ok_and(|process| crewlog::protocol::identity::is_alive(&process));
        assert!(!alive, "process {pid} is left behind");
    }
}
