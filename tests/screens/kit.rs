//! Rendering a screen in every form, and comparing it with what is kept.

use crewlog::cli::globals::Format;
use crewlog::cli::output::Output;
use crewlog::cli::text::{clean_lines, width};

/// A title and what is printed.
pub type Screen = (String, String);

/// Compares the screens of one kind, in every form, with the kept ones. No line may be too wide.
pub fn check(kind: &str, render: impl Fn(&Output) -> Vec<Screen>) {
    check_unwrapped(kind, |out| {
        let screens = render(out);
        let columns = out.width.expect("a terminal");
        for (title, text) in screens.iter().filter(|_| !out.color) {
            assert_fits(title, text, columns);
        }
        screens
    });
}

/// The same where somebody else lays out the lines.
pub fn check_unwrapped(kind: &str, render: impl Fn(&Output) -> Vec<Screen>) {
    for columns in [80, 120] {
        let plain = render(&output(columns, false));
        let coloured = render(&output(columns, true));
        for ((title, plain), (_, coloured)) in plain.iter().zip(&coloured) {
            assert!(!plain.contains('\u{1b}'), "{title}: colour in {plain}");
            assert_eq!(bare(coloured), bare(plain), "{title}: colour changes it");
        }
        keep(&format!("{kind}-{columns}-plain"), &plain);
        if coloured != plain {
            keep(&format!("{kind}-{columns}-colour"), &coloured);
        }
    }
}

pub fn output(columns: usize, color: bool) -> Output {
    Output {
        format: Format::Text,
        color,
        width: Some(columns),
        quiet: false,
    }
}

/// The text without colours, and without spaces at the ends of lines, which have a colour.
fn bare(text: &str) -> Vec<String> {
    let text = clean_lines(text);
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// A line may only be too wide where it is a command to copy, or one word.
pub fn assert_fits(title: &str, text: &str, columns: usize) {
    for line in text.lines().filter(|line| width(line) > columns) {
        let numbered = |letter: char| letter.is_ascii_digit() || matches!(letter, ' ' | '.');
        let words = line.trim_start_matches(numbered);
        let one = !words.contains(' ');
        let quoted: Vec<&str> = words.split('`').collect();
        let quoted =
            matches!(quoted[..], [before, _, after] if !(before.to_owned() + after).contains(' '));
        let command = ["scheduler ", "git ", "cargo "];
        let command = command.iter().any(|name| words.starts_with(name));
        assert!(
            one || quoted || command,
            "{title}: {} columns instead of {columns}: {line}",
            width(line)
        );
    }
}

fn keep(name: &str, screens: &[Screen]) {
    let screens = screens.iter().map(|(title, text)| {
        let text = text.replace('\u{1b}', "␛");
        format!("======== {title}\n{}", text.trim_end())
    });
    let text = screens.collect::<Vec<_>>().join("\n\n");
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// An example of every variant. A variant without one does not compile, and an example of another
/// variant than its pattern's fails.
macro_rules! every {
    ($type:ty { $($pattern:pat => $example:expr),* $(,)? }) => {{
        let _exhaustive = |it: &$type| match it { $($pattern => {}),* };
        let mut examples: Vec<$type> = Vec::new();
        $(
            let example: $type = $example;
            assert!(matches!(&example, $pattern), "{example:?} is no {}", stringify!($pattern));
            examples.push(example);
        )*
        examples
    }};
}
pub(crate) use every;
