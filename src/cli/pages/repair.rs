//! What `repair` prints: what it would do, and what it did.

use std::path::Path;

use super::{Page, damage};
use crate::cli::output::Output;
use crate::cli::text::{Style, clean};
use crate::queue::repair::{Findings, Repaired};

/// Columns before the text of a row.
const TEXT_COLUMN: usize = 12;
/// The last line if nothing was repaired.
pub const UNCHANGED: &str = "nothing was changed; to repair, run `scheduler repair --yes`";
/// The last line if only texts were moved away.
pub const TEXTS_MOVED: &str = "repaired: every event is kept, and the altered files are moved away";

/// What a repair of the log would do.
pub struct Plan<'a> {
    /// What is damaged.
    pub findings: &'a Findings,
    /// Results of attempts that the log would no longer have.
    pub results: usize,
    /// Transcripts of such attempts.
    pub transcripts: usize,
    /// Directory that keeps what the repair takes out of the log.
    pub aside: &'a Path,
}

/// What a repair drops, keeps and moves.
pub fn plan(plan: &Plan<'_>, out: &Output) -> String {
    let findings = plan.findings;
    let mut page = Page::new(out);
    line(&mut page, damage::what(findings));
    for why in damage::why(findings) {
        page.wrapped(4, &[(Style::Plain, &format!("  {}", clean(&why)))]);
    }
    line(&mut page, "a repair");
    let head = findings.head().sequence;
    row(
        &mut page,
        "keeps",
        &match head.0 {
            0 => "no events: it starts an empty log".to_owned(),
            1 => "event 1".to_owned(),
            _ => format!("events 1 to {head}"),
        },
    );
    row(
        &mut page,
        "drops",
        &match (&findings.bad, findings.known.max(head.next())) {
            (None, _) => "nothing".to_owned(),
            (Some((bad, _)), known) if known == *bad => format!("event {bad}"),
            (Some((bad, _)), known) => format!("events {bad} to {known}"),
        },
    );
    let dropped = damage::dropped(findings);
    if !dropped.is_empty() {
        row(&mut page, "", "of these, it can still read");
    }
    for event in dropped {
        row(&mut page, "", &format!("  {event}"));
    }
    for text in damage::lost(&findings.lost, findings.lost.len() as u64) {
        row(&mut page, "lost", &text);
    }
    let aside = plan.aside.display();
    row(&mut page, "moves", &format!("the damaged log to {aside}"));
    for (count, what, of) in [
        (findings.foreign_snapshots.len(), "snapshot", "events"),
        (plan.results, "result", "attempts"),
        (plan.transcripts, "transcript", "attempts"),
    ] {
        let many = if count == 1 { "" } else { "s" };
        if count > 0 {
            let text = format!("and {count} {what}{many} from dropped {of}");
            row(&mut page, "", &text);
        }
    }
    row(&mut page, "deletes", "nothing");
    page.end()
}

/// What a repair does where only texts are damaged.
pub fn texts(findings: &Findings, aside: &Path, out: &Output) -> String {
    let mut page = Page::new(out);
    line(&mut page, damage::what(findings));
    for text in damage::lost(&findings.lost, findings.lost.len() as u64) {
        page.wrapped(4, &[(Style::Plain, &format!("  {}", clean(&text)))]);
    }
    line(&mut page, "a repair");
    let head = findings.head().sequence;
    row(&mut page, "keeps", &format!("all {head} events"));
    let altered = findings.altered().count();
    let many = if altered == 1 { "text" } else { "texts" };
    let aside = aside.display();
    row(
        &mut page,
        "moves",
        &format!("{altered} altered {many} to {aside}"),
    );
    row(&mut page, "deletes", "nothing");
    page.end()
}

/// The log needs no repair.
pub fn whole(findings: &Findings, out: &Output) -> String {
    let mut page = Page::new(out);
    let kept = findings.head().sequence;
    line(
        &mut page,
        format!("nothing to repair: the log is complete, {kept} events"),
    );
    for text in damage::lost(&findings.lost, findings.lost.len() as u64) {
        page.wrapped(4, &[(Style::Plain, &format!("  {}", clean(&text)))]);
    }
    page.end()
}

/// What a repair did.
pub fn repaired(repaired: &Repaired, aside: &Path, out: &Output) -> String {
    let mut page = Page::new(out);
    let head = repaired.head.sequence;
    line(
        &mut page,
        format!("repaired: the log has {head} events, all verified"),
    );
    match repaired.altered {
        0 => {}
        1 => line(&mut page, "1 altered text stays with the damaged log"),
        many => line(
            &mut page,
            format!("{many} altered texts stay with the damaged log"),
        ),
    }
    line(
        &mut page,
        format!("the damaged log is kept in {}", aside.display()),
    );
    line(
        &mut page,
        "next: `scheduler status` shows the backlog, `scheduler run` continues",
    );
    page.end()
}

fn line(page: &mut Page, text: impl AsRef<str>) {
    page.wrapped(2, &[(Style::Plain, &clean(text.as_ref()))]);
}

fn row(page: &mut Page, label: &str, text: &str) {
    let text = format!("  {label:<9} {}", text_of(text));
    page.wrapped(TEXT_COLUMN, &[(Style::Plain, &text)]);
}

/// The text without control characters, but with its indent.
fn text_of(text: &str) -> String {
    let indent = text.len() - text.trim_start_matches(' ').len();
    " ".repeat(indent) + &clean(text)
}
