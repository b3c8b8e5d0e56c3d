//! Placeholders in an agent's arguments. Without I/O.

use std::ffi::OsString;

use super::driver::Session;

/// An argument names a placeholder that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown placeholder {{{name}}} in the argument {argument:?} of the agent's `args`; known ones are {known}"
)]
pub struct PlaceholderError {
    /// Name between the braces.
    name: String,
    /// The argument that contains it.
    argument: String,
    /// The existing placeholders.
    known: String,
}

/// The values of placeholders, by name.
#[derive(Clone, Debug)]
pub struct Values(Vec<(&'static str, OsString)>);

const NAMES: [&str; 7] = [
    "prompt_file",
    "job_file",
    "worktree",
    "feature",
    "attempt",
    "model",
    "verdict_file",
];

impl Values {
    /// The values of a session.
    pub fn of(session: &Session, model: &str) -> Self {
        let values = [
            session.paths.prompt_file.clone().into_os_string(),
            session.paths.job_file.clone().into_os_string(),
            session.worktree.clone().into_os_string(),
            session.feature.to_string().into(),
            session.attempt.to_string().into(),
            model.into(),
            session.paths.verdict_file.clone().into_os_string(),
        ];
        Self(NAMES.into_iter().zip(values).collect())
    }

    /// Fills in one argument.
    ///
    /// # Errors
    /// An unknown placeholder.
    pub fn fill(&self, argument: &str) -> Result<OsString, PlaceholderError> {
        let mut filled = OsString::new();
        scan(argument, |piece| match piece {
            Piece::Text(text) => {
                filled.push(text);
                true
            }
            Piece::Name(name) => {
                let value = self.0.iter().find(|(known, _)| *known == name);
                value.is_some_and(|(_, value)| {
                    filled.push(value);
                    true
                })
            }
        })?;
        Ok(filled)
    }
}

/// An agent's program and its arguments, which may contain placeholders.
#[derive(Clone, Debug)]
pub(super) struct CommandLine {
    program: String,
    args: Vec<String>,
}

impl CommandLine {
    /// Checks the arguments before any session exists, so that a typo is found at once.
    ///
    /// # Errors
    /// An unknown placeholder.
    pub fn new(program: impl Into<String>, args: Vec<String>) -> Result<Self, PlaceholderError> {
        check(&args)?;
        let program = program.into();
        Ok(Self { program, args })
    }

    /// The program.
    pub fn program(&self) -> OsString {
        self.program.clone().into()
    }

    /// The arguments of a session; `model` is the value of `{model}`.
    ///
    /// # Errors
    /// An unknown placeholder.
    pub fn args(&self, session: &Session, model: &str) -> Result<Vec<OsString>, PlaceholderError> {
        let values = Values::of(session, model);
        self.args.iter().map(|arg| values.fill(arg)).collect()
    }
}

/// Checks arguments before any session exists, so that a typo is found at once.
///
/// # Errors
/// An unknown placeholder.
pub fn check(arguments: &[String]) -> Result<(), PlaceholderError> {
    arguments.iter().try_for_each(|argument| {
        scan(argument, |piece| match piece {
            Piece::Text(_) => true,
            Piece::Name(name) => NAMES.contains(&name),
        })
    })
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// Passes on the pieces of an argument; `take` says whether it knows a name. Only lower-case
/// letters and `_` between braces are a name: all other braces belong to the shell, to awk or to
/// JSON, and stay as they are.
fn scan(argument: &str, mut take: impl FnMut(Piece<'_>) -> bool) -> Result<(), PlaceholderError> {
    let is_name = |name: &str| {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        !name.is_empty() && name.bytes().all(letter)
    };
    let mut rest = argument;
    while let Some((text, inner)) = rest.split_once('{') {
        take(Piece::Text(text));
        let named = inner.split_once('}').filter(|(name, _)| is_name(name));
        // `${name}` is the shell's.
        let Some((name, after)) = named.filter(|_| !text.ends_with('$')) else {
            take(Piece::Text("{"));
            rest = inner;
            continue;
        };
        if !take(Piece::Name(name)) {
            return Err(PlaceholderError {
                name: name.to_owned(),
                argument: argument.to_owned(),
                known: NAMES.map(|name| format!("{{{name}}}")).join(" "),
            });
        }
        rest = after;
    }
    take(Piece::Text(rest));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_filled_or_refused() {
        let values = Values(
            NAMES
                .into_iter()
                .zip(NAMES.map(|name| name.to_uppercase().into()))
                .collect(),
        );
        let good = [
            ("", ""),
            ("plain", "plain"),
            ("{model}", "MODEL"),
            ("--job={job_file},{worktree}", "--job=JOB_FILE,WORKTREE"),
            ("{\"feature\": {feature}}", "{\"feature\": FEATURE}"),
            ("{{{model}}}", "{{MODEL}}"),
            (
                "echo ${1:-nobody} ${home} {1..3}",
                "echo ${1:-nobody} ${home} {1..3}",
            ),
            (
                "awk '{ print }' | sh -c 'f() { :; }'",
                "awk '{ print }' | sh -c 'f() { :; }'",
            ),
            ("{} { } }{ {Model}", "{} { } }{ {Model}"),
            ("ä{attempt}ö", "äATTEMPTö"),
        ];
        for (argument, expected) in good {
            assert_eq!(values.fill(argument), Ok(expected.into()), "{argument}");
            assert_eq!(check(&[argument.to_owned()]), Ok(()), "{argument}");
        }
        for argument in ["{nope}", "a {models} b", "{{promptfile}}"] {
            assert!(values.fill(argument).is_err(), "{argument}");
            assert!(check(&[argument.to_owned()]).is_err(), "{argument}");
        }
        let message = values.fill("{nope}").expect_err("unknown").to_string();
        assert!(
            message.contains("{nope}") && message.contains("{verdict_file}"),
            "{message}"
        );
    }
}
