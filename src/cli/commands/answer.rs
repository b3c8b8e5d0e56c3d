//! `scheduler answer`: answers an agent's question.

use clap_complete::ArgValueCandidates;

use crate::cli::Context;
use crate::cli::completion;
use crate::cli::error::Error;
use crate::cli::exit::ExitCode;
use crate::model::command::PersonCommand;
use crate::model::ids::FeatureId;

/// Answer an agent's question. The answer is part of the prompt of the feature's next attempt.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example:\n  scheduler answer 118 \"Use the existing session table.\"\n\nThe feature's next attempt gets your answer in its prompt."
)]
pub struct Args {
    /// The feature's number
    #[arg(value_name = "N", value_parser = super::feature_id, add = ArgValueCandidates::new(completion::questions))]
    pub feature: FeatureId,
    /// Your answer to the question
    #[arg(value_name = "TEXT")]
    pub answer: String,
}

/// Carries the verb out.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode, Error> {
    let (feature, answer) = (args.feature, args.answer.clone());
    super::submit(context, PersonCommand::Answer { feature, answer }, "")
}
