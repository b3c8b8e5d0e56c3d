//! Ordinary builds of fresh projects, inside the cage, unchanged. A cage in which they fail gets
//! switched off.

use super::kit::{CAGES, Ground, How, has};

/// The machine's own tools and caches are used, so that nothing is downloaded.
fn build(tool: &str, files: &[(&str, &str)], script: &str) {
    if !has(tool) {
        return;
    }
    for how in [How::Free].into_iter().chain(CAGES) {
        let ground = Ground::new();
        for (name, text) in files {
            let path = ground.tree().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let before = ground.in_home();
        let ran = ground.run(how, script);
        assert!(ran.end.passed(), "{tool}, {how:?}: {}", ran.output);
        if how != How::Free {
            assert_eq!(ground.in_home(), before, "{tool}, {how:?}");
        }
    }
}

#[test]
fn cargo() {
    let home = std::env::var("HOME").unwrap_or_default();
    let rustup = std::env::var("RUSTUP_HOME").unwrap_or(format!("{home}/.rustup"));
    let script = format!(
        "export RUSTUP_HOME={rustup}
cargo --offline test --quiet && cargo --offline run --quiet"
    );
    build(
        "cargo",
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"fresh\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\ndep = { path = \"dep\" }\n",
            ),
            (
                "dep/Cargo.toml",
                "[package]\nname = \"dep\"\nversion = \"0.1.0\"\nedition = \"2021\"\nbuild = \"build.rs\"\n",
            ),
            (
                "dep/build.rs",
                "fn main() { println!(\"cargo:rustc-env=MADE=1\"); }",
            ),
            ("dep/src/lib.rs", "pub const MADE: &str = env!(\"MADE\");"),
            (
                "src/main.rs",
                "fn main() { println!(\"{}\", dep::MADE) }\n#[test] fn works() { let dir = std::env::temp_dir().join(\"x\"); std::fs::write(dir, dep::MADE).unwrap(); }",
            ),
        ],
        &script,
    );
}

#[test]
fn npm() {
    build(
        "npm",
        &[
            (
                "package.json",
                "{\"name\":\"fresh\",\"version\":\"1.0.0\",\"scripts\":{\"test\":\"node test.js\"},\"dependencies\":{\"dep\":\"file:dep\"}}",
            ),
            (
                "dep/package.json",
                "{\"name\":\"dep\",\"version\":\"1.0.0\",\"main\":\"index.js\"}",
            ),
            ("dep/index.js", "module.exports = 42;"),
            (
                "test.js",
                "require('net').createServer().listen(0, '127.0.0.1', function () { if (require('dep') !== 42) process.exit(1); this.close(); });",
            ),
        ],
        "npm install --offline --no-audit --no-fund && rm -rf node_modules && npm ci --offline --no-audit --no-fund && npm test",
    );
}

#[test]
fn python() {
    build(
        "python3",
        &[
            ("fresh/__init__.py", "answer = 42\n"),
            (
                "test_fresh.py",
                "import multiprocessing, tempfile, unittest\nimport fresh\nclass T(unittest.TestCase):\n    def test(self):\n        with tempfile.NamedTemporaryFile() as f: f.write(b'x')\n        with multiprocessing.get_context('fork').Pool(2) as pool: self.assertEqual(pool.map(abs, [-1]), [1])\n        self.assertEqual(fresh.answer, 42)\n",
            ),
        ],
        "python3 -m venv --without-pip .venv && .venv/bin/python -m unittest -q test_fresh",
    );
}

#[test]
fn pip() {
    build(
        "pip",
        &[
            (
                "pyproject.toml",
                "[project]\nname = \"fresh\"\nversion = \"1.0\"\n[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n",
            ),
            (
                "backend.py",
                "import zipfile\ndef build_wheel(d, config_settings=None, metadata_directory=None):\n    name = 'fresh-1.0-py3-none-any.whl'\n    with zipfile.ZipFile(d + '/' + name, 'w') as z:\n        z.writestr('fresh.py', 'answer = 42\\n')\n        z.writestr('fresh-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: fresh\\nVersion: 1.0\\n')\n        z.writestr('fresh-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n        z.writestr('fresh-1.0.dist-info/RECORD', '')\n    return name\n",
            ),
        ],
        "$(python3 -c 'import sys; print(sys.executable)') -m pip install --quiet --no-index --disable-pip-version-check --root-user-action=ignore --target site . && PYTHONPATH=site python3 -c 'import fresh; assert fresh.answer == 42'",
    );
}

#[test]
fn make_and_a_c_compiler() {
    build(
        "gcc",
        &[
            (
                "main.c",
                "#include <stdio.h>\n#include <sys/wait.h>\n#include <unistd.h>\nint main(void) { int s; if (fork() == 0) _exit(0); wait(&s); puts(\"ok\"); return s; }\n",
            ),
            (
                "test.sh",
                "#!/bin/sh\nset -e\ngcc -o main main.c\n./main | grep ok\n",
            ),
        ],
        "sh test.sh",
    );
}

#[test]
fn go() {
    build(
        "go",
        &[
            ("go.mod", "module fresh\n\ngo 1.20\n"),
            (
                "fresh.go",
                "package fresh\n\nfunc Answer() int { return 42 }\n",
            ),
            (
                "fresh_test.go",
                "package fresh\n\nimport \"testing\"\n\nfunc TestAnswer(t *testing.T) { if Answer() != 42 { t.Fail() } }\n",
            ),
        ],
        "GOFLAGS=-mod=mod GOTOOLCHAIN=local go test ./...",
    );
}

#[test]
fn java() {
    build(
        "javac",
        &[(
            "Main.java",
            "public class Main { public static void main(String[] a) throws Exception { java.io.File.createTempFile(\"xyz\", \"y\"); System.out.println(42); } }",
        )],
        "javac Main.java && java -Djava.io.tmpdir=$TMPDIR -cp . Main",
    );
}

/// Without any plugin, which would have to be downloaded: but Maven makes its repository all the
/// same, or does not start.
#[test]
fn maven() {
    build(
        "mvn",
        &[(
            "pom.xml",
            "<project><modelVersion>4.0.0</modelVersion><groupId>fresh</groupId><artifactId>fresh</artifactId><version>1</version><packaging>pom</packaging></project>",
        )],
        "JAVA_TOOL_OPTIONS=-Duser.home=$HOME mvn --offline --batch-mode --quiet validate",
    );
}

#[test]
fn git() {
    build(
        "git",
        &[("file", "text\n")],
        "git init -q . && git -c user.name=a -c user.email=a@b.c commit -q --allow-empty -m one && git clone -q . ../tmp-clone 2>/dev/null; git clone -q . clone && git status --short",
    );
}
