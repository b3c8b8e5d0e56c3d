//! Every path that the cage treats specially, with the reason. The config extends these lists:
//! `cage.read`, `cage.write`, `cage.hide`.
//!
//! Paths that do not begin with `/` are below the home directory.

use super::entries::{Known, PrivateCache, Profile, known, moved, private, profile};

/// Paths that look empty inside the cage.
pub const HIDDEN: &[Known] = &[
    known(".ssh", "private keys; hosts that trust them"),
    known(".gnupg", "private keys; the agent's socket"),
    known(".aws", "access keys"),
    known(".azure", "tokens"),
    known(".oci", "keys"),
    known(".kube", "cluster credentials"),
    known(".docker", "registry credentials; the Docker Desktop socket"),
    known(".colima", "Docker sockets"),
    known(".lima", "virtual machines' keys and sockets"),
    known(".rd", "Rancher Desktop's Docker socket"),
    known(".orbstack", "Docker socket"),
    known(".minikube", "cluster keys"),
    known(".terraform.d", "tokens"),
    known(".terraformrc", "tokens"),
    known(".pulumi", "tokens"),
    known(".vault-token", "token"),
    known(".netrc", "passwords of hosts"),
    known(".authinfo", "passwords of hosts"),
    known(".authinfo.gpg", "passwords of hosts"),
    known(".pgpass", "database passwords"),
    known(".my.cnf", "database passwords"),
    known(".mylogin.cnf", "database passwords"),
    known(".git-credentials", "passwords of git servers"),
    known(".config/git/credentials", "passwords of git servers"),
    known(".config/gh", "GitHub token"),
    known(".config/glab-cli", "GitLab token"),
    known(".config/hub", "GitHub token"),
    known(".config/gcloud", "Google Cloud tokens"),
    known(".config/doctl", "DigitalOcean token"),
    known(".config/op", "1Password"),
    known(".config/sops", "age keys"),
    known(".config/age", "age keys"),
    known(".config/rclone", "storage credentials"),
    known(".config/containers/auth.json", "registry credentials"),
    known(".config/heroku", "token"),
    known(".config/fly", "token"),
    known(".fly", "token"),
    known(".config/netlify", "token"),
    known(".config/vercel", "token"),
    known(".local/share/com.vercel.cli", "token"),
    known(".password-store", "passwords"),
    known(".local/share/keyrings", "passwords"),
    known(".local/share/kwalletd", "passwords"),
    known(".config/keepassxc", "passwords"),
    known(".electrum", "wallet"),
    known(".bitcoin", "wallet"),
    known(".ethereum", "wallet"),
    known(".cargo/credentials.toml", "crates.io token"),
    known(".cargo/credentials", "crates.io token"),
    known(".gem/credentials", "RubyGems token"),
    known(".local/share/gem/credentials", "RubyGems token"),
    known(".config/hcloud", "token"),
    known(".composer/auth.json", "registry credentials"),
    known(".config/composer/auth.json", "registry credentials"),
    known(".mozilla", "browser profile: cookies, passwords"),
    known(".thunderbird", "mail"),
    known(
        ".config/google-chrome",
        "browser profile: cookies, passwords",
    ),
    known(".config/chromium", "browser profile: cookies, passwords"),
    known(
        ".config/BraveSoftware",
        "browser profile: cookies, passwords",
    ),
    known(
        ".config/microsoft-edge",
        "browser profile: cookies, passwords",
    ),
    known(".config/vivaldi", "browser profile: cookies, passwords"),
    known("snap/firefox", "browser profile: cookies, passwords"),
    known("snap/chromium", "browser profile: cookies, passwords"),
    known(".config/Slack", "session tokens"),
    known(".config/discord", "session tokens"),
    known(".config/Signal", "messages"),
    known(".bash_history", "commands with secrets in them"),
    known(".zsh_history", "commands with secrets in them"),
    known(
        ".local/share/fish/fish_history",
        "commands with secrets in them",
    ),
    known(".python_history", "input with secrets in it"),
    known(".node_repl_history", "input with secrets in it"),
    known(".psql_history", "input with secrets in it"),
    known(".mysql_history", "input with secrets in it"),
    known(".local/state/crewlog", "other attempts"),
    known(
        "/run",
        "sockets of the machine's services: docker, containerd, dbus, agents, displays",
    ),
    known("/var/run", "the same, where it is no link to /run"),
    known(
        "/var/spool/cron",
        "other users' jobs; a job started there would outlive the attempt",
    ),
    known("/var/lib/docker", "other containers' files"),
    known("/var/lib/containerd", "other containers' files"),
    known("/var/lib/containers", "other containers' files"),
    known("/var/lib/lxd", "the LXD socket"),
    known("/var/snap/lxd", "the LXD socket"),
    known("/var/lib/incus", "the Incus socket"),
    known("/sys/kernel/debug", "kernel internals, for root"),
    known("/sys/kernel/tracing", "kernel internals, for root"),
    known("/proc/kcore", "the machine's memory, for root"),
    known("/proc/kmsg", "kernel messages, for root"),
    known("/etc/shadow", "password hashes, for root"),
    known("/etc/gshadow", "password hashes, for root"),
    known("/etc/ssh", "host keys, for root"),
    known(
        "/etc/sudoers.d",
        "rules that may hold names of secrets, for root",
    ),
    known("/etc/krb5.keytab", "host key, for root"),
    known("/etc/docker/key.json", "host key, for root"),
    known("/etc/kubernetes", "cluster credentials, for root"),
];

