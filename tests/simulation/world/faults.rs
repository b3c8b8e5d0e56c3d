//! What goes wrong, when its time has come.

use super::network::Link;
use super::*;
use crate::model::evidence::{Failure, FailureKind, Usage};
use crate::model::profile::ProfileName;
use crate::model::report::{AttemptReport, Report};
use crate::model::trouble::TroubleKind;
use crate::protocol::{StopMode, WorkerMessage};
use crate::simulation::scenario::What;
use crate::worker::machine::Input as WorkerInput;

impl World {
    pub(super) fn planned(&mut self, number: usize) {
        let Some(planned) = self.scenario.planned.get(number).copied() else {
            return;
        };
        let dice = &mut Dice::new(planned.salt, Stream::Fault, 0);
        let living: Vec<Who> = self.workers.keys().copied().collect();
        let victim = dice.pick(&living);
        if planned.what != What::Wish {
            self.note(|| format!("fault: {:?}", planned.what));
        }
        match planned.what {
            What::KillScheduler => self.scheduler_dies(),
            What::KillAtMerge => {
                let moments = [Ambush::BeforeMerge, Ambush::AfterMerge];
                self.ambush = dice.pick(&moments);
            }
            What::KillAtSync => self.ambush = Some(Ambush::Sync),
            What::KillWorker => victim.into_iter().for_each(|who| self.kill(who)),
            What::KillAll => {
                self.scheduler_dies();
                living.into_iter().for_each(|who| self.kill(who));
            }
            What::PowerCut => self.lose_power(),
            What::Cut => {
                if let Some(Link::Open(wire)) = self.link_of(victim) {
                    self.cut(wire);
                }
            }
            What::PauseWorker => self.pause_worker(dice, victim),
            What::PauseScheduler => {
                let until = self.now_ms + dice.skewed(900_000);
                self.pause_scheduler(until);
            }
            What::PauseHost => {
                let until = self.now_ms + dice.skewed(3_600_000);
                self.pause_scheduler(until);
                for worker in self.workers.values_mut() {
                    worker.stop_until(self.now_ms, until);
                }
            }
            What::SetClock => {
                let ms = dice.skewed(7_200_000) as i64;
                self.skew_ms += if dice.percent(50) { ms } else { -ms };
            }
            What::Suspend => self.skew_ms += dice.skewed(36_000_000) as i64,
            What::GitFails => self.git_fails_until = self.now_ms + dice.skewed(200_000),
            What::DiskFull => self.disk_full = self.scheduler.is_some(),
            What::SlowDisk => self.disk_slow_until = self.now_ms + dice.skewed(60_000),
            What::Trouble => {
                let kinds = [TroubleKind::Disk, TroubleKind::Git, TroubleKind::Program];
                let kind = dice.pick(&kinds).unwrap_or(TroubleKind::Disk);
                // Now and then for longer than anybody waits.
                let most = if dice.percent(10) {
                    100_000_000
                } else {
                    90_000
                };
                self.machine_fails = Some((self.now_ms + dice.skewed(most), kind));
            }
            What::Outage => {
                let at_ms = self.now_ms;
                let all: Vec<ProfileName> = self.scenario.profiles.all().cloned().collect();
                let one = dice.pick(&all);
                let met = match dice.percent(40) {
                    true => all,
                    false => one.into_iter().collect(),
                };
                for profile in &met {
                    let until = at_ms + dice.skewed(10_000_000);
                    self.outages.insert(profile.clone(), until);
                    self.show(&Sight::Outage {
                        profile,
                        at_ms,
                        begins: true,
                    });
                }
            }
            What::Hostile => self.hostile(dice, &living),
            What::Rewind => {
                let lost = self.git.rewind(dice.between(1, 4) as usize);
                self.show(&Sight::Rewound { lost: &lost });
            }
            What::Outsider => {
                let breaks = dice.pick(&self.passing()).filter(|_| dice.percent(40));
                self.somebody_commits(breaks.into_iter().collect());
            }
            What::Drain => self.arrive(self.reigns, Input::Stop(StopMode::Drain)),
            What::StopNow => self.arrive(self.reigns, Input::Stop(StopMode::Now)),
            What::Signal => {
                for _ in 0..dice.between(1, 3) {
                    victim
                        .into_iter()
                        .for_each(|who| self.give(who, WorkerInput::Signal));
                }
            }
            What::Echo => self.echo(victim),
            What::Rogue => self.rogue(dice, &living),
            What::Wish => self.whim(dice),
        }
    }

    fn link_of(&self, who: Option<Who>) -> Option<Link> {
        self.workers.get(&who?).map(|worker| worker.link)
    }

    fn kill(&mut self, who: Who) {
        if self.workers.contains_key(&who) {
            self.stats.crashes += 1;
            self.worker_dies(who);
        }
    }

    fn pause_scheduler(&mut self, until: u64) {
        let wall = self.wall();
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.stop_until(self.now_ms, until, wall);
        }
    }

    fn pause_worker(&mut self, dice: &mut Dice, who: Option<Who>) {
        // Where a crew is kept, somebody else takes the place of one that never comes back.
        let endless = self.scenario.crewed && dice.percent(20);
        let most = if endless { 100_000_000 } else { 1_500_000 };
        let until = self.now_ms + dice.skewed(most);
        if let Some(worker) = who.and_then(|who| self.workers.get_mut(&who)) {
            worker.stop_until(self.now_ms, until);
        }
    }

    /// The last report again.
    fn echo(&mut self, who: Option<Who>) {
        let worker = who.and_then(|who| self.workers.get(&who));
        let Some((Link::Open(wire), Some(said))) =
            worker.map(|worker| (worker.link, worker.said.clone()))
        else {
            return;
        };
        if worker.is_some_and(|worker| worker.stopped_ms <= self.now_ms) {
            self.say(wire, said);
        }
    }

    /// An idle worker reports on what is over, with a token that is no longer the current one.
    fn rogue(&mut self, dice: &mut Dice, living: &[Who]) {
        let idle = living.iter().find_map(|who| {
            let worker = self.workers.get(who)?;
            let idle = worker.at_hand.is_none() && worker.stopped_ms <= self.now_ms;
            match worker.link {
                Link::Open(wire) if idle => Some((*who, wire, worker.process.clone())),
                _ => None,
            }
        });
        // Whoever reports on a dead worker's open attempt is taken for its heir: workers are trusted
        // not to make that up.
        let attempts: Vec<AttemptId> = self.observers.book.ended.iter().copied().collect();
        let (Some((who, wire, process)), Some(attempt)) = (idle, dice.pick(&attempts)) else {
            return;
        };
        let known = self.observers.book.features.keys().copied();
        let features: Vec<FeatureId> = known.collect();
        let failure = Failure::new(FailureKind::AgentGaveUp, "not mine to say");
        let command = self.command_id();
        let report = match dice.percent(50) {
            true => Report::Failed {
                failures: features
                    .into_iter()
                    .map(|id| (id, failure.clone()))
                    .collect(),
                limited_until: None,
            },
            false => Report::Released {
                detail: String::new(),
                reason: "not mine".into(),
            },
        };
        self.show(&Sight::Wrote {
            id: command,
            attempt,
            process: &process,
            tokens: 0,
        });
        let usage = Usage::default();
        let message = WorkerMessage::Report(AttemptReport {
            command,
            attempt,
            report,
            usage,
            workless: false,
        });
        if let Some(worker) = self.workers.get_mut(&who) {
            worker.said = Some(message.clone());
        }
        if dice.percent(50) {
            self.say(wire, message.clone());
        }
        self.say(wire, message);
    }
}
