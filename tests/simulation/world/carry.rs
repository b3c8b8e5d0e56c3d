//! What the scheduler's effects do to the world.

use super::*;
use crate::model::branch::BranchMove;
use crate::scheduler::cycle::Due;
use crate::scheduler::machine::Effect;
use crate::scheduler::ports::GitFailure;

impl World {
    /// Carries out what is due; batches are the disk's.
    pub(super) fn carry(&mut self, due: Due) {
        match due {
            Due::Nothing | Due::Append(_) => {}
            Due::Execute(effects) => self.carry_all(effects),
            Due::End(effects, ending) => {
                self.carry_all(effects);
                self.exit(ending);
            }
        }
    }

    pub(super) fn carry_all(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.carry_one(effect);
        }
    }

    fn carry_one(&mut self, effect: Effect) {
        let reign = self.reigns;
        match effect {
            Effect::Send {
                connection,
                message,
            } => self.send(connection, *message),
            Effect::Reply {
                connection,
                message,
            } => {
                self.told(connection, &message);
                let ms = self.wire_ms(connection);
                self.after(ms, Item::Answer(connection));
            }
            Effect::Close { connection } => self.close(connection),
            Effect::Watch { worker, process } => self.watch(worker, process),
            Effect::CleanUpAttempt { worker, attempt } => {
                let ms = self.disk.between(0, 500);
                self.after(ms, Item::CleanedUp(reign, worker, attempt));
            }
            Effect::Kill { process, .. } => {
                let who = self.who_is(process.pid).filter(|_| self.lives(&process));
                if let Some(who) = who {
                    self.kill_by_scheduler(who);
                }
            }
            Effect::EndChild { pid } => {
                if let Some(who) = self.who_is(pid) {
                    self.kill_by_scheduler(who);
                }
            }
            Effect::Merge {
                attempt,
                onto,
                commit,
            } => self.start_git(attempt, onto, commit),
            Effect::Explain { from, to, merges } => {
                let (old, new) = (self.git.ancestry(&from), self.git.ancestry(&to));
                let only = |one: &[CommitId], other: &[CommitId]| {
                    one.iter().filter(|it| !other.contains(it)).count() as u64
                };
                let gone = merges.into_iter().filter(|it| !new.contains(it));
                let moved = BranchMove {
                    added_total: only(&new, &old),
                    lost_total: only(&old, &new),
                    gone: gone.collect(),
                    from,
                    to,
                    ..BranchMove::default()
                };
                self.git.unnoticed &= moved.to != self.git.head();
                let input = Input::Explained(Some(Box::new(moved)));
                self.after(1, Item::Input(reign, input));
            }
            Effect::StartWorker { kind } => self.start_child(reign, kind),
            Effect::Confirm => self.after(0, Item::Input(reign, Input::Confirmed)),
            Effect::Stream { .. } | Effect::Exit(_) => {}
        }
    }

    fn start_child(&mut self, reign: u64, kind: WorkerKind) {
        let flaky = !self.fair() && self.disk.percent(self.scenario.trouble.flaky);
        let pid = (!flaky).then(|| self.spawn(kind));
        if let (Some(pid), Some(scheduler)) = (pid, &mut self.scheduler) {
            scheduler.children.insert(pid);
        }
        self.after(1, Item::Input(reign, Input::ChildStarted { kind, pid }));
    }

    fn kill_by_scheduler(&mut self, who: Who) {
        self.note(|| format!("the scheduler kills worker {who}"));
        let ending = self.scheduler.as_ref().is_none_or(Scheduler::is_ending);
        if let Some(worker) = self.workers.get(&who) {
            let (process, healthy) = (worker.process.clone(), !worker.troubled && !ending);
            self.show(&Sight::Killed {
                process: &process,
                healthy,
            });
        }
        self.worker_dies(who);
    }

    fn watch(&mut self, worker: WorkerId, process: ProcessIdentity) {
        let reign = self.reigns;
        if !self.lives(&process) {
            let ms = self.disk.between(0, 50);
            self.after(ms, Item::Input(reign, Input::Died { worker }));
        } else if let Some(scheduler) = &mut self.scheduler {
            scheduler.watches.push((worker, process));
        }
    }

    /// git is started to move the branch, unless one of an earlier scheduler is on its way: then
    /// nobody can say where the branch will be.
    fn start_git(&mut self, attempt: AttemptId, onto: CommitId, commit: CommitId) {
        let reign = self.reigns;
        if self.git_on_its_way == Some(self.boot) {
            self.note(|| format!("git for {attempt} waits for one of an earlier scheduler"));
            let failure = GitFailure::Failed { head: None };
            return self.after(
                2_000,
                Item::Input(reign, Input::GitFailed { attempt, failure }),
            );
        }
        self.git_on_its_way = Some(self.boot);
        let slow = self.disk.percent(5) && !self.fair();
        let ms = self.disk.between(1, if slow { 60_000 } else { 50 });
        self.after(ms, Item::Git(reign, self.boot, attempt, onto, commit));
    }

    /// git moves the branch, although nobody may live to hear of it.
    pub(super) fn merge(
        &mut self,
        (reign, boot): (u64, u64),
        attempt: AttemptId,
        onto: &CommitId,
        commit: &CommitId,
    ) {
        if boot != self.boot {
            // It was lost with the machine's power.
            return;
        }
        self.git_on_its_way = None;
        if !self.fair() && self.disk.percent(4) {
            // Somebody is faster.
            self.somebody_commits(Vec::new());
        }
        if self.now_ms < self.git_fails_until {
            return self.git_fails(reign, attempt, onto, commit);
        }
        self.ambushed(Ambush::BeforeMerge);
        let (merged, moved) = self.git.merge(onto, commit);
        self.note(|| {
            format!(
                "git: {attempt} to {}, merged {}",
                commit.short(),
                merged.merged
            )
        });
        if moved {
            self.show(&Sight::Moved { to: commit });
        }
        self.ambushed(Ambush::AfterMerge);
        let ms = self.disk.between(0, 20);
        self.after(ms, Item::Input(reign, Input::Merged { attempt, merged }));
    }

    /// git hangs, dies, or finds no room, before or after it has done its work; or somebody has
    /// the branch checked out.
    fn git_fails(&mut self, reign: u64, attempt: AttemptId, onto: &CommitId, commit: &CommitId) {
        let failure = if self.disk.percent(10) {
            let at = "/home/ann/project".to_owned();
            GitFailure::CheckedOut { at }
        } else {
            if self.disk.percent(20) && self.git.merge(onto, commit).1 {
                self.show(&Sight::Moved { to: commit });
            }
            let head = self.disk.percent(50).then(|| self.git.head());
            GitFailure::Failed { head }
        };
        self.note(|| format!("git fails for {attempt}: {failure:?}"));
        self.arrive(reign, Input::GitFailed { attempt, failure });
    }

    pub(super) fn somebody_commits(&mut self, breaks: Vec<FeatureId>) {
        self.note(|| format!("somebody commits on the branch, and breaks {breaks:?}"));
        let to = self.git.outsider(breaks);
        self.show(&Sight::Moved { to: &to });
    }

    /// What a dead worker has left is ended, and its result looked for.
    pub(super) fn reap(&mut self, reign: u64, worker: WorkerId, attempt: AttemptId) {
        self.tree_gone(attempt);
        let result = self.spool.get(&attempt).and_then(|it| it.result.clone());
        let report = result.map(Box::new);
        self.arrive(reign, Input::CleanedUp { worker, report });
    }
}