/// Configs of build tools that mirrors and proxies need. They are hidden only if they contain one
/// of these words, which mark a credential.
pub const HIDDEN_IF: &[(&str, &[&str], &str)] = &[
    (".npmrc", &["_auth", "_password"], "npm token"),
    (".yarnrc.yml", &["npmAuth"], "npm token"),
    (".pypirc", &["password", "username"], "PyPI token"),
    (".config/pip/pip.conf", &["@"], "index URL with a password"),
    (".pip/pip.conf", &["@"], "index URL with a password"),
    (
        ".m2/settings.xml",
        &["<password>", "<privateKey>"],
        "Maven password",
    ),
    (
        ".m2/settings-security.xml",
        &["master"],
        "Maven master password",
    ),
    (
        ".gradle/gradle.properties",
        &["assword", "oken", "ecret"],
        "Gradle credentials",
    ),
    (".cargo/config.toml", &["token"], "registry token"),
    (
        ".bundle/config",
        &["__COM", "__IO", "__ORG"],
        "gem server credentials",
    ),
    (
        ".nuget/NuGet/NuGet.Config",
        &["assword", "apikeys"],
        "NuGet credentials",
    ),
    (".gitconfig", GIT_CREDENTIALS, "git server credentials"),
    (
        ".config/git/config",
        GIT_CREDENTIALS,
        "git server credentials",
    ),
];

/// A header, or a URL with a token in it.
const GIT_CREDENTIALS: &[&str] = &[
    "extraheader",
    "Authorization",
    "x-access-token",
    "oauth2:",
    "@github.com/",
    "@gitlab.com/",
    "@bitbucket.org/",
];

/// Paths that become readable again below a hidden directory.
pub const READABLE: &[Known] = &[
    known("/run/systemd/resolve", "/etc/resolv.conf leads here"),
    known("/run/resolvconf", "/etc/resolv.conf leads here"),
    known(
        "/run/NetworkManager/resolv.conf",
        "/etc/resolv.conf leads here",
    ),
    known("/run/nscd", "names of users and hosts"),
    known("/run/current-system", "NixOS: all programs"),
    known("/run/opengl-driver", "NixOS: libraries"),
    known("/run/host", "toolboxes: the host's libraries"),
    moved(
        ".cargo",
        "CARGO_HOME",
        "cargo and rustc, where the home directory is hidden",
    ),
    moved(
        ".rustup",
        "RUSTUP_HOME",
        "toolchains, where the home directory is hidden",
    ),
    moved(
        ".pyenv",
        "PYENV_ROOT",
        "Pythons, where the home directory is hidden",
    ),
    moved(
        ".nvm",
        "NVM_DIR",
        "Nodes, where the home directory is hidden",
    ),
    known(".local/bin", "programs, where the home directory is hidden"),
    moved(
        ".local/share/mise",
        "MISE_DATA_DIR",
        "tools, where the home directory is hidden",
    ),
    moved(
        ".asdf",
        "ASDF_DATA_DIR",
        "tools, where the home directory is hidden",
    ),
    moved(
        ".sdkman",
        "SDKMAN_DIR",
        "Javas, where the home directory is hidden",
    ),
    known(
        ".gitconfig",
        "the person's name, where the home directory is hidden",
    ),
];

