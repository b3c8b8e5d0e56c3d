//! The files of a job: its own directory with the job, the prompt and a place for the verdict, and
//! a cleaned environment that names them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::agent::mask::{Mask, is_secret_name};
use crate::model::ids::{AttemptId, CommitId, FeatureId};
use crate::model::report::{JobFeature, Suspect};
use crate::model::settings::WorkerKind;

use super::config::Config;
use super::verdict::session::{self, Told};
use super::verdict::{self, Reading, VERDICT_BYTES_MAX};

/// Variables that any program may need and that hold no secret.
const ALLOWED: [&str; 7] = ["PATH", "HOME", "LANG", "TERM", "USER", "LOGNAME", "SHELL"];

/// Used where the worker's own environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A job as its agent sees it.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Coding or testing.
    pub kind: WorkerKind,
    /// Number of the attempt.
    pub attempt: AttemptId,
    /// Which try, from 1.
    pub attempt_number: u32,
    /// The commit that the worktree started from.
    pub base: CommitId,
    /// The features of the session.
    pub features: Vec<JobFeature>,
    /// The agent's working directory.
    pub worktree: PathBuf,
    /// The job as JSON.
    pub job_file: PathBuf,
    /// Where a verdict may be written.
    pub verdict_file: PathBuf,
    /// The ports that it may use.
    pub ports: Range<u32>,
    /// Output of the check that found a feature broken.
    pub outputs: BTreeMap<FeatureId, PathBuf>,
}

#[derive(Serialize)]
struct JobJson<'a> {
    kind: WorkerKind,
    attempt: AttemptId,
    attempt_number: u32,
    base: &'a CommitId,
    features: Vec<FeatureJson<'a>>,
}

#[derive(Serialize)]
struct FeatureJson<'a> {
    id: FeatureId,
    name: &'a str,
    category: &'a str,
    description: &'a str,
    steps: &'a [String],
    checks: &'a [String],
    priority: i32,
    depends_on: &'a [FeatureId],
    regressed: bool,
    /// How often, from 1; absent if it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    regressions: Option<u32>,
    regression: Option<RegressionJson<'a>>,
    previous_failures: &'a [String],
    answers: &'a [(String, String)],
}

#[derive(Serialize)]
struct RegressionJson<'a> {
    reason: &'a str,
    check: Option<&'a str>,
    /// The code that the check exited with; null when it was ended.
    exit_code: Option<i32>,
    /// `exited`, `signalled` or `timed_out`.
    end: Option<&'static str>,
    /// A file; absent when the output is not kept on this machine.
    output: Option<&'a Path>,
    suspects: &'a [Suspect],
}

impl JobView {
    fn regression<'a>(&'a self, feature: &'a JobFeature) -> Option<RegressionJson<'a>> {
        let known = feature.regression.as_ref()?;
        let check = known.check.as_ref();
        Some(RegressionJson {
            reason: &known.reason,
            check: check.map(|run| run.command.as_str()),
            exit_code: check.and_then(|run| run.end.exit_code()),
            end: check.map(|run| run.end.as_str()),
            output: self.outputs.get(&feature.id).map(PathBuf::as_path),
            suspects: &known.suspects,
        })
    }

    fn json(&self) -> io::Result<Vec<u8>> {
        let features = self.features.iter().map(|feature| FeatureJson {
            id: feature.id,
            name: &feature.spec.name,
            category: &feature.spec.category,
            description: &feature.spec.description,
            steps: &feature.spec.steps,
            checks: &feature.spec.checks,
            priority: feature.spec.priority,
            depends_on: &feature.spec.depends_on,
            regressed: feature.regressed,
            regressions: feature.regression.as_ref().map(|known| known.times),
            regression: self.regression(feature),
            previous_failures: &feature.previous_failures,
            answers: &feature.answers,
        });
        Ok(serde_json::to_vec_pretty(&JobJson {
            kind: self.kind,
            attempt: self.attempt,
            attempt_number: self.attempt_number,
            base: &self.base,
            features: features.collect(),
        })?)
    }
}

