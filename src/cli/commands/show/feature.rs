//! `scheduler show N`: a feature's text.

use crate::cli::Context;
use crate::cli::commands::{ProjectContext, warn_about_source};
use crate::cli::error::Error;
use crate::cli::pages;
use crate::cli::store::now;
use crate::model::ids::FeatureId;
use crate::model::views::feature_text;

/// Prints the feature's text.
pub async fn show(context: &Context, here: &ProjectContext, id: FeatureId) -> Result<(), Error> {
    let source = here.source().await?;
    let state = source.state(&here.project, None).await?;
    warn_about_source(context, &source);
    let text = feature_text(&state, id, now()).ok_or_else(|| unknown(id))?;
    if context.out.is_json() {
        return context.out.json(&text);
    }
    let page = pages::feature::page(&text, &context.out);
    context.out.bytes(page.as_bytes())
}

fn unknown(id: FeatureId) -> Error {
    Error::usage(
        format!("cannot show feature {id}"),
        "the backlog has no such feature",
        "`scheduler status --format json` lists every feature",
    )
}
