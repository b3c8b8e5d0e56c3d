//! Renders prompts: a template with placeholders, and their values. Without I/O.

use std::fmt::Write;

use crate::model::clip::clip_chars;
use crate::model::report::JobFeature;
use crate::model::settings::WorkerKind;

use super::job::JobView;

/// A larger file is not a template.
pub const TEMPLATE_BYTES_MAX: u64 = 256 * 1024;

/// Bytes of a wrong placeholder's name that are quoted: it may be half of the template.
const NAME_CHARS_SHOWN: usize = 60;

/// The placeholders of every template, written as `{{name}}`.
const NAMES: [&str; 9] = [
    "features",
    "proof",
    "worktree",
    "base",
    "ports",
    "verdict_file",
    "attempt_number",
    "first_feature",
    "job_file",
];

/// A template cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such placeholder.
    #[error("line {line}: unknown placeholder {{{{{name}}}}}; known ones are {known}")]
    Unknown {
        /// Number of the line, from 1.
        line: usize,
        /// Name of the thing that the error is about.
        name: String,
        /// The existing placeholders.
        known: String,
    },
    /// A placeholder without an end.
    #[error(
        "line {line}: a placeholder starts with {{{{ but does not end with }}}} on the same line"
    )]
    Open {
        /// Number of the line, from 1.
        line: usize,
    },
}

/// A template that is known to render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Name(&'static str),
}

impl Template {
    /// The template that comes with Crewlog.
    pub fn built_in(kind: WorkerKind) -> Self {
        let text = match kind {
            WorkerKind::Coding => include_str!("../../prompts/coding.md"),
            WorkerKind::Testing => include_str!("../../prompts/testing.md"),
        };
        // A test renders both; if one were broken anyway, its text would be better than none.
        Self::parse(text).unwrap_or_else(|_| Self {
            pieces: vec![Piece::Text(text.to_owned())],
        })
    }

    /// Parses a template. Single braces are text.
    ///
    /// # Errors
    /// A placeholder is unknown or not closed.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let read = text.len() - after.len();
            let line = text.get(..read).unwrap_or(text).matches('\n').count() + 1;
            let (name, behind) = after
                .split_once("}}")
                .filter(|(name, _)| !name.contains('\n'))
                .ok_or(TemplateError::Open { line })?;
            let name = name.trim();
            let known = NAMES.into_iter().find(|known| *known == name);
            let name = known.ok_or_else(|| TemplateError::Unknown {
                line,
                name: clip_chars(name, NAME_CHARS_SHOWN).to_owned(),
                known: NAMES.join(", "),
            })?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Name(name));
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }

    /// The prompt for a job. A feature's texts are inserted unchanged: placeholders in them are
    /// text.
    pub fn render(&self, job: &JobView) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Name(name) => out.push_str(&value(job, name)),
            }
        }
        out
    }
}

fn value(job: &JobView, name: &str) -> String {
    match name {
        "features" => {
            let features = job.features.iter();
            features.map(|it| feature(job, it)).collect()
        }
        "proof" => proof(job),
        "worktree" => job.worktree.display().to_string(),
        "base" => job.base.short().to_owned(),
        "ports" => format!("{} to {}", job.ports.start, job.ports.end.saturating_sub(1)),
        "verdict_file" => job.verdict_file.display().to_string(),
        "job_file" => job.job_file.display().to_string(),
        "attempt_number" => job.attempt_number.to_string(),
        "first_feature" => {
            let first = job.features.first();
            first.map_or(0, |feature| feature.id.0).to_string()
        }
        _ => String::new(),
    }
}

fn proof(job: &JobView) -> String {
    let without: Vec<String> = job
        .features
        .iter()
        .filter(|feature| feature.spec.checks.is_empty())
        .map(|feature| feature.id.to_string())
        .collect();
    let without = without.join(", ");
    match (job.kind, without.as_str()) {
        (WorkerKind::Coding, "") => {
            "The shell commands listed as checks: each must exit with 0, run from your working directory.".to_owned()
        }
        (WorkerKind::Coding, some) => format!(
            "The shell commands listed as checks: each must exit with 0, run from your working directory. There are none for {some}: test that yourself, as its users would, before you end; an independent test follows."
        ),
        (WorkerKind::Testing, "") => {
            "The checks that are listed were run already and pass; find out what they miss.".to_owned()
        }
        (WorkerKind::Testing, some) => format!("There are no checks for {some}: your verdict decides."),
    }
}

/// A feature as a section of its own. Writing to a string cannot fail.
fn feature(job: &JobView, feature: &JobFeature) -> String {
    let spec = &feature.spec;
    let mut out = format!("## Feature {}: {}\n\n", feature.id, spec.name);
    if !spec.category.is_empty() {
        let _ = writeln!(out, "Category: {}\n", spec.category);
    }
    if !spec.description.is_empty() {
        let _ = writeln!(out, "{}\n", spec.description.trim_end());
    }
    list(&mut out, "Steps:", &spec.steps, |number, step| {
        format!("{number}. {step}")
    });
    list(&mut out, "Checks:", &spec.checks, |_, check| {
        format!("- `{check}`")
    });
    if feature.regressed {
        out.push_str(
            "This feature worked before and no longer does. Something that was merged since is \
             the likely reason: `git log` shows the merges, each with a `Crewlog-Feature` line \
             that names its feature. Repair it without breaking that other feature.\n\n",
        );
        regression(&mut out, job, feature);
    }
    let failures = &feature.previous_failures;
    list(
        &mut out,
        "Earlier attempts failed, oldest first:",
        failures,
        |_, reason| format!("- {}", reason.replace('\n', "\n  ")),
    );
    list(
        &mut out,
        "Questions that were asked, and the answers of people:",
        &feature.answers,
        |_, (question, answer)| {
            let (question, answer) = (question.replace('\n', "\n  "), answer.replace('\n', "\n  "));
            format!("- {question}\n  Answer: {answer}")
        },
    );
    out
}

