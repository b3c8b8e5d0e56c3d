//! The page of `scheduler why`.

use std::collections::BTreeMap;

use super::HASH_DIGITS_MIN;
use super::{Page, time};
use crate::cli::output::Output;
use crate::cli::text::{Style, clean, style_of};
use crate::model::evidence::CheckRun;
use crate::model::format;
use crate::model::ids::{AttemptId, ContentHash, Sequence};
use crate::model::views::timeline::{self, times};
use crate::model::views::{Choice, Label, TimelineEntry, Why};
use crate::queue::content::hash;

/// Columns before the text of an entry: its number, its time and its label.
const ENTRY_INDENT: usize = 29 + Label::WIDTH;

/// The last lines of failed checks' outputs, by the event of the failure.
pub type Tails = BTreeMap<Sequence, Vec<String>>;

/// The page. What is wider than the terminal is wrapped. `all` lists every passed test.
pub fn page(why: &Why, tails: &Tails, all: bool, out: &Output) -> String {
    let mut page = Page::new(out);
    let status = format!(": {}", why.status.as_str());
    let name = clean(&why.name);
    page.wrapped(
        2,
        &[
            (Style::Strong, &format!("{} {name}", why.feature)),
            (Style::Plain, &status),
        ],
    );
    for because in &why.because {
        page.wrapped(2, &[(Style::Plain, "  "), (Style::Plain, &clean(because))]);
    }
    for (id, terms) in &why.ahead {
        let text = format!("    {id}: {}", timeline::rank_words(terms));
        page.line(&[(Style::Faint, &text)]);
    }
    if let Some(over) = &why.passed_over {
        let text = format!(
            "  passed over {}, last for {} at event {} ({}, against {})",
            times(over.times, "time"),
            over.chosen,
            over.sequence,
            timeline::rank_words(&over.terms),
            timeline::rank_words(&over.own),
        );
        page.wrapped(2, &[(Style::Plain, &text)]);
    }
    page.gap();
    let routine = if all { BTreeMap::new() } else { routine(why) };
    for entry in &why.entries {
        let tests = entry.attempt.and_then(|attempt| routine.get(&attempt));
        match (tests, entry.label) {
            (None, _) => {
                let tail = tails.get(&entry.sequence).map_or(&[][..], Vec::as_slice);
                entry_lines(&mut page, entry, tail);
            }
            (Some(0), _) | (Some(_), Label::Start) => {}
            (Some(&tests), _) => {
                let text = format!("       {} passed (--all shows them)", times(tests, "test"));
                page.line(&[(Style::Faint, &text)]);
            }
        }
    }
    see_more(&mut page, why);
    page.end()
}

/// Passed tests that the page leaves out: all but the last of several in a row. The last one left out
/// has the number of them, which the page prints instead; the others have 0.
fn routine(why: &Why) -> BTreeMap<AttemptId, u32> {
    let mut routine = BTreeMap::new();
    let mut row = Vec::new();
    let ends = why.entries.iter().filter(|it| it.label != Label::Start);
    for entry in ends.map(Some).chain([None]) {
        let test = entry.filter(|it| it.label == Label::Test);
        if let Some(attempt) = test.and_then(|it| it.attempt) {
            row.push(attempt);
            continue;
        }
        // The last one is shown.
        row.pop();
        let count = row.len() as u32;
        // A note in place of a single test would not be shorter.
        let last = row.pop().filter(|_| count > 1);
        let hidden = row.drain(..).map(|attempt| (attempt, 0));
        if let Some(last) = last {
            routine.extend(hidden.chain([(last, count)]));
        }
    }
    routine
}

/// Commands that show what this page only mentions, ready to copy.
fn see_more(page: &mut Page, why: &Why) {
    page.gap();
    let mut line = |what: &str, about: &str| {
        let command = format!("  {:<28} ", format!("scheduler show {what}"));
        page.line(&[(Style::Plain, &command), (Style::Faint, about)]);
    };
    line(&why.feature.0.to_string(), "the feature's text");
    let entries = || why.entries.iter().rev();
    // Most tests have no agent, and other events belong to the same attempt as an outcome.
    let outcome = entries().find(|it| {
        matches!(
            it.label,
            Label::Pass | Label::Fail | Label::Regression | Label::Unsure | Label::Ask
        )
    });
    if let Some(attempt) = outcome.and_then(|it| it.attempt) {
        line(
            &attempt.to_string(),
            "its last attempt and what the agent did",
        );
    }
    let checks = || entries().flat_map(|it| it.checks.iter().rev());
    let checks = || checks().filter(|check| has_output(check));
    let failed = checks().find(|check| !check.end.passed());
    if let Some(check) = failed.or(checks().next()) {
        line(&digits(check), "the whole output of a check");
    }
}

