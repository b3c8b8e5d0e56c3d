//! Scripts: what the scripted agent does for one feature. Without I/O, except reading the file.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::model::encoding;

use super::ScriptError;
use super::job::{Feature, Job, Kind};

/// A script is written by hand.
const SCRIPT_BYTES_MAX: u64 = 1024 * 1024;

/// One feature's script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Script {
    attempt: Vec<Try>,
    regressed: Vec<Try>,
    test: Vec<Try>,
}

/// What is done in one try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Try {
    pub(super) steps: Vec<Step>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawStep")]
pub(super) enum Step {
    Say(String),
    Think(String),
    Patch(PathBuf),
    WriteText { path: PathBuf, text: String },
    WriteFrom { path: PathBuf, from: PathBuf },
    Run(String),
    PauseMs(u64),
    Hang { detached: bool },
    CrashWriting { path: PathBuf, text: String },
    Stop(StopReason),
    GiveUp(String),
    Ask(String),
    VerdictPass,
    Judge(String),
    Usage(UsageStep),
}

/// How a script can end a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StopReason {
    Refusal,
    MaxTokens,
    MaxTurnRequests,
    Cancelled,
}

/// The usage that is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct UsageStep {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cost_microusd: u64,
}

/// A step as it is written: one action, some with a second key.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawStep {
    say: Option<String>,
    think: Option<String>,
    patch: Option<PathBuf>,
    write: Option<PathBuf>,
    from: Option<PathBuf>,
    text: Option<String>,
    run: Option<String>,
    pause_ms: Option<u64>,
    hang: Option<bool>,
    hang_detached: Option<bool>,
    crash_writing: Option<PathBuf>,
    stop_reason: Option<StopReason>,
    give_up: Option<String>,
    ask: Option<String>,
    verdict: Option<String>,
    judge: Option<String>,
    usage: Option<UsageStep>,
}

impl TryFrom<RawStep> for Step {
    type Error = String;

    fn try_from(raw: RawStep) -> Result<Self, String> {
        let (from, text) = (raw.from, raw.text);
        let second = from.is_some() || text.is_some();
        let file = match (raw.write, raw.crash_writing) {
            (Some(path), None) => match (from, text) {
                (Some(from), None) => Some(Self::WriteFrom {
                    path: inside(path)?,
                    from: inside(from)?,
                }),
                (None, Some(text)) => Some(Self::WriteText {
                    path: inside(path)?,
                    text,
                }),
                _ => return Err("write needs either from or text".to_owned()),
            },
            (None, Some(path)) => Some(Self::CrashWriting {
                path: inside(path)?,
                text: text.ok_or("crash_writing needs text")?,
            }),
            (None, None) if second => {
                return Err("from and text go with write or crash_writing".to_owned());
            }
            (None, None) => None,
            (Some(_), Some(_)) => return Err(ONE_ACTION.to_owned()),
        };
        let verdict = match raw.verdict.as_deref() {
            None => None,
            Some("pass") => Some(Self::VerdictPass),
            Some(_) => return Err("verdict can only be \"pass\"; give_up is the other".to_owned()),
        };
        let hang =
            |set: Option<bool>, detached| set.filter(|set| *set).map(|_| Self::Hang { detached });
        let patch = raw.patch.map(inside).transpose()?;
        let actions = [
            file,
            verdict,
            raw.say.map(Self::Say),
            raw.think.map(Self::Think),
            patch.map(Self::Patch),
            raw.run.map(Self::Run),
            raw.pause_ms.map(Self::PauseMs),
            hang(raw.hang, false),
            hang(raw.hang_detached, true),
            raw.stop_reason.map(Self::Stop),
            raw.give_up.map(Self::GiveUp),
            raw.ask.map(Self::Ask),
            raw.judge.map(Self::Judge),
            raw.usage.map(Self::Usage),
        ];
        let mut actions = actions.into_iter().flatten();
        match (actions.next(), actions.next()) {
            (Some(action), None) => Ok(action),
            _ => Err(ONE_ACTION.to_owned()),
        }
    }
}

const ONE_ACTION: &str = "a step has exactly one action, such as { say = \"...\" }";

/// A path that stays below the directory it is joined to.
fn inside(path: PathBuf) -> Result<PathBuf, String> {
    let plain = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    if plain && path.file_name().is_some() {
        Ok(path)
    } else {
        Err(format!(
            "{}: must be a relative path without ..",
            path.display()
        ))
    }
}