/// The attempt's own directories for its job and temporary files, beside its worktree and outside
/// of it. They are created and removed together with the worktree.
#[derive(Clone, Debug)]
pub struct AttemptDir {
    job: PathBuf,
    tmp: PathBuf,
    scratch: PathBuf,
}

impl AttemptDir {
    /// The directories of this attempt, whether they exist or not.
    pub fn of(worktrees: &Path, attempt: AttemptId) -> Self {
        let root = worktrees.join(format!("a{}", attempt.0));
        Self {
            job: root.join("job"),
            tmp: root.join("tmp"),
            scratch: root.join("scratch"),
        }
    }

    /// Directory of the job's files.
    pub fn path(&self) -> &Path {
        &self.job
    }

    /// Creates missing directories, readable by this user only.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn make(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.job)?;
        builder.create(&self.tmp)
    }

    /// Directory for temporary files, as in `TMPDIR`.
    pub fn tmp(&self) -> PathBuf {
        self.tmp.clone()
    }

    /// Receives what programs in a cage write into caches; created when needed.
    pub fn scratch(&self) -> PathBuf {
        self.scratch.clone()
    }

    /// Path of the job file, as in `CREWLOG_JOB`.
    pub fn job_file(&self) -> PathBuf {
        self.job.join("job.json")
    }

    /// Path of the prompt, as in `CREWLOG_PROMPT`.
    pub fn prompt_file(&self) -> PathBuf {
        self.job.join("prompt.md")
    }

    /// Path of the verdict, as in `CREWLOG_VERDICT`.
    pub fn verdict_file(&self) -> PathBuf {
        self.job.join("verdict.json")
    }

    /// Path of a shell command that is too long for an argument.
    pub fn script_file(&self) -> PathBuf {
        self.job.join("command.sh")
    }

    /// Writes a shell command into [`Self::script_file`]. Removes whatever is there first: an agent
    /// may have left a link.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_script(&self, command: &str) -> io::Result<()> {
        let path = self.script_file();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(command.as_bytes())
    }

    /// Writes the job and its prompt, and removes an old verdict.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn lay_out(&self, job: &JobView, prompt: &str) -> io::Result<()> {
        match fs::remove_file(self.verdict_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        write(&self.job_file(), &job.json()?)?;
        write(&self.prompt_file(), prompt.as_bytes())
    }

    /// What the agent wrote into the verdict file about these features, and about its session.
    pub fn verdict(&self, features: &[FeatureId]) -> (Reading, Told) {
        match self.verdict_text() {
            Ok(text) => (verdict::parse(&text, features), session::told(&text)),
            Err(problem) => (Reading::unread(&problem), Told::default()),
        }
    }

    /// The contents of the verdict file; empty without one. Fails with what is wrong with it.
    fn verdict_text(&self) -> Result<Vec<u8>, String> {
        let path = self.verdict_file();
        // The agent created it: it may be a pipe that never ends, or a link to anywhere.
        let file = File::options()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&path);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("cannot be opened ({error})")),
            Ok(file) => file,
        };
        let plain = file.metadata().is_ok_and(|meta| meta.is_file());
        if !plain {
            return Err("is not a regular file".to_owned());
        }
        let mut text = Vec::new();
        if let Err(error) = file.take(VERDICT_BYTES_MAX + 1).read_to_end(&mut text) {
            return Err(format!("cannot be read ({error})"));
        }
        Ok(text)
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}

