//! Caches of the attempt's own, for tools whose cache the person does not have.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::entries::PrivateCache;
use super::lists::PRIVATE_CACHES;

/// Creates a directory below `root` for each cache that is missing in `home`. Returns the variables
/// that lead there, and whether there are any.
pub(super) fn caches(
    env: &BTreeMap<OsString, OsString>,
    home: Option<&Path>,
    root: &Path,
) -> (BTreeMap<String, String>, bool) {
    let missing = |cache: &&PrivateCache| home.is_none_or(|home| !home.join(cache.path).exists());
    let mut variables = BTreeMap::new();
    for cache in PRIVATE_CACHES.iter().filter(missing) {
        let directory = root.join(cache.path.trim_start_matches('.'));
        let Some(value) = value(cache, env.get(OsStr::new(cache.variable)), &directory) else {
            continue;
        };
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory);
        // Without it the tool fails as it would without a cage, and names the place.
        if made.is_ok() {
            variables.insert(cache.variable.to_owned(), value);
        }
    }
    let any = !variables.is_empty();
    (variables, any)
}

/// The variable's new value; `None` if it stays as it is.
fn value(cache: &PrivateCache, set: Option<&OsString>, directory: &Path) -> Option<String> {
    let directory = directory.to_str()?;
    if cache.option.is_empty() {
        return set.is_none().then(|| directory.to_owned());
    }
    let set = set.map_or(Some(""), |set| set.to_str())?;
    // Such a variable is split at spaces, without any quotes.
    if set.contains(cache.option) || directory.contains(char::is_whitespace) {
        return None;
    }
    let option = format!("{}{directory}", cache.option);
    Some(match set.is_empty() {
        true => option,
        false => format!("{set} {option}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(set: &[(&str, &str)], has: &[&str]) -> BTreeMap<String, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let home = dir.path().join("home");
        for path in has {
            std::fs::create_dir_all(home.join(path)).expect("made");
        }
        let set = set.iter().map(|(key, value)| (key.into(), value.into()));
        let (variables, any) = caches(&set.collect(), Some(&home), &dir.path().join("own"));
        assert_eq!(any, !variables.is_empty());
        let own = dir.path().to_str().expect("a text").to_owned();
        let plain = variables
            .into_iter()
            .map(|(key, value)| (key, value.replace(&own, "")));
        plain.collect()
    }

    #[test]
    fn a_cache_that_is_there_or_set_is_left_alone() {
        let has = [
            ".cache", ".cargo", "go", ".m2", ".gradle", ".bundle", ".nuget",
        ];
        let set = [("DOTNET_CLI_HOME", "/d")];
        let found = made(&set, &has);
        let expected = ("npm_config_cache".to_owned(), "/own/npm".to_owned());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn an_option_is_added_to_those_that_are_set() {
        let options = |set: &[_]| made(set, &[]).remove("MAVEN_OPTS");
        let ours = "-Dmaven.repo.local=/own/m2";
        assert_eq!(options(&[]).as_deref(), Some(ours));
        let both = options(&[("MAVEN_OPTS", "-Xmx1g")]).expect("set");
        assert_eq!(both, format!("-Xmx1g {ours}"));
        assert_eq!(options(&[("MAVEN_OPTS", "-Dmaven.repo.local=/r")]), None);
    }
}
