//! `scheduler show`: shows a feature's text, an attempt, or the output of a check.

mod attempt;
mod feature;
mod output;

use std::str::FromStr;

use super::ProjectContext;
use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::cli::pages::HASH_DIGITS_MIN;
use crate::cli::runtime;
use crate::model::ids::{AttemptId, FeatureId};

/// Show a feature's text, what the agent did in an attempt, or the output of a check.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  scheduler show 118             # a feature's text\n  scheduler show a2034           # what the agent did in an attempt\n  scheduler show a2034 --prompt  # the agent's prompt\n  scheduler show 9f86d081884c    # the output of a check"
)]
pub struct Args {
    /// A feature (118), an attempt (a2034), or an output (at least 12 digits of its hash)
    #[arg(value_name = "WHAT", add = ArgValueCandidates::new(completion::shown))]
    pub what: Target,
    /// Print the stored bytes, including terminal control characters; a transcript is JSON lines
    #[arg(long, conflicts_with = "prompt")]
    pub raw: bool,
    /// Print only the prompt that the attempt's agent got
    #[arg(long)]
    pub prompt: bool,
}

/// What `show` can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A feature's text.
    Feature(FeatureId),
    /// An attempt and its transcript.
    Attempt(AttemptId),
    /// A content file, by the first digits of its hash.
    Output(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && (HASH_DIGITS_MIN..=64).contains(&text.len()) {
            return Ok(Self::Output(text.to_ascii_lowercase()));
        }
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let attempt = text.strip_prefix('a').filter(|number| digits(number));
        if let Some(number) = attempt.and_then(|number| number.parse().ok()) {
            return Ok(Self::Attempt(AttemptId(number)));
        }
        if digits(text.strip_prefix('#').unwrap_or(text)) {
            return super::feature_id(text).map(Self::Feature);
        }
        Err(format!(
            "it must be a feature (118), an attempt (a2034), or an output (at least {HASH_DIGITS_MIN} digits of its hash)"
        ))
    }
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let here = ProjectContext::find(context)?;
    if args.prompt && !matches!(args.what, Target::Attempt(_)) {
        return Err(Error::usage(
            "cannot show a prompt",
            "only attempts have prompts",
            "give an attempt, for example a2034; `scheduler why N` lists the attempts of a feature",
        ));
    }
    let runtime = runtime::start()?;
    runtime.block_on(async {
        match &args.what {
            Target::Feature(id) => feature::show(context, &here, *id).await,
            Target::Attempt(id) => attempt::show(context, &here, *id, args).await,
            Target::Output(digits) => output::show(context, &here, digits, args.raw),
        }
    })?;
    Ok(ExitCode::Passing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_attempts_and_outputs_are_told_apart() {
        let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let table = [
            ("12", Target::Feature(FeatureId(12))),
            ("#12", Target::Feature(FeatureId(12))),
            ("a12", Target::Attempt(AttemptId(12))),
            ("a1234567890", Target::Attempt(AttemptId(1_234_567_890))),
            ("123456789012", Target::Output("123456789012".to_owned())),
            ("a12345678901", Target::Output("a12345678901".to_owned())),
            ("E3B0C44298FC", Target::Output("e3b0c44298fc".to_owned())),
            (hash, Target::Output(hash.to_owned())),
        ];
        for (text, target) in table {
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
        let long = format!("{hash}0");
        for text in [
            "",
            "#",
            "a",
            "x12",
            "-1",
            "0",
            "1000001",
            "e3b0c4429",
            &long,
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
