//! What a cage makes in the person's home directory: nothing, but for what the agent itself needs.

use super::kit::{CAGES, Ground};

/// Writes where each tool's variable leads, and fails where somebody was before.
const FILLS: &str = r#"set -e
for dir in "$XDG_CACHE_HOME" "$CARGO_HOME" "$npm_config_cache" "$GOPATH" "${MAVEN_OPTS#-Dmaven.repo.local=}" \
    "$MAVEN_USER_HOME/wrapper" "$GRADLE_USER_HOME" "$BUNDLE_USER_HOME" "$NUGET_PACKAGES" "$DOTNET_CLI_HOME"; do
    case $dir in /*) ;; *) echo "no directory: $dir"; exit 1 ;; esac
    mkdir -p "$dir/deep"
    test ! -e "$dir/deep/tool"
    printf '#!/bin/sh\necho runs\n' > "$dir/deep/tool"
    chmod +x "$dir/deep/tool"
    test "$("$dir/deep/tool")" = runs
done"#;

#[test]
fn a_home_without_caches_stays_as_it_is_and_tools_can_write() {
    for how in CAGES {
        let ground = Ground::new();
        for cache in [".cargo", ".cache"] {
            std::fs::remove_dir_all(ground.home().join(cache)).expect("removed");
        }
        let before = ground.in_home();
        for program in ["the agent", "its check"] {
            let ran = ground.run(how, FILLS);
            assert!(ran.end.passed(), "{program}, {how:?}: {}", ran.output);
        }
        assert_eq!(ground.in_home(), before, "{how:?}");
    }
}

#[test]
fn a_cache_that_is_there_is_used_where_it_is() {
    for how in CAGES {
        let ground = Ground::new();
        let ran = ground.run(
            how,
            "test -z \"$CARGO_HOME$XDG_CACHE_HOME\" && cat ~/.cargo/registry/src/dep/build.rs",
        );
        assert!(ran.end.passed(), "{how:?}: {}", ran.output);
        assert_eq!(ran.output, "as it was\n", "{how:?}");
    }
}

#[test]
fn an_agent_finds_its_own_directories_in_a_fresh_home() {
    for how in CAGES {
        let mut ground = Ground::new();
        ground.command = vec!["opencode".into(), "acp".into()];
        let before = ground.in_home();
        let script = "for dir in .config .local/share .local/state; do echo x > ~/$dir/opencode/file || exit; done";
        let ran = ground.run(how, script);
        assert!(ran.end.passed(), "{how:?}: {}", ran.output);
        let after = ground.in_home();
        let new: Vec<&str> = after.difference(&before).map(String::as_str).collect();
        let expected = [
            ".config/opencode",
            ".config/opencode/file",
            ".local/share",
            ".local/share/opencode",
            ".local/share/opencode/file",
            ".local/state",
            ".local/state/opencode",
            ".local/state/opencode/file",
        ];
        assert_eq!(new, expected, "{how:?}");
    }
}
