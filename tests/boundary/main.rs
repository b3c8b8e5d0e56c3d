//! What an agent, a check or a hook cannot do. Each test is a real process that tries: first
//! without a cage, where it succeeds, then in each kind of cage, where it does not.

mod builds;
mod home;
mod kit;
mod processes;
#[path = "../real/mod.rs"]
mod real;
mod resources;
mod run;

use kit::{CAGES, Ground, How, SECRET};

/// Scripts that change what is not the attempt's, and whether they did.
type Write = (&'static str, &'static str, fn(&Ground) -> bool);

const WRITES: &[Write] = &[
    (
        "a file in the home directory",
        "echo x > $HOME/planted",
        |ground| ground.home().join("planted").exists(),
    ),
    (
        "shell start-up files",
        "echo evil >> $HOME/.bashrc",
        |ground| ground.read(".bashrc").contains("evil"),
    ),
    (
        "a program in PATH",
        "echo evil > $HOME/.local/bin/tool; echo evil > $HOME/.cargo/bin/tool",
        |ground| {
            (ground.read(".local/bin/tool") + &ground.read(".cargo/bin/tool")).contains("evil")
        },
    ),
    ("a mode", "chmod 777 $HOME/.profile", |ground| {
        use std::os::unix::fs::PermissionsExt;
        let mode = ground.home().join(".profile").metadata().expect("there");
        mode.permissions().mode() & 0o777 == 0o777
    }),
    ("a removal", "rm -f $HOME/.profile", |ground| {
        !ground.home().join(".profile").exists()
    }),
    ("a rename out", "mv $HOME/.profile .", |ground| {
        !ground.home().join(".profile").exists()
    }),
    (
        "a rename in",
        "echo evil > x; mv x $HOME/.profile",
        |ground| ground.read(".profile").contains("evil"),
    ),
    (
        "a hard link, written through",
        "ln $HOME/.profile here && echo evil > here",
        |ground| ground.read(".profile").contains("evil"),
    ),
    (
        "a symbolic link, written through",
        "ln -s $HOME here && echo evil > here/.profile",
        |ground| ground.read(".profile").contains("evil"),
    ),
    (
        "a path that climbs",
        "echo evil > ../../../.profile",
        |ground| ground.read(".profile").contains("evil"),
    ),
    (
        "the person's checkout",
        "echo evil > $HOME/project/src/private.rs",
        |ground| ground.read("project/src/private.rs").contains("evil"),
    ),
    (
        "another attempt",
        "echo evil > $HOME/attempts/a2/tree/work.rs",
        |ground| ground.read("attempts/a2/tree/work.rs").contains("evil"),
    ),
    (
        "the attempt's private part",
        "echo evil > $HOME/attempts/a1/private/notes",
        |ground| ground.read("attempts/a1/private/notes").contains("evil"),
    ),
    (
        "a file beside the attempt's directories",
        "echo evil > $HOME/attempts/a1/new",
        |ground| ground.home().join("attempts/a1/new").exists(),
    ),
    (
        "a branch",
        "echo evil > $HOME/project/.git/refs/heads/main",
        |ground| ground.read("project/.git/refs/heads/main").contains("evil"),
    ),
    (
        "git's config",
        "echo evil >> $HOME/project/.git/config",
        |ground| ground.read("project/.git/config").contains("evil"),
    ),
    (
        "a git hook",
        "echo evil > $HOME/project/.git/hooks/post-commit",
        |ground| {
            ground
                .home()
                .join("project/.git/hooks/post-commit")
                .exists()
        },
    ),
    (
        "a git lock",
        "echo evil > $HOME/project/.git/packed-refs.lock",
        |ground| ground.home().join("project/.git/packed-refs.lock").exists(),
    ),
    (
        "borrowed objects",
        "echo evil > $HOME/project/.git/objects/info/alternates; rm -f $HOME/project/.git/objects/info/packs",
        |ground| {
            let info = ground.home().join("project/.git/objects/info");
            info.join("alternates").exists() || !info.join("packs").exists()
        },
    ),
    (
        "the config of the run",
        "echo evil > $HOME/project/.crewlog/config.toml",
        |ground| ground.read("project/.crewlog/config.toml").contains("evil"),
    ),
    (
        "the log",
        "echo evil > $HOME/project/.git/crewlog/main/log/db",
        |ground| {
            ground
                .read("project/.git/crewlog/main/log/db")
                .contains("evil")
        },
    ),
    ("/tmp of others", "echo evil > $OTHERS/planted", |ground| {
        ground.others.path().join("planted").exists()
    }),
    (
        "a package in a shared cache",
        "echo evil > $HOME/.cache/pre-commit/hook",
        |ground| ground.read(".cache/pre-commit/hook").contains("evil"),
    ),
    (
        "the source of a dependency",
        "echo evil > $HOME/.cargo/registry/src/dep/build.rs",
        |ground| {
            ground
                .read(".cargo/registry/src/dep/build.rs")
                .contains("evil")
        },
    ),
];

