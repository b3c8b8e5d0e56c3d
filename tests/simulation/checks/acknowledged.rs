//! What was acknowledged is on the disk and stays there; the same wish gets the same answer.

use std::collections::BTreeMap;

use crate::model::ids::{AttemptId, CommandId, Sequence};
use crate::protocol::Verdict;
use crate::simulation::book::Book;
use crate::simulation::git::Git;
use crate::simulation::sight::{Checker, Sight, must};

#[derive(Default)]
pub struct Acknowledged {
    /// Who caused each event, in order.
    causes: Vec<CommandId>,
    /// The log, as it was last found.
    bytes: Vec<u8>,
    /// What commands that caused events were answered.
    answers: BTreeMap<CommandId, (Sequence, Sequence)>,
    verdicts: BTreeMap<(CommandId, AttemptId), Verdict>,
}

impl Acknowledged {
    fn answered(
        &mut self,
        id: CommandId,
        answer: Option<(Sequence, Sequence)>,
    ) -> Result<(), String> {
        if let Some((first, last)) = answer {
            let durable = self.causes.len() as u64;
            must(last.0 <= durable, || {
                format!("{first} to {last} were acknowledged, the disk has {durable}")
            })?;
            let its = self.causes.get(first.0 as usize - 1..last.0 as usize);
            must(
                its.is_some_and(|its| its.iter().all(|&cause| cause == id)),
                || format!("{first} to {last} are somebody else's events"),
            )?;
        }
        if let Some(&earlier) = self.answers.get(&id) {
            must(answer == Some(earlier), || {
                format!("the same command was answered with {earlier:?}, then {answer:?}")
            })?;
        }
        // What was refused, or changed nothing, is not remembered and may find another answer.
        if let Some((first, last)) = answer.filter(|(first, last)| first <= last) {
            self.answers.insert(id, (first, last));
        }
        Ok(())
    }
}

impl Checker for Acknowledged {
    fn name(&self) -> &'static str {
        "an acknowledged event stays"
    }

    fn see(&mut self, sight: &Sight<'_>, book: &Book, _: &Git) -> Result<(), String> {
        match *sight {
            Sight::Durable(recorded) => self.causes.push(recorded.cause),
            Sight::Reopened { bytes } => {
                must(bytes.starts_with(&self.bytes), || {
                    format!("events before {} are gone or altered", book.last)
                })?;
                self.bytes = bytes.to_vec();
            }
            Sight::Accepted { id, first, last } => self.answered(id, Some((first, last)))?,
            Sight::Refused { id } => self.answered(id, None)?,
            Sight::Offered { attempt } => must(attempt.0 <= book.last.0, || {
                format!("{attempt} was offered and is not on the disk")
            })?,
            Sight::Answered {
                id,
                attempt,
                verdict,
                at,
            } => {
                must(at <= book.last, || {
                    format!("{attempt} was answered at {at}")
                })?;
                must(!book.open.contains_key(&attempt), || {
                    format!("{attempt} was answered with {verdict:?} and is open on the disk")
                })?;
                let earlier = self.verdicts.insert((id, attempt), verdict);
                must(earlier.is_none_or(|earlier| earlier == verdict), || {
                    format!("{attempt}: {earlier:?}, then {verdict:?}")
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}
