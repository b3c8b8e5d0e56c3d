//! A run of a check, and how it ended.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::ContentHash;

/// How a check or a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckEnd {
    /// It exited by itself, with this code from 0. Logs of earlier versions have a time limit as
    /// 124 and a signal N as 128 + N here, too.
    Exited(i32),
    /// This signal ended its process, from 1. A shell that outlives a command that was killed exits
    /// by itself, with 128 + N.
    Signalled(i32),
    /// It was ended because it reached its limit.
    TimedOut,
}

impl CheckEnd {
    /// True if it exited with 0.
    pub fn passed(self) -> bool {
        self == Self::Exited(0)
    }

    /// The code that it exited with; [`None`] if it was ended.
    pub fn exit_code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            Self::Signalled(_) | Self::TimedOut => None,
        }
    }

    /// The signal that ended it, if one did.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Signalled(signal) => Some(signal),
            Self::Exited(_) | Self::TimedOut => None,
        }
    }

    /// The kind of the end in a word, as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exited(_) => "exited",
            Self::Signalled(_) => "signalled",
            Self::TimedOut => "timed_out",
        }
    }
}

/// What happened to it, after its name: `exited with 1`.
impl fmt::Display for CheckEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signalled(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut => f.write_str("was ended by its time limit"),
        }
    }
}

/// The number that stands for the end in the log, in snapshots and in messages. Before there were
/// other ends than codes, it was the exit code.
impl From<CheckEnd> for i32 {
    fn from(end: CheckEnd) -> Self {
        match end {
            CheckEnd::Exited(code) => code,
            CheckEnd::Signalled(signal) => -signal,
            CheckEnd::TimedOut => Self::MIN,
        }
    }
}

impl From<i32> for CheckEnd {
    fn from(number: i32) -> Self {
        match number.checked_neg() {
            _ if number >= 0 => Self::Exited(number),
            Some(signal) => Self::Signalled(signal),
            None => Self::TimedOut,
        }
    }
}

/// One run of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRun {
    /// The shell command, as the backlog has it.
    pub command: String,
    /// How it ended.
    pub end: CheckEnd,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
    /// Hash of its output (standard output and error together), kept as a content file.
    pub output: ContentHash,
}

/// A run in the log, with the bytes that it had when every end was an exit code.
#[derive(Serialize, Deserialize)]
struct Stored<C> {
    command: C,
    end: i32,
    duration_ms: u64,
    output: ContentHash,
}

/// A run in JSON, for scripts and in a spool file. Without `end`, it was written when there were
/// only exit codes.
#[derive(Serialize, Deserialize)]
struct Shown<C> {
    command: C,
    exit_code: Option<i32>,
    #[serde(default)]
    end: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    duration_ms: u64,
    output: ContentHash,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Exited,
    Signalled,
    TimedOut,
}