/// One entry, and below it the last lines of its failed check's output.
pub(super) fn entry_lines(page: &mut Page, entry: &TimelineEntry, tail: &[String]) {
    let when = format!("{:>6} {} ", entry.sequence.0, time(entry.at));
    let label = format!("{:<1$}", entry.label.as_str(), Label::WIDTH);
    let attempt = match (entry.label, entry.attempt) {
        (Label::Start, Some(attempt)) => format!("attempt {attempt}, "),
        (_, Some(attempt)) => format!("{attempt} "),
        (_, None) => String::new(),
    };
    let note = clean(&entry.note);
    page.wrapped(
        ENTRY_INDENT,
        &[
            (Style::Faint, &when),
            (style_of(entry.label), &label),
            (Style::Plain, " "),
            (Style::Faint, &attempt),
            (Style::Plain, &note),
        ],
    );
    let indent = " ".repeat(ENTRY_INDENT);
    for words in entry.choice.iter().flat_map(Choice::words) {
        page.wrapped(
            ENTRY_INDENT + 2,
            &[(Style::Plain, &indent), (Style::Faint, &words)],
        );
    }
    for check in &entry.checks {
        page.wrapped(
            ENTRY_INDENT + 2,
            &[
                (Style::Plain, &indent),
                (check_tone(check), &check_words(check)),
            ],
        );
    }
    for line in tail {
        page.wrapped(
            ENTRY_INDENT + 2,
            &[
                (Style::Plain, &indent),
                (Style::Faint, "| "),
                (Style::Plain, line),
            ],
        );
    }
    // The reason may quote the check's output.
    let told = |more: &&String| !tail.iter().any(|line| line.trim() == more.trim());
    if let Some(more) = entry.more.as_ref().filter(told) {
        page.wrapped(
            ENTRY_INDENT + 2,
            &[(Style::Plain, &indent), (Style::Plain, &clean(more))],
        );
    }
    for (feature, commit) in &entry.suspects {
        let text = format!("suspect: {feature} merged {}", commit.short());
        page.wrapped(
            ENTRY_INDENT + 2,
            &[(Style::Plain, &indent), (Style::Warning, &text)],
        );
    }
}

fn check_tone(check: &CheckRun) -> Style {
    if check.end.passed() {
        Style::Good
    } else {
        Style::Bad
    }
}

fn check_words(check: &CheckRun) -> String {
    let output = match (has_output(check), check.output == ContentHash::default()) {
        (true, _) => format!("output {}", digits(check)),
        (false, false) => "no output".to_owned(),
        (false, true) => "output not kept".to_owned(),
    };
    let took = format::duration(check.duration_ms);
    let command = clean(&check.command);
    let end = check.end;
    format!("`{command}` {end} after {took}, {output}")
}

/// True if the output was kept and is not empty.
fn has_output(check: &CheckRun) -> bool {
    check.output != ContentHash::default() && check.output != hash(&[])
}

/// The digits of the hash that `show` accepts.
fn digits(check: &CheckRun) -> String {
    let mut digits = check.output.to_string();
    digits.truncate(HASH_DIGITS_MIN);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::derived_status::Chain;
    use crate::model::derived_status::DerivedStatus;
    use crate::model::ids::{FeatureId, Timestamp};

    fn entry(label: Label, attempt: u64) -> TimelineEntry {
        TimelineEntry {
            sequence: Sequence(attempt),
            at: Timestamp(0),
            label,
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
        use Label::{Fail, Pass, Start, Test};
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
            status: DerivedStatus::Passing,
            because: Vec::new(),
            chain: Chain::default(),
            terms: None,
            ahead: Vec::new(),
            ahead_total: 0,
            passed_over: None,
            entries: marks.map(|(label, attempt)| entry(label, attempt)).into(),
        };
        let told = |all: bool| -> Vec<String> {
            let out = Output::new(&crate::cli::globals::Global::default());
            let page = page(&why, &Tails::new(), all, &out);
            let words = page.lines().filter_map(|line| {
                let mut words = line.split_whitespace();
                match words.nth(1)? {
                    "tests" => Some("...".to_owned()),
                    time if time.starts_with("1970") => {
                        let label = words.next()?;
                        Some(format!("{label} {}", words.find(|it| it.starts_with('a'))?))
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