/// Caches of build tools. What an attempt writes there is its own and discarded with it: a package
/// that it plants never runs for a person, or in another attempt's check.
pub const CACHES: &[Known] = &[
    moved(
        ".cargo",
        "CARGO_HOME",
        "cargo: registry, git, package lock, installed programs",
    ),
    moved(
        ".rustup",
        "RUSTUP_HOME",
        "rustup: a toolchain that rust-toolchain.toml asks for",
    ),
    moved(
        ".cache",
        "XDG_CACHE_HOME",
        "pip, uv, go build, yarn, playwright, and most others",
    ),
    moved(".npm", "npm_config_cache", "npm: packages, logs"),
    moved("go", "GOPATH", "go: modules"),
    known(".m2", "Maven: repository"),
    moved(
        ".gradle",
        "GRADLE_USER_HOME",
        "Gradle: distributions, caches, daemon registry",
    ),
    known(".ivy2", "sbt, Ivy: repository"),
    known(".sbt", "sbt: boot directory"),
    known(".konan", "Kotlin Native: compilers"),
    known(".pnpm-store", "pnpm: store"),
    moved(".local/share/pnpm", "PNPM_HOME", "pnpm: store"),
    known(".local/state/pnpm", "pnpm: state"),
    known(".yarn", "yarn: packages"),
    moved(".bun", "BUN_INSTALL", "bun: packages"),
    moved(".deno", "DENO_DIR", "deno: packages"),
    known(".node-gyp", "node-gyp: headers"),
    known(".electron-gyp", "node-gyp: headers"),
    known(".bundle", "bundler: gems"),
    moved(".gem", "GEM_HOME", "gem: gems"),
    known(".local/share/gem", "gem: gems"),
    moved(".nuget", "NUGET_PACKAGES", "NuGet: packages"),
    moved(
        ".dotnet",
        "DOTNET_CLI_HOME",
        "dotnet: first-run marks, tools",
    ),
    known(".local/share/NuGet", "NuGet: cache"),
    moved(".composer", "COMPOSER_HOME", "composer: packages"),
    moved(".hex", "HEX_HOME", "Elixir: packages"),
    moved(".mix", "MIX_HOME", "Elixir: archives"),
    moved(".cabal", "CABAL_DIR", "Haskell: packages"),
    moved(".stack", "STACK_ROOT", "Haskell: packages"),
    moved(".opam", "OPAMROOT", "OCaml: packages"),
    moved(".pub-cache", "PUB_CACHE", "Dart: packages"),
    moved(
        ".android",
        "ANDROID_USER_HOME",
        "Android: debug keys, caches",
    ),
    moved(".julia", "JULIA_DEPOT_PATH", "Julia: packages"),
    moved(".ccache", "CCACHE_DIR", "ccache: objects"),
    moved(".conan2", "CONAN_HOME", "Conan: packages"),
    moved(
        ".pyenv",
        "PYENV_ROOT",
        "pyenv: shims, and packages that pip installs",
    ),
    known(".local/lib", "pip --user: packages"),
    known(".local/share/virtualenv", "virtualenv: seeds"),
    known(".local/share/uv", "uv: Pythons, tools"),
    known(".matplotlib", "matplotlib: font cache"),
    known(".ipython", "IPython: profile"),
];

/// The parts of caches that are really written if no overlay file system is available. None of it
/// is on anybody's `PATH`.
pub const SHARED_CACHES: &[Known] = &[
    known(
        ".cargo/registry",
        "cargo: packages, checked by hash when they are unpacked",
    ),
    known(".cargo/git", "cargo: packages from git"),
    known(".cargo/.package-cache", "cargo: lock"),
    known(".cargo/.package-cache-mutate", "cargo: lock"),
    known(".cache", "pip, uv, go build, yarn, and most others"),
    known(".npm", "npm: packages, logs"),
    known("go/pkg", "go: modules"),
    known(".m2/repository", "Maven: repository"),
    known(".gradle/caches", "Gradle: caches"),
    known(".gradle/daemon", "Gradle: daemon registry"),
    known(".gradle/native", "Gradle: native libraries"),
    known(".gradle/wrapper", "Gradle: distributions"),
    known(".ivy2", "sbt, Ivy: repository"),
    known(".pnpm-store", "pnpm: store"),
    known(".local/share/pnpm/store", "pnpm: store"),
    known(".nuget/packages", "NuGet: packages"),
    known(".bundle/cache", "bundler: gems"),
    known(".pub-cache/hosted", "Dart: packages"),
    known(".ccache", "ccache: objects"),
];

