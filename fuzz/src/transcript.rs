//! The record of a session: two pieces, each in its two bytes' length, compressed as they are or, as
//! the first byte chooses, by us. Rows come out in bounded size, whatever is in the files.

use std::fs;
use std::path::Path;

use crewlog::agent::transcript;

use super::take::Take;
use super::useful;

/// No row is longer than a reader asks for.
const ROW_BYTES: u64 = 1024;
/// Bytes decompressed that are read; a few of them may stand for very many.
const READ_MAX: usize = 4 << 20;

/// Checks one input.
pub fn check(data: &[u8]) {
    let mut take = Take(data);
    let (choice, head) = (take.byte(), take.sized());
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let dir = dir.expect("a directory");
    let base = dir.path().join("7");
    let file = |ending: &str, bytes: &[u8]| {
        let bytes = match choice & 1 {
            0 => bytes.to_vec(),
            _ => zstd::encode_all(bytes, 1).expect("compressed"),
        };
        fs::write(dir.path().join(format!("7{ending}")), bytes).expect("a file");
    };
    match choice & 2 {
        0 => file(".jsonl.zst", head),
        _ => fs::write(base.with_extension("jsonl"), head).expect("a file"),
    }
    file(".tail-3.jsonl.zst", take.0);
    let mut reader = match transcript::open(&base) {
        Ok(opened) => opened.expect("there is one").0,
        Err(error) => return useful(&error.to_string()),
    };
    let mut read = 0;
    while read < READ_MAX {
        match reader.row(ROW_BYTES) {
            Ok(Some(row)) => {
                assert!(row.len() as u64 <= ROW_BYTES);
                read += row.len() + 1;
            }
            Ok(None) => return,
            Err(error) => return useful(&error.to_string()),
        }
    }
}