/// What is known of the test that found a feature broken. Writing to a string cannot fail.
fn regression(out: &mut String, job: &JobView, feature: &JobFeature) {
    let Some(known) = &feature.regression else {
        return;
    };
    let reason = known.reason.trim_end().replace('\n', "\n> ");
    let _ = writeln!(out, "A test found it broken:\n\n> {reason}\n");
    if let Some(run) = &known.check {
        let (command, end) = (&run.command, run.end);
        let _ = write!(out, "The check `{command}` {end}.");
        if let Some(path) = job.outputs.get(&feature.id) {
            let _ = write!(out, " All of its output is in `{}`.", path.display());
        }
        out.push_str("\n\n");
    }
    let title = "Merged since it was last known to work, oldest first (`git show COMMIT`):";
    list(out, title, &known.suspects, |_, suspect| {
        let (commit, feature) = (suspect.commit.short(), suspect.feature);
        format!("- {commit} {feature} {}", suspect.name)
            .trim_end()
            .to_owned()
    });
}

fn list<T>(out: &mut String, title: &str, items: &[T], item: impl Fn(usize, &T) -> String) {
    if items.is_empty() {
        return;
    }
    let lines: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(index, one)| item(index + 1, one))
        .collect();
    let _ = writeln!(out, "{title}\n\n{}\n", lines.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::{CheckEnd, CheckRun};
    use crate::model::feature::FeatureSpec;
    use crate::model::ids::{AttemptId, ContentHash, FeatureId};
    use crate::model::report::{Regression, Suspect};

    fn job(kind: WorkerKind) -> JobView {
        let with_checks = JobFeature {
            id: FeatureId(5),
            spec: FeatureSpec {
                category: "ledger".to_owned(),
                name: "parse {{dates}}".to_owned(),
                description: "ISO dates.\n".to_owned(),
                steps: vec!["read".to_owned(), "parse".to_owned()],
                checks: vec!["sh test.sh".to_owned()],
                ..FeatureSpec::default()
            },
            regressed: true,
            regression: Some(Regression {
                times: 1,
                reason: "`sh test.sh` exited with 1\nno dates".to_owned(),
                check: Some(CheckRun {
                    command: "sh test.sh".to_owned(),
                    end: CheckEnd::Exited(1),
                    duration_ms: 5,
                    output: ContentHash::default(),
                }),
                suspects: vec![Suspect {
                    feature: FeatureId(4),
                    name: "count days".to_owned(),
                    commit: "cd".repeat(20).parse().expect("a commit"),
                }],
            }),
            previous_failures: vec!["check_failed: a\nb".to_owned()],
            answers: vec![("Which?".to_owned(), "This.".to_owned())],
        };
        let without = JobFeature {
            id: FeatureId(6),
            spec: FeatureSpec::default(),
            regressed: false,
            regression: None,
            previous_failures: Vec::new(),
            answers: Vec::new(),
        };
        JobView {
            kind,
            attempt: AttemptId(7),
            attempt_number: 2,
            base: "ab".repeat(20).parse().expect("a commit"),
            features: vec![with_checks, without],
            worktree: "/w/tree".into(),
            job_file: "/w/job.json".into(),
            verdict_file: "/w/verdict.json".into(),
            ports: 21_000..21_010,
            outputs: [(FeatureId(5), "/c/output".into())].into(),
        }
    }

    #[test]
    fn the_built_in_templates_say_all_that_matters() {
        for kind in [WorkerKind::Coding, WorkerKind::Testing] {
            let text = Template::built_in(kind).render(&job(kind));
            for words in [
                "## Feature #5: parse {{dates}}",
                "1. read\n2. parse",
                "- `sh test.sh`",
                "worked before and no longer does",
                "> `sh test.sh` exited with 1\n> no dates",
                "The check `sh test.sh` exited with 1. All of its output is in `/c/output`.",
                "(`git show COMMIT`):\n\n- cdcdcdcdcd #4 count days",
                "- check_failed: a\n  b",
                "Answer: This.",
                "`/w/tree`",
                "/w/verdict.json",
                "21000 to 21009",
                "abababab",
                "#6",
                "\"feature\": 5",
            ] {
                assert!(
                    text.contains(words),
                    "{kind:?} should say {words:?}:\n{text}"
                );
            }
            let leftover = text.replace("{{dates}}", "");
            assert!(!leftover.contains("{{"), "{leftover}");
        }
    }

    #[test]
    fn a_template_with_a_mistake_is_refused_with_its_line() {
        let table = [
            ("a\n{{nope}}", "line 2: unknown placeholder {{nope}}"),
            ("{{features", "line 1: a placeholder starts"),
            ("\n\n{{fea\ntures}}", "line 3: a placeholder starts"),
            ("{{}}", "unknown placeholder {{}}"),
        ];
        for (text, words) in table {
            let error = Template::parse(text).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
        let plain = Template::parse("{ \"a\": 1 } }} { {").expect("single braces are text");
        assert_eq!(
            plain.render(&job(WorkerKind::Coding)),
            "{ \"a\": 1 } }} { {"
        );
        let spaced = Template::parse("{{ base }}!").expect("spaces are fine");
        assert_eq!(spaced.render(&job(WorkerKind::Coding)), "ababababab!");
    }
}