/// The common environment of agents, checks and hooks of one attempt. `own` is the worker's own
/// one.
pub fn environment(
    config: &Config,
    own: impl Iterator<Item = (OsString, OsString)>,
    job: &JobView,
    dir: &AttemptDir,
) -> BTreeMap<OsString, OsString> {
    let mut env = shared_environment(config, own);
    let ids: Vec<String> = job
        .features
        .iter()
        .map(|one| one.id.0.to_string())
        .collect();
    let ports = &job.ports;
    let ours: [(&str, OsString); 10] = [
        (
            "CREWLOG_FEATURE",
            ids.first().cloned().unwrap_or_default().into(),
        ),
        ("CREWLOG_FEATURES", ids.join(",").into()),
        ("CREWLOG_ATTEMPT", job.attempt.0.to_string().into()),
        ("CREWLOG_WORKTREE", job.worktree.clone().into()),
        ("CREWLOG_PORT", ports.start.to_string().into()),
        ("CREWLOG_PORT_COUNT", ports.len().to_string().into()),
        ("TMPDIR", dir.tmp().into()),
        ("CREWLOG_JOB", dir.job_file().into()),
        ("CREWLOG_PROMPT", dir.prompt_file().into()),
        ("CREWLOG_VERDICT", dir.verdict_file().into()),
    ];
    env.extend(ours.map(|(name, value)| (name.into(), value)));
    env
}

/// What agents, checks and hooks get from the worker's own environment and from the config, for any
/// job.
pub fn shared_environment(
    config: &Config,
    own: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    let mut env: BTreeMap<OsString, OsString> = own
        .filter(|(name, _)| is_allowed(name) || passes(&config.pass_env, name))
        .collect();
    env.entry("PATH".into()).or_insert(DEFAULT_PATH.into());
    env.extend(pairs(&config.env));
    env
}

/// Adds what only this agent gets.
pub fn agent_environment(
    mut env: BTreeMap<OsString, OsString>,
    agent: &super::config::AgentConfig,
    own: impl Iterator<Item = (OsString, OsString)>,
) -> BTreeMap<OsString, OsString> {
    for (name, value) in own.filter(|(name, _)| passes(&agent.pass_env, name)) {
        env.entry(name).or_insert(value);
    }
    let ours = |name: &OsString| {
        name.to_str()
            .is_some_and(|name| name.starts_with("CREWLOG_"))
    };
    env.extend(pairs(&agent.env).filter(|(name, _)| !ours(name)));
    env
}

/// The values that are masked in everything that is kept of an attempt: those of variables that
/// only the agent gets, and of all others whose names say that they contain a secret. `own` is the
/// worker's own environment.
pub fn secrets(config: &Config, own: impl Fn(&str) -> Option<String>) -> Mask {
    let agents: Vec<_> = config.used_agents().map(|(_, agent)| agent).collect();
    let credentials = agents.iter().flat_map(|agent| &agent.pass_env);
    let shared = config.pass_env.iter().filter(|name| is_secret_name(name));
    let mut values: Vec<String> = credentials
        .chain(shared)
        .filter_map(|name| own(name))
        .collect();
    let set = agents.iter().map(|agent| &agent.env).chain([&config.env]);
    let named = set.flatten().filter(|(name, _)| is_secret_name(name));
    values.extend(named.map(|(_, value)| value.clone()));
    Mask::new(values.iter().map(String::as_str))
}

fn pairs(values: &BTreeMap<String, String>) -> impl Iterator<Item = (OsString, OsString)> + '_ {
    values
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
}

fn is_allowed(name: &OsStr) -> bool {
    ALLOWED.iter().any(|allowed| name == *allowed)
        || name.to_str().is_some_and(|name| name.starts_with("LC_"))
}