impl Serialize for CheckRun {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (command, end) = (&self.command, self.end);
        let (duration_ms, output) = (self.duration_ms, self.output);
        if !serializer.is_human_readable() {
            let end = end.into();
            return Stored {
                command,
                end,
                duration_ms,
                output,
            }
            .serialize(serializer);
        }
        let kind = match end {
            CheckEnd::Exited(_) => Kind::Exited,
            CheckEnd::Signalled(_) => Kind::Signalled,
            CheckEnd::TimedOut => Kind::TimedOut,
        };
        let shown = Shown {
            command,
            exit_code: end.exit_code(),
            end: kind,
            signal: end.signal(),
            duration_ms,
            output,
        };
        shown.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CheckRun {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let stored = Stored::<String>::deserialize(deserializer)?;
            return Ok(Self {
                command: stored.command,
                end: stored.end.into(),
                duration_ms: stored.duration_ms,
                output: stored.output,
            });
        }
        let missing = serde::de::Error::missing_field;
        let shown = Shown::<String>::deserialize(deserializer)?;
        let end = match shown.end {
            Kind::Exited => CheckEnd::Exited(shown.exit_code.ok_or_else(|| missing("exit_code"))?),
            Kind::Signalled => CheckEnd::Signalled(shown.signal.ok_or_else(|| missing("signal"))?),
            Kind::TimedOut => CheckEnd::TimedOut,
        };
        Ok(Self {
            command: shown.command,
            end,
            duration_ms: shown.duration_ms,
            output: shown.output,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(end: CheckEnd) -> CheckRun {
        CheckRun {
            command: "make test".to_owned(),
            end,
            duration_ms: 7,
            output: ContentHash::default(),
        }
    }

    const ENDS: [CheckEnd; 5] = [
        CheckEnd::Exited(0),
        CheckEnd::Exited(255),
        CheckEnd::Signalled(1),
        CheckEnd::Signalled(64),
        CheckEnd::TimedOut,
    ];

    #[test]
    fn the_log_has_a_number_for_each_end_and_a_code_for_itself() {
        for end in ENDS {
            assert_eq!(CheckEnd::from(i32::from(end)), end);
        }
        for number in [0, 1, 124, 137, i32::MAX, -1, -64, i32::MIN + 1, i32::MIN] {
            assert_eq!(i32::from(CheckEnd::from(number)), number);
        }
        for code in [0, 124, 137] {
            assert_eq!(CheckEnd::from(code), CheckEnd::Exited(code));
        }
    }

    #[test]
    fn the_bytes_are_those_of_a_run_with_an_exit_code() {
        #[derive(Serialize)]
        struct Before {
            command: String,
            exit_code: i32,
            duration_ms: u64,
            output: ContentHash,
        }
        for code in [0, 1, 124, 137] {
            let now = run(CheckEnd::Exited(code));
            let before = Before {
                command: now.command.clone(),
                exit_code: code,
                duration_ms: now.duration_ms,
                output: now.output,
            };
            let before = bincode::serialize(&before).unwrap();
            assert_eq!(bincode::serialize(&now).unwrap(), before);
            assert_eq!(bincode::deserialize::<CheckRun>(&before).unwrap(), now);
        }
        for end in ENDS {
            let bytes = bincode::serialize(&run(end)).unwrap();
            assert_eq!(bincode::deserialize::<CheckRun>(&bytes).unwrap(), run(end));
        }
    }

    #[test]
    fn scripts_get_a_code_only_where_there_is_one() {
        let json = |end| serde_json::to_value(run(end)).unwrap();
        let parts = |end| {
            let json = json(end);
            (
                json["exit_code"].clone(),
                json["end"].clone(),
                json.get("signal").cloned(),
            )
        };
        let null = serde_json::Value::Null;
        assert_eq!(
            parts(CheckEnd::Exited(124)),
            (124.into(), "exited".into(), None)
        );
        let killed = (null.clone(), "signalled".into(), Some(9.into()));
        assert_eq!(parts(CheckEnd::Signalled(9)), killed);
        assert_eq!(parts(CheckEnd::TimedOut), (null, "timed_out".into(), None));
        for end in ENDS {
            assert_eq!(json(end)["end"], end.as_str());
            assert_eq!(
                serde_json::from_value::<CheckRun>(json(end)).unwrap(),
                run(end)
            );
        }
        // A spool file of an earlier version.
        let mut before = json(CheckEnd::Exited(137));
        before.as_object_mut().unwrap().remove("end");
        let read: CheckRun = serde_json::from_value(before).unwrap();
        assert_eq!(read.end, CheckEnd::Exited(137));
        for missing in [
            r#"{"command":"","exit_code":null,"end":"exited","duration_ms":0,"output":""}"#,
            r#"{"command":"","exit_code":1,"end":"signalled","duration_ms":0,"output":""}"#,
        ] {
            let mut value: serde_json::Value = serde_json::from_str(missing).unwrap();
            value["output"] = json(CheckEnd::TimedOut)["output"].clone();
            let error = serde_json::from_value::<CheckRun>(value).unwrap_err();
            assert!(error.to_string().contains("missing field"), "{error}");
        }
    }
}
