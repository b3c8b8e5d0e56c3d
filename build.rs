//! Lists the demo's files, so that the binary carries them and needs nothing beside itself.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const EXAMPLE: &str = "examples/shoebox";

fn files(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={EXAMPLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let example = root.join(EXAMPLE);
    let mut found = Vec::new();
    files(&example, &mut found)?;
    let mut table = String::from("&[\n");
    for path in found {
        let name = path.strip_prefix(&example).unwrap_or(&path);
        let below = Path::new("/").join(EXAMPLE).join(name);
        // The path is put together by the compiler: clones that share a target directory share this
        // list. Writing to a String cannot fail.
        let file = format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), {below:?})");
        let _ = writeln!(table, "    ({name:?}, include_bytes!({file})),");
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("example.rs"), table)
}
