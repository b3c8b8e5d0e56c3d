//! The scheduler's process: its machine, the batch that is on its way, and how it goes.

use super::*;

impl World {
    pub(super) fn now(&self) -> Now {
        Now {
            wall: Timestamp(self.now_ms),
            mono_ms: self.now_ms,
        }
    }

    pub(super) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.reign += 1;
        let state = match self.dice.percent(30) {
            // From a snapshot, which holds only what cannot be computed.
            true => State::from_bytes(&self.checks.state.to_bytes().expect("bytes")).expect("it"),
            false => self.checks.state.clone(),
        };
        let core = Core::new(state, Epoch(self.reign));
        let crew = Crew::new(self.crew.clone());
        let entropy = Box::new(Dice(self.dice.roll()));
        let mut machine = Machine::new(core, entropy, crew, 1);
        let (now, head) = (self.now(), self.git.head());
        let started = machine.start(now, "main", &head, &self.settings, 7);
        started.expect("a run starts");
        self.process = Some(Process {
            machine,
            reign: self.reign,
            waiting: Step::default(),
            committing: None,
            children: BTreeSet::new(),
            watches: Vec::new(),
        });
        self.input(Input::Tick);
    }

    pub(super) fn input(&mut self, input: Input) {
        let now = self.now();
        let Some(process) = &mut self.process else {
            return;
        };
        if let Input::ChildEnded { pid } = &input {
            process.children.remove(pid);
        }
        process.machine.step(now, input);
        self.finish();
    }

    pub(super) fn finish(&mut self) {
        let now = self.now();
        let Some(process) = &mut self.process else {
            return;
        };
        let step = process.machine.finish(now);
        process.waiting.batch.extend(step.batch);
        process.waiting.effects.extend(step.effects);
        let reign = process.reign;
        if let Some(at_ms) = step.wake_ms {
            self.at(at_ms, Item::Wake(reign));
        }
        self.hand_over();
    }

    pub(super) fn hand_over(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.committing.is_some() {
            return;
        }
        let step = std::mem::take(&mut process.waiting);
        if step.batch.is_empty() {
            return self.carry(step.effects);
        }
        process.committing = Some((step.batch, step.effects));
        let reign = process.reign;
        let slow = self.dice.percent(3);
        let ms = if slow {
            self.dice.between(500, 5_000)
        } else {
            self.dice.between(0, 8)
        };
        self.after(ms, Item::Commit(reign));
    }

    pub(super) fn commit(&mut self) {
        let committing = self
            .process
            .as_mut()
            .and_then(|process| process.committing.take());
        let Some((batch, effects)) = committing else {
            return;
        };
        self.write(batch);
        self.carry(effects);
        self.finish();
    }

    pub(super) fn write(&mut self, batch: Vec<Recorded>) {
        for recorded in batch {
            let truth = Truth {
                git: &self.git,
                alive: &self.alive,
                reaped: &self.reaped,
            };
            self.checks.committed(&recorded, &truth);
            self.log.push(recorded);
        }
    }

    pub(super) fn carry(&mut self, effects: Vec<Effect>) {
        let mut ending = None;
        for effect in effects {
            match effect {
                Effect::Exit(how) => ending = Some(how),
                effect => self.carry_one(effect),
            }
        }
        if let Some(ending) = ending {
            self.exit(ending);
        }
    }

    pub(super) fn carry_one(&mut self, effect: Effect) {
        let reign = self.reign;
        match effect {
            Effect::Send {
                connection,
                message,
            } => self.send(connection, *message),
            Effect::Tell {
                connection,
                message,
            } => self.told(connection, &message),
            Effect::Close { connection } => self.cut(connection),
            Effect::Watch { worker, process } => {
                let ms = self.dice.between(0, 50);
                match self.alive.contains(&process.pid) {
                    true => {
                        if let Some(own) = &mut self.process {
                            own.watches.push((worker, process.pid));
                        }
                    }
                    false => self.after(ms, Item::Input(reign, Input::Died { worker })),
                }
            }
            Effect::Reap { worker, attempt } => {
                self.reaped.insert(attempt);
                let spooled = self.spool.get(&attempt).map(|(_, spooled)| spooled.clone());
                let spooled = spooled.map(Box::new);
                let ms = self.dice.between(0, 500);
                self.after(ms, Item::Input(reign, Input::Reaped { worker, spooled }));
            }
            Effect::Kill { process, .. } => self.kill(process.pid),
            Effect::EndChild { pid } => self.kill(pid),
            Effect::Merge {
                attempt,
                onto,
                commit,
            } => {
                let slow = self.dice.percent(5) && !self.fair();
                let ms = if slow {
                    self.dice.between(1_000, 60_000)
                } else {
                    self.dice.between(1, 50)
                };
                self.after(ms, Item::Git(reign, attempt, onto, commit));
            }
            Effect::StartWorker { kind } => {
                let pid = self.spawn(kind);
                if let Some(process) = &mut self.process {
                    process.children.insert(pid);
                }
                let pid = Some(pid);
                self.after(1, Item::Input(reign, Input::ChildStarted { kind, pid }));
            }
            Effect::Stream { .. } | Effect::Exit(_) => {}
        }
    }

    pub(super) fn exit(&mut self, ending: Ending) {
        let children = self
            .process
            .as_ref()
            .map(|process| process.children.clone());
        for pid in children.unwrap_or_default() {
            assert!(!self.alive.contains(&pid), "process {pid} is left behind");
        }
        self.process = None;
        self.hang_up();
        match ending {
            Ending::Finished(_) => self.ended = Some(ending),
            Ending::Interrupted => {
                let ms = self.dice.between(100, 5_000);
                self.after(ms, Item::Start);
            }
        }
    }

    /// The scheduler's process is gone, and its ends of all connections with it.
    pub(super) fn hang_up(&mut self) {
        for (connection, (pid, _, _)) in std::mem::take(&mut self.wires) {
            let ms = self.dice.between(0, 5);
            self.after(ms, Item::Lost(connection, pid));
        }
        if let Some((_, _, connection)) = &mut self.wish {
            *connection = None;
        }
    }

    /// kill -9 of the scheduler; what it handed to the disk may be there or not.
    pub(super) fn crash(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        if let Some((batch, _)) = process.committing.take()
            && self.dice.percent(50)
        {
            self.write(batch);
        }
        self.hang_up();
        let ms = self.dice.between(50, 20_000);
        self.after(ms, Item::Start);
    }
}
