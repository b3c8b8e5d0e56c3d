//! No agent starts after the end, over budget, while the run is paused or the provider refuses,
//! for a feature that is not to be worked on, or for an attempt that is not its own.

use crate::model::event::Event;
use crate::model::settings::WorkerKind;
use crate::simulation::book::{Book, Open};
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

pub struct Starts;

fn may_start(book: &Book, job: &Open, now: u64) -> Result<(), String> {
    must(book.running, || "an attempt after the end".to_owned())?;
    must(!book.paused, || {
        "an attempt while the run is paused".to_owned()
    })?;
    let budget = book.settings.budget_tokens;
    must(budget == 0 || book.tokens < budget, || {
        format!("an attempt over budget: {} of {budget}", book.tokens)
    })?;
    let kind = job.kind;
    must(job.profile.is_some() == job.starts_agent(book), || {
        format!("{:?} for {job:?}", job.profile)
    })?;
    if let Some(profile) = &job.profile {
        must(book.profiles.of(kind).contains(profile), || {
            format!("{profile} is not for {kind:?} jobs")
        })?;
        let until = book.limited.get(profile).map_or(0, |until| until.0);
        must(until <= now, || {
            format!("{profile} is refused until {until}, it is {now}")
        })?;
    }
    let limit = match kind {
        WorkerKind::Coding => book.settings.max_concurrency,
        WorkerKind::Testing => book.settings.testing,
    };
    let open = book.open.values().filter(|open| open.kind == kind).count() as u32;
    must(open < limit, || {
        format!("{open} {kind:?} attempts are open, {limit} are allowed")
    })?;
    for id in &job.features {
        let facts = book
            .features
            .get(id)
            .ok_or_else(|| format!("{id} is unknown"))?;
        must(facts.held.is_none(), || format!("{id} is {:?}", facts.held))?;
        let testing = kind == WorkerKind::Testing;
        must(facts.passing == testing, || {
            format!("{id}: {kind:?}, passing {}", facts.passing)
        })?;
    }
    Ok(())
}

impl Checker for Starts {
    fn name(&self) -> &'static str {
        "no agent is started for nothing"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        match *sight {
            Sight::Durable(recorded) => {
                let Event::AttemptStarted(event) = &recorded.event else {
                    return Ok(());
                };
                match book.assigned(event.job) {
                    Some(job) => {
                        let profile = event.profile.clone();
                        let job = Open {
                            profile,
                            ..job.clone()
                        };
                        may_start(book, &job, recorded.at.0)
                    }
                    None => Ok(()),
                }
            }
            Sight::Began {
                attempt,
                kind,
                process,
                profile,
                ..
            } => {
                let open = book.open.get(&attempt);
                let open = open.ok_or_else(|| format!("a session of {attempt}, which is over"))?;
                must(open.kind == kind, || {
                    format!("{attempt} is no {kind:?} attempt")
                })?;
                must(open.profile.as_ref() == Some(profile), || {
                    format!("{attempt} is not for {profile}")
                })?;
                must(book.holder(attempt) == Some(process), || {
                    format!("a session of {attempt} by another: {process:?}")
                })
            }
            _ => Ok(()),
        }
    }
}