/// Caches that a tool needs and that do not exist yet. Inside the cage the tool cannot create them,
/// because the home directory is read-only. Nothing is created in the person's home directory: a
/// variable leads the tool to a directory of the attempt's own, which is discarded with the
/// program, like the overlay of an existing cache. A variable that is already set stays.
pub const PRIVATE_CACHES: &[PrivateCache] = &[
    private(
        ".cache",
        "XDG_CACHE_HOME",
        "pip, uv, go build, and most others",
    ),
    private(".cargo", "CARGO_HOME", "cargo: registry"),
    private(".npm", "npm_config_cache", "npm: packages, logs"),
    private("go", "GOPATH", "go: modules"),
    PrivateCache {
        path: ".m2",
        variable: "MAVEN_OPTS",
        option: "-Dmaven.repo.local=",
        why: "Maven: repository; before 3.9, only the JVM's options move it",
    },
    private(".m2", "MAVEN_USER_HOME", "Maven's wrapper: distributions"),
    private(
        ".gradle",
        "GRADLE_USER_HOME",
        "Gradle: distributions, caches",
    ),
    private(".bundle", "BUNDLE_USER_HOME", "bundler: gems"),
    private(".nuget", "NUGET_PACKAGES", "NuGet: packages"),
    private(
        ".dotnet",
        "DOTNET_CLI_HOME",
        "dotnet: first-run marks, tools",
    ),
];

/// The agents whose directories are known. Each agent's directories are hidden from all others.
pub const PROFILES: &[Profile] = &[
    profile(
        &["claude", "claude-agent-acp", "claude-code-acp"],
        &[".claude"],
        &[
            ".claude.json",
            ".config/claude",
            ".local/share/claude",
            ".local/state/claude",
        ],
        "Claude Code: login, sessions, settings",
    ),
    profile(
        &["codex", "codex-acp"],
        &[".codex"],
        &[],
        "Codex: login, sessions, settings",
    ),
    profile(
        &["gemini"],
        &[".gemini"],
        &[],
        "Gemini CLI: login, sessions, settings",
    ),
    profile(
        &["opencode"],
        &[
            ".config/opencode",
            ".local/share/opencode",
            ".local/state/opencode",
        ],
        &[],
        "opencode: login, sessions, settings",
    ),
    profile(
        &["qwen"],
        &[".qwen"],
        &[],
        "Qwen Code: login, sessions, settings",
    ),
    profile(
        &["goose"],
        &[".config/goose", ".local/share/goose", ".local/state/goose"],
        &[],
        "goose: login, sessions",
    ),
    profile(
        &["copilot"],
        &[".copilot"],
        &[".config/github-copilot"],
        "Copilot CLI: login, sessions",
    ),
    profile(
        &["cursor-agent"],
        &[".cursor"],
        &[".config/cursor"],
        "Cursor: login, sessions",
    ),
    profile(
        &["amp"],
        &[".config/amp", ".local/share/amp"],
        &[],
        "Amp: login, sessions",
    ),
    profile(&["kimi"], &[".kimi"], &[], "Kimi CLI: login, sessions"),
    profile(
        &["vibe", "vibe-acp"],
        &[".vibe"],
        &[],
        "Mistral Vibe: login, sessions",
    ),
    profile(&["auggie"], &[".augment"], &[], "Auggie: login, sessions"),
];

/// Devices that exist in the attempt's `/dev`: they contain nothing of anybody's.
pub const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Below `/proc`, read-only although the rest is not: root could change the machine there.
pub const PROC_READ_ONLY: &[&str] = &["sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi"];

/// Variables that lead to hidden paths.
pub const VARIABLES: &[&str] = &[
    "SSH_AUTH_SOCK",
    "GPG_AGENT_INFO",
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "DOCKER_HOST",
    "CONTAINER_HOST",
];