impl Script {
    /// Reads the script `directory/<feature>.toml`.
    pub(super) fn read(directory: &Path, feature: u32) -> Result<Self, ScriptError> {
        let path = directory.join(format!("{feature}.toml"));
        let fail = |why: String| ScriptError::Script {
            path: path.clone(),
            why,
        };
        let size = std::fs::metadata(&path)
            .map_err(|error| fail(error.to_string()))?
            .len();
        if size > SCRIPT_BYTES_MAX {
            return Err(fail("it is larger than 1 MiB".to_owned()));
        }
        let bytes = std::fs::read(&path).map_err(|error| fail(error.to_string()))?;
        let text = encoding::decode(&bytes).map_err(|error| {
            fail(format!(
                "{error}; {}",
                error.remedy(&path.to_string_lossy())
            ))
        })?;
        toml::from_str(text).map_err(|error| fail(error.to_string()))
    }

    /// The part of the script for this job. The last entry serves all later tries.
    pub(super) fn choose(&self, job: &Job, feature: &Feature) -> Option<&Try> {
        let (tries, number) = match job.kind {
            Kind::Testing => (&self.test, job.attempt_number),
            Kind::Coding if feature.regressed && !self.regressed.is_empty() => {
                (&self.regressed, feature.regressions)
            }
            Kind::Coding => (&self.attempt, job.attempt_number),
        };
        let index = usize::try_from(number.max(1) - 1).unwrap_or(usize::MAX);
        tries.get(index).or(tries.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Result<Vec<Step>, String> {
        let script: Script = toml::from_str(&format!("[[attempt]]\nsteps = [{text}]"))
            .map_err(|error| error.to_string())?;
        Ok(script
            .attempt
            .into_iter()
            .flat_map(|part| part.steps)
            .collect())
    }

    #[test]
    fn every_step_of_the_format_is_understood() {
        let all = r#"
            { say = "a" }, { think = "b" }, { patch = "05-add.patch" },
            { write = "lib/x.sh", from = "05/x.sh" }, { write = "lib/x.sh", text = "t" },
            { run = "true" }, { pause_ms = 300 }, { hang = true }, { hang_detached = true },
            { crash_writing = "lib/x.sh", text = "t" }, { stop_reason = "refusal" },
            { stop_reason = "max_tokens" }, { stop_reason = "max_turn_requests" },
            { stop_reason = "cancelled" }, { give_up = "r" }, { ask = "q" }, { verdict = "pass" },
            { judge = "true" }, { usage = { input_tokens = 1, output_tokens = 2, cost_microusd = 3 } },
        "#;
        assert_eq!(steps(all).expect("all steps").len(), 19);
    }

    #[test]
    fn bad_steps_are_refused_with_their_reason() {
        let table = [
            ("{}", "exactly one action"),
            ("{ hang = false }", "exactly one action"),
            ("{ say = \"a\", run = \"b\" }", "exactly one action"),
            ("{ write = \"x\" }", "either from or text"),
            (
                "{ write = \"x\", from = \"a\", text = \"b\" }",
                "either from or text",
            ),
            ("{ say = \"a\", text = \"b\" }", "go with write"),
            ("{ crash_writing = \"x\" }", "needs text"),
            ("{ write = \"../x\", text = \"\" }", "without .."),
            ("{ patch = \"/etc/x\" }", "without .."),
            ("{ write = \"\", text = \"\" }", "without .."),
            ("{ verdict = \"fail\" }", "only be"),
            ("{ shout = \"a\" }", "unknown field"),
            ("{ stop_reason = \"tired\" }", "unknown variant"),
        ];
        for (step, why) in table {
            let error = steps(step).expect_err(step);
            assert!(error.contains(why), "{step}: {error}");
        }
    }

    #[test]
    fn the_part_for_a_job_is_chosen() {
        let part = |name: &str| Try {
            steps: vec![Step::Say(name.to_owned())],
        };
        let script = Script {
            attempt: vec![part("a1"), part("a2")],
            regressed: vec![part("r1"), part("r2")],
            test: vec![part("t1")],
        };
        let chosen = |kind, attempt_number, regressed, regressions| {
            let job = Job {
                kind,
                attempt_number,
                features: Vec::new(),
            };
            let feature = Feature {
                id: 1,
                regressed,
                regressions,
            };
            script.choose(&job, &feature).cloned()
        };
        assert_eq!(chosen(Kind::Coding, 1, false, 1), Some(part("a1")));
        assert_eq!(chosen(Kind::Coding, 2, false, 1), Some(part("a2")));
        assert_eq!(chosen(Kind::Coding, 9, false, 1), Some(part("a2")));
        assert_eq!(chosen(Kind::Coding, 9, true, 1), Some(part("r1")));
        assert_eq!(chosen(Kind::Coding, 1, true, 7), Some(part("r2")));
        assert_eq!(chosen(Kind::Testing, 0, true, 1), Some(part("t1")));
    }
}
