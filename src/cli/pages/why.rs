//! The answer to "why?" as a page.

use std::collections::BTreeMap;

use super::{Page, time};
use crate::cli::commands::show::HASH_DIGITS_MIN;
use crate::cli::output::Output;
use crate::cli::text::{Tone, clean, tone};
use crate::model::evidence::CheckRun;
use crate::model::ids::{AttemptId, ContentHash, Sequence};
use crate::model::views::story::{self, times};
use crate::model::views::{Chapter, Choice, Mark, Why, brief};
use crate::queue::content::hash;

/// The last lines of failed checks' outputs, by the event that tells the failure.
pub type Tails = BTreeMap<Sequence, Vec<String>>;

/// The page. Nothing of it is cut: who asks wants to know all.
pub fn page(why: &Why, tails: &Tails, all: bool, out: &Output) -> String {
    let mut page = Page::new(&out.uncut());
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
    let routine = if all { BTreeMap::new() } else { routine(why) };
    for chapter in &why.chapters {
        let tests = chapter.attempt.and_then(|attempt| routine.get(&attempt));
        match (tests, chapter.mark) {
            (None, _) => {
                let tail = tails.get(&chapter.sequence).map_or(&[][..], Vec::as_slice);
                chapter_lines(&mut page, chapter, tail);
            }
            (Some(0), _) | (Some(_), Mark::Start) => {}
            (Some(&tests), _) => {
                let text = format!("       {} passed (--all shows them)", times(tests, "test"));
                page.line(&[(Tone::Faint, &text)]);
            }
        }
    }
    see_more(&mut page, why);
    page.end()
}

/// Tests that passed, but for the last of several in a row: nobody wants to read of each. With the
/// last one that is left out stands how many of them there are, with the others 0.
fn routine(why: &Why) -> BTreeMap<AttemptId, u32> {
    let mut routine = BTreeMap::new();
    let mut row = Vec::new();
    let ends = why.chapters.iter().filter(|it| it.mark != Mark::Start);
    for chapter in ends.map(Some).chain([None]) {
        let test = chapter.filter(|it| it.mark == Mark::Test);
        if let Some(attempt) = test.and_then(|it| it.attempt) {
            row.push(attempt);
            continue;
        }
        // The last one is shown.
        row.pop();
        let count = row.len() as u32;
        // Instead of a single one nothing shorter could stand.
        let last = row.pop().filter(|_| count > 1);
        let hidden = row.drain(..).map(|attempt| (attempt, 0));
        if let Some(last) = last {
            routine.extend(hidden.chain([(last, count)]));
        }
    }
    routine
}

/// The commands that show what this page only names, ready to be copied.
fn see_more(page: &mut Page, why: &Why) {
    page.gap();
    let mut line = |what: &str, about: &str| {
        let command = format!("  {:<28} ", format!("scheduler show {what}"));
        page.line(&[(Tone::Plain, &command), (Tone::Faint, about)]);
    };
    line(&why.feature.0.to_string(), "what the backlog says of it");
    let chapters = || why.chapters.iter().rev();
    // Tests mostly have no agent, and what other events tell is in the outcome's attempt, too.
    let outcome = chapters().find(|it| {
        matches!(
            it.mark,
            Mark::Pass | Mark::Fail | Mark::Regression | Mark::Unsure | Mark::Ask
        )
    });
    if let Some(attempt) = outcome.and_then(|it| it.attempt) {
        line(
            &attempt.to_string(),
            "its last attempt, and what the agent did",
        );
    }
    let checks = || chapters().flat_map(|it| it.checks.iter().rev());
    let checks = || checks().filter(|check| has_output(check));
    let failed = checks().find(|check| check.exit_code != 0);
    if let Some(check) = failed.or(checks().next()) {
        line(&digits(check), "all that a check put out");
    }
}

/// One chapter, and below it the last lines that its failed check put out.
pub(super) fn chapter_lines(page: &mut Page, chapter: &Chapter, tail: &[String]) {
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
    for words in chapter.choice.iter().flat_map(Choice::words) {
        page.line(&[(Tone::Plain, &indent), (Tone::Faint, &words)]);
    }
    for check in &chapter.checks {
        page.line(&[
            (Tone::Plain, &indent),
            (check_tone(check), &check_words(check)),
        ]);
    }
    for line in tail {
        page.line(&[
            (Tone::Plain, &indent),
            (Tone::Faint, "| "),
            (Tone::Plain, line),
        ]);
    }
    // What a check put out is in the reason, too.
    let told = |more: &&String| !tail.iter().any(|line| line.trim() == more.trim());
    if let Some(more) = chapter.more.as_ref().filter(told) {
        page.line(&[(Tone::Plain, &indent), (Tone::Plain, &clean(more))]);
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
    let output = match (has_output(check), check.output == ContentHash::default()) {
        (true, _) => format!("output {}", digits(check)),
        (false, false) => "no output".to_owned(),
        (false, true) => "its output was not kept".to_owned(),
    };
    let took = brief::duration(check.duration_ms);
    let command = clean(&check.command);
    let code = check.exit_code;
    format!("`{command}` exited with {code} after {took}, {output}")
}

/// True when there is something to be shown.
fn has_output(check: &CheckRun) -> bool {
    check.output != ContentHash::default() && check.output != hash(&[])
}

/// As much of the hash as `show` wants.
fn digits(check: &CheckRun) -> String {
    let mut digits = check.output.to_string();
    digits.truncate(HASH_DIGITS_MIN);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{FeatureId, Timestamp};
    use crate::model::views::Standing;
    use crate::model::views::standing::Chain;

    fn chapter(mark: Mark, attempt: u64) -> Chapter {
        Chapter {
            sequence: Sequence(attempt),
            at: Timestamp(0),
            mark,
            note: String::new(),
            more: None,
            attempt: Some(AttemptId(attempt)),
            choice: None,
            checks: Vec::new(),
            suspects: Vec::new(),
        }
    }

    #[test]
    fn of_many_passed_tests_in_a_row_one_is_told() {
        use Mark::{Fail, Pass, Start, Test};
        let marks = [
            (Pass, 1),
            (Start, 2),
            (Test, 2),
            (Start, 3),
            (Start, 4),
            (Test, 4),
            (Test, 3),
            (Start, 5),
            (Fail, 5),
            (Test, 6),
            (Test, 7),
        ];
        let why = Why {
            feature: FeatureId(1),
            name: "one".to_owned(),
            standing: Standing::Passing,
            because: Vec::new(),
            chain: Chain::default(),
            terms: None,
            ahead: Vec::new(),
            ahead_total: 0,
            passed_over: None,
            chapters: marks.map(|(mark, attempt)| chapter(mark, attempt)).into(),
        };
        let told = |all: bool| -> Vec<String> {
            let out = Output::new(&crate::cli::args::Global::default());
            let page = page(&why, &Tails::new(), all, &out);
            let words = page.lines().filter_map(|line| {
                let mut words = line.split_whitespace();
                match words.nth(1)? {
                    "tests" => Some("...".to_owned()),
                    time if time.starts_with("1970") => {
                        let mark = words.next()?;
                        Some(format!("{mark} {}", words.find(|it| it.starts_with('a'))?))
                    }
                    _ => None,
                }
            });
            words.collect()
        };
        let all = told(true);
        assert_eq!(all.len(), marks.len(), "{all:?}");
        // The shown test began before the last one that is not.
        let some = [
            "PASS a1",
            "START attempt",
            "...",
            "TEST a3",
            "START attempt",
            "FAIL a5",
            "TEST a6",
            "TEST a7",
        ];
        assert_eq!(told(false), some);
    }
}
