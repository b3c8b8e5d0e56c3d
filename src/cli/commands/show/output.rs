//! `scheduler show HASH`: the output of a check.

use crate::cli::Context;
use crate::cli::commands::ProjectContext;
use crate::cli::error::Error;
use crate::cli::failures;
use crate::cli::text::clean_lines;
use crate::model::ids::ContentHash;
use crate::queue::{Contents, FileContents};

/// Prints the output whose hash begins with `digits`.
pub fn show(
    context: &Context,
    here: &ProjectContext,
    digits: &str,
    raw: bool,
) -> Result<(), Error> {
    let contents = here.contents();
    let hash = find(&contents, digits)?;
    let bytes = contents
        .get(&hash)
        .map_err(|error| failures::of_log(&error))?;
    if raw {
        return context.out.bytes(&bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    if context.out.is_json() {
        return context.out.json(&serde_json::json!({
            "hash": hash.to_string(), "bytes": bytes.len(), "text": text,
        }));
    }
    let text = clean_lines(&text);
    if text.is_empty() {
        context.note("the output is empty");
        return Ok(());
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    context.out.bytes(format!("{text}{end}").as_bytes())
}

fn find(contents: &FileContents, digits: &str) -> Result<ContentHash, Error> {
    let found = contents
        .find(digits)
        .map_err(|error| failures::of_log(&error))?;
    let (why, next) = match found.as_slice() {
        [hash] => return Ok(*hash),
        [] => (
            "no output has this hash; it may have been deleted (`scheduler verify` counts missing outputs)"
                .to_owned(),
            "`scheduler why N` lists the outputs of a feature's checks",
        ),
        several => (
            format!("{} outputs begin with these digits", several.len()),
            "give more digits; `scheduler why N --format json` has all 64",
        ),
    };
    Err(Error::usage(
        format!("cannot show output {digits}"),
        why,
        next,
    ))
}