#[test]
fn nothing_is_written_outside_of_the_attempt() {
    for (name, script, changed) in WRITES {
        let ground = Ground::new();
        let free = ground.run(How::Free, script);
        assert!(
            changed(&ground),
            "{name}: this test cannot fail: {}",
            free.output
        );
        for how in CAGES {
            // Landlock knows nothing of modes and times, and without an overlay, caches are
            // shared; see `lists::SHARED_CACHES`.
            let open = [
                "a mode",
                "a package in a shared cache",
                "the source of a dependency",
            ];
            if how == How::LandlockAlone && open.contains(name) {
                continue;
            }
            let ground = Ground::new();
            let caged = ground.run(how, script);
            assert!(!changed(&ground), "{name}, {how:?}: {}", caged.output);
        }
    }
}

#[test]
fn nothing_is_read_that_is_a_secret_or_another_s() {
    let secrets = [
        ".ssh/id_ed25519",
        ".aws/credentials",
        ".gnupg/private-keys-v1.d/key",
        ".netrc",
        ".git-credentials",
        ".config/gh/hosts.yml",
        ".docker/config.json",
        ".kube/config",
        ".cargo/credentials.toml",
        ".npmrc",
        ".bash_history",
        ".codex/auth.json",
        ".claude/.credentials.json",
        "project/.crewlog/config.toml",
        "project/.git/crewlog/main/log/db",
        "project/src/private.rs",
        "attempts/a2/tree/work.rs",
        "attempts/a1/private/notes",
    ];
    let ground = Ground::new();
    for secret in secrets {
        let script = format!("cat $HOME/{secret}; ln -s $HOME/{secret} l; cat l; rm l");
        let free = ground.run(How::Free, &script);
        assert!(
            free.output.contains(SECRET),
            "{secret}: this test cannot fail"
        );
        for how in CAGES {
            let caged = ground.run(how, &script);
            let read = caged.output.contains(SECRET);
            assert!(!read, "{secret}, {how:?}: {}", caged.output);
        }
    }
    let search = "grep -rs the-secret-7f $HOME --exclude-dir=tree; true";
    assert!(ground.run(How::Free, search).output.contains(SECRET));
    for how in CAGES {
        let caged = ground.run(how, search);
        assert!(!caged.output.contains(SECRET), "{how:?}: {}", caged.output);
    }
}

#[test]
fn what_is_the_attempt_s_can_be_used() {
    for how in CAGES {
        let ground = Ground::new();
        let script = "set -e
            echo a > file; mkdir -p d/e; mv file d/e/f; ln d/e/f g; ln -s g h; rm g; chmod 755 d
            t=$(mktemp -d); echo b > $t/x; cp $t/x moved
            echo c > /dev/null; head -c 4 /dev/urandom > /dev/zero; echo d > /dev/stderr
            cat /etc/passwd > users; cat $HOME/project/.git/objects/info/packs
            echo $((1 + 1)) > $HOME/attempts/a1/job/verdict.json
            ls /usr > usr; test -z \"$SSH_AUTH_SOCK\"
            grep NoNewPrivs:.1 /proc/self/status";
        let ran = ground.run(how, script);
        assert!(ran.end.passed(), "{how:?}: {}", ran.output);
        assert_eq!(ground.read("attempts/a1/job/verdict.json"), "2\n");
        assert_eq!(ground.read("attempts/a1/tree/d/e/f"), "a\n");
    }
}

#[test]
fn the_agent_that_is_run_has_its_own_profile_and_no_other() {
    for how in CAGES {
        let mut ground = Ground::new();
        ground.command = vec!["npx".into(), "@openai/codex".into()];
        let ran = ground.run(how, "cat $HOME/.codex/auth.json; echo new > $HOME/.codex/auth.json; cat $HOME/.claude/.credentials.json");
        assert_eq!(
            ran.output.matches(SECRET).count(),
            1,
            "{how:?}: {}",
            ran.output
        );
        assert_eq!(ground.read(".codex/auth.json"), "new\n", "{how:?}");
    }
}

#[test]
fn the_config_opens_a_path_and_its_lack_is_explained() {
    for how in CAGES {
        let mut ground = Ground::new();
        let caged = ground.run(how, "echo x > $HOME/.local/bin/tool");
        assert!(!caged.end.passed());
        let told = crewlog::agent::cage::blame::explain(&caged.output, &ground.cage());
        let told = told.unwrap_or_else(|| panic!("{how:?}: {}", caged.output));
        let path = ground.home().join(".local/bin/tool");
        assert!(told.contains(&format!("cage.write = [{path:?}]")), "{told}");
        ground.write.push("~/.local/bin".to_owned());
        let caged = ground.run(how, "echo x > $HOME/.local/bin/tool");
        assert!(caged.end.passed(), "{how:?}: {}", caged.output);
        assert_eq!(ground.read(".local/bin/tool"), "x\n");
    }
}
