//! The answer to "why?" as a page.

use super::{Page, time};
use crate::cli::output::Output;
use crate::cli::text::{Tone, clean, tone};
use crate::model::evidence::CheckRun;
use crate::model::ids::ContentHash;
use crate::model::views::why::{Chapter, Why};
use crate::model::views::{Mark, brief, story};

/// The page. Nothing of it is cut: who asks wants to know all.
pub fn page(why: &Why, out: &Output) -> String {
    let whole = Output {
        width: None,
        ..out.clone()
    };
    let mut page = Page::new(&whole);
    let standing = format!(": {}", why.standing.word());
    let name = clean(&why.name);
    page.line(&[
        (Tone::Strong, &format!("{} {name}", why.feature)),
        (Tone::Plain, &standing),
    ]);
    for because in &why.because {
        page.line(&[(Tone::Plain, "  "), (Tone::Plain, &clean(because))]);
    }
    for (id, terms) in &why.ahead {
        let text = format!("    {id}: {}", story::rank_words(terms));
        page.line(&[(Tone::Faint, &text)]);
    }
    if let Some(over) = &why.passed_over {
        let text = format!(
            "  {} time{} another was chosen before it, last {} at event {}: {}; its own: {}",
            over.times,
            if over.times == 1 { "" } else { "s" },
            over.chosen,
            over.sequence,
            story::rank_words(&over.terms),
            story::rank_words(&over.own),
        );
        page.line(&[(Tone::Plain, &text)]);
    }
    page.gap();
    for chapter in &why.chapters {
        chapter_lines(&mut page, chapter);
    }
    page.end()
}

fn chapter_lines(page: &mut Page, chapter: &Chapter) {
    let when = format!("{:>6} {} ", chapter.sequence.0, time(chapter.at));
    let mark = format!("{:<5}", chapter.mark.word());
    let attempt = match (chapter.mark, chapter.attempt) {
        (Mark::Start, Some(attempt)) => format!("attempt {attempt}, "),
        (_, Some(attempt)) => format!("{attempt} "),
        (_, None) => String::new(),
    };
    let note = clean(&chapter.note);
    page.line(&[
        (Tone::Faint, &when),
        (tone(chapter.mark), &mark),
        (Tone::Plain, " "),
        (Tone::Faint, &attempt),
        (Tone::Plain, &note),
    ]);
    let indent = " ".repeat(34);
    for words in chapter
        .choice
        .iter()
        .flat_map(crate::model::views::why::Choice::words)
    {
        page.line(&[(Tone::Plain, &indent), (Tone::Faint, &words)]);
    }
    for check in &chapter.checks {
        page.line(&[
            (Tone::Plain, &indent),
            (check_tone(check), &check_words(check)),
        ]);
    }
    for (feature, commit) in &chapter.suspects {
        let text = format!("suspect: {feature} merged {}", commit.short());
        page.line(&[(Tone::Plain, &indent), (Tone::Warning, &text)]);
    }
}

fn check_tone(check: &CheckRun) -> Tone {
    if check.exit_code == 0 {
        Tone::Good
    } else {
        Tone::Bad
    }
}

fn check_words(check: &CheckRun) -> String {
    let output = match check.output {
        hash if hash == ContentHash::default() => String::new(),
        hash => format!(
            ", output {}",
            hash.to_string().get(..12).unwrap_or_default()
        ),
    };
    let took = brief::duration(check.duration_ms);
    let command = clean(&check.command);
    format!(
        "`{command}` exited with {} after {took}{output}",
        check.exit_code
    )
}
