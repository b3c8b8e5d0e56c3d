//! Reads the person's git configuration.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Result;
use super::blocking::blocking;
use super::repository::Repository;
use super::settings::Settings;

/// Patterns of ignored files and of attributes are some lines. A larger file is not read.
const PATTERNS_BYTES_MAX: u64 = 1 << 20;

impl Repository {
    /// The person's configuration, read now unless it is already known.
    pub(super) async fn settings(&self) -> Result<&Settings> {
        let read = || self.read_settings();
        self.known_settings().get_or_try_init(read).await
    }

    /// Reads the person's configuration as it is now.
    ///
    /// # Errors
    /// git cannot read it: the error names the file and the line.
    pub async fn read_settings(&self) -> Result<Settings> {
        let listed = self
            .persons_call("read git's configuration")
            .args(["config", "--list", "--show-scope", "-z"])
            .ok()
            .await?;
        let mut settings = Settings::of(&listed.stdout);
        let excludes = self.patterns_file("core.excludesFile", "ignore").await?;
        let attributes = self
            .patterns_file("core.attributesFile", "attributes")
            .await?;
        let info = self.common_dir().join("info");
        let doing = "read git's configuration";
        blocking(doing, info, move |info| {
            settings.exclude = patterns(&info.join("exclude"))?;
            settings.attributes = patterns(&info.join("attributes"))?;
            settings.users_exclude = excludes.map_or(Ok(String::new()), |path| patterns(&path))?;
            let theirs = attributes.map_or(Ok(String::new()), |path| patterns(&path));
            settings.users_attributes = theirs?;
            Ok(settings)
        })
        .await
    }

    /// The file of patterns that a key names, or git's default.
    async fn patterns_file(&self, key: &str, default: &str) -> Result<Option<PathBuf>> {
        let call = self.persons_call("read git's configuration");
        let call = call.args(["config", "-z", "--type=path", "--get", key]);
        let (call, output) = call.run_keeping().await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.code {
            0 => Ok(Some(self.project_dir().join(text.trim_end_matches('\0')))),
            1 => Ok(config_home().map(|home| home.join("git").join(default))),
            _ => Err(call.failed(&output)),
        }
    }
}

fn config_home() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let home = || set("HOME").map(|home| PathBuf::from(home).join(".config"));
    set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)
}

fn patterns(path: &Path) -> io::Result<String> {
    // A pipe in its place would be read forever.
    if !fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path)?.take(PATTERNS_BYTES_MAX);
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
