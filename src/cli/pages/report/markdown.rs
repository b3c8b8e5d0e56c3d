//! The report as Markdown, for a pull request, a chat or a file.

use super::{
    attempts, failed_facts, failures_words, features, merged, need_words, passed_notes, period,
    result, short, spent_words,
};
use crate::cli::text::clean;
use crate::model::format;
use crate::model::views::Report;

/// The whole report.
pub fn page(report: &Report) -> String {
    let mut page = String::from("# Crewlog report\n\n");
    let facts = [
        ("Period", period(report)),
        ("Result", text(&result(report))),
        ("Features", features(report)),
        ("Attempts", attempts(report)),
        ("Failures", failures_words(report)),
        ("Merged", merged(report)),
        ("Spent", spent_words(report)),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        page.push_str(&format!("- **{name}:** {value}\n"));
    }
    if !report.needs.is_empty() {
        page.push_str("\n## Needs you\n\n");
    }
    for need in &report.needs {
        let feature = need
            .feature
            .map(|id| format!("{id} {}: ", text(&need.name)));
        page.push_str(&format!(
            "- {}**{}** {}\\\n  {}\n",
            feature.unwrap_or_default(),
            need.kind.as_str(),
            text(&need_words(need)),
            need.next
        ));
    }
    passed(&mut page, report);
    if !report.failed.is_empty() {
        page.push_str("\n## Failed\n\n");
    }
    for it in &report.failed {
        page.push_str(&format!(
            "- {} {}: {}\\\n  {}: {}\n",
            it.feature,
            text(&it.name),
            failed_facts(it),
            it.kind,
            text(&short(&it.reason))
        ));
    }
    if !report.regressions.is_empty() {
        page.push_str("\n## Regressions\n\n");
    }
    for it in &report.regressions {
        let state = if it.repaired {
            "repaired"
        } else {
            "still broken"
        };
        let reason = text(&short(&it.reason));
        let name = text(&it.name);
        page.push_str(&format!("- {} {name}: {state}\\\n  {reason}\n", it.feature));
    }
    page
}

fn passed(page: &mut String, report: &Report) {
    if report.passed.is_empty() {
        return;
    }
    page.push_str(
        "\n## Passed\n\n| feature | name | commit | time | notes |\n|---|---|---|---|---|\n",
    );
    for it in &report.passed {
        page.push_str(&format!(
            "| {} | {} | `{}` | {} | {} |\n",
            it.feature,
            text(&it.name),
            it.commit.short(),
            format::duration(it.worked_ms),
            passed_notes(it).join(", ")
        ));
    }
}

/// Foreign text as one line that Markdown shows as it is. Commands in backticks stay commands.
fn text(foreign: &str) -> String {
    let mut out = String::new();
    let mut code = false;
    let foreign = clean(foreign);
    let paired = foreign.matches('`').count() / 2 * 2;
    let mut ticks = 0;
    for letter in foreign.chars() {
        match letter {
            '`' if ticks < paired => {
                ticks += 1;
                code = !code;
                out.push('`');
            }
            // A table's cell ends at a bar, even inside code.
            '|' => out.push_str("\\|"),
            letter if code => out.push(letter),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(letter);
            }
            // Chats and forges would notify people.
            '@' => out.push_str("@\u{200b}"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn foreign_text_is_no_markup() {
        let table = [
            ("plain words", "plain words"),
            ("a | b\nc", "a \\| b c"),
            (
                "<img src=x> *bold* _it_",
                "\\<img src=x\\> \\*bold\\* \\_it\\_",
            ),
            ("run `a_b | c` now", "run `a_b \\| c` now"),
            ("one ` tick", "one \\` tick"),
            ("ask @all", "ask @\u{200b}all"),
            ("\u{1b}[31mred", "red"),
        ];
        for (foreign, expected) in table {
            assert_eq!(text(foreign), expected, "{foreign}");
        }
    }
}