fn passes(pass_env: &[String], name: &OsStr) -> bool {
    pass_env.iter().any(|passed| name == passed.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::config::AgentConfig;

    fn job() -> JobView {
        let feature = |id| JobFeature {
            id: FeatureId(id),
            spec: crate::model::feature::FeatureSpec::default(),
            regressed: false,
            regression: None,
            previous_failures: Vec::new(),
            answers: vec![("q".to_owned(), "a".to_owned())],
        };
        JobView {
            kind: WorkerKind::Coding,
            attempt: AttemptId(7),
            attempt_number: 2,
            base: CommitId::default(),
            features: vec![feature(5), feature(6)],
            worktree: "/w/tree".into(),
            job_file: "/w/job.json".into(),
            verdict_file: "/w/verdict.json".into(),
            ports: 21_010..21_020,
            outputs: BTreeMap::new(),
        }
    }

    fn vars(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn the_environment_is_scrubbed() {
        let own = vars(&[
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("ANTHROPIC_API_KEY", "secret"),
            ("GIT_DIR", "/elsewhere"),
            ("CREWLOG_PORT", "1"),
            ("CARGO_HOME", "/c"),
            ("TMPDIR", "/tmp"),
        ]);
        let mut config = Config::default();
        config.pass_env.push("CARGO_HOME".to_owned());
        config.env.insert("CI".to_owned(), "1".to_owned());
        config.env.insert("TMPDIR".to_owned(), "/x".to_owned());
        let dir = AttemptDir::of(Path::new("/w"), AttemptId(7));
        let env = environment(&config, own.clone().into_iter(), &job(), &dir);
        let expected = vars(&[
            ("CARGO_HOME", "/c"),
            ("CI", "1"),
            ("CREWLOG_ATTEMPT", "7"),
            ("CREWLOG_FEATURE", "5"),
            ("CREWLOG_FEATURES", "5,6"),
            ("CREWLOG_JOB", "/w/a7/job/job.json"),
            ("CREWLOG_PORT", "21010"),
            ("CREWLOG_PORT_COUNT", "10"),
            ("CREWLOG_PROMPT", "/w/a7/job/prompt.md"),
            ("CREWLOG_VERDICT", "/w/a7/job/verdict.json"),
            ("CREWLOG_WORKTREE", "/w/tree"),
            ("LC_ALL", "C"),
            ("PATH", "/bin"),
            ("TMPDIR", "/w/a7/tmp"),
        ]);
        assert_eq!(env.clone().into_iter().collect::<Vec<_>>(), expected);

        // Only the agent gets credentials.
        let agent = AgentConfig {
            pass_env: vec!["ANTHROPIC_API_KEY".to_owned()],
            ..AgentConfig::default()
        };
        let env = agent_environment(env, &agent, own.into_iter());
        let key = env.get(OsStr::new("ANTHROPIC_API_KEY"));
        assert_eq!(key, Some(&OsString::from("secret")));
        assert_eq!(env.len(), expected.len() + 1);
    }

    #[test]
    fn a_job_is_laid_out_and_its_verdict_read() {
        let worktrees = tempfile::tempdir().expect("a directory");
        let dir = AttemptDir::of(worktrees.path(), AttemptId(7));
        dir.make().expect("made");
        fs::write(dir.verdict_file(), "old").expect("written");
        dir.lay_out(&job(), "do it").expect("laid out");
        let features = [FeatureId(5), FeatureId(6)];
        assert_eq!(
            dir.verdict(&features).0,
            Reading::default(),
            "no old verdict"
        );
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(dir.job_file()).expect("a file")).expect("JSON");
        assert_eq!(json["kind"], "coding");
        assert_eq!(json["attempt"], 7);
        assert_eq!(json["features"][1]["id"], 6);
        assert_eq!(json["features"][0]["answers"][0][1], "a");

        let table = [
            (r#"{"feature":5,"verdict":"pass"}"#, true),
            (r#"{"verdict":"pass"}"#, false),
        ];
        for (text, good) in table {
            fs::write(dir.verdict_file(), text).expect("written");
            assert_eq!(dir.verdict(&features).0.note.is_none(), good, "{text}");
        }
        // Anything that is not a file does not stop the worker.
        fs::remove_file(dir.verdict_file()).expect("removed");
        let fifo = rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.verdict_file(),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        );
        fifo.expect("a pipe");
        assert_eq!(
            dir.verdict(&features).0,
            Reading::unread("is not a regular file")
        );
    }
}
