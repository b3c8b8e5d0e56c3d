use super::*;

/// All rows of a record.
fn rows(base: &Path) -> Vec<serde_json::Value> {
    let (mut reader, _) = open(base).expect("readable").expect("it is there");
    let mut rows = Vec::new();
    while let Some(row) = reader.row(1 << 20).expect("a row") {
        rows.push(serde_json::from_slice(&row).expect("JSON"));
    }
    rows
}

fn bytes_on_disk(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let sizes = entries.map(|entry| entry.expect("a file").metadata().expect("a size").len());
    sizes.sum()
}

#[test]
fn lines_become_rows() {
    let directory = tempfile::tempdir().expect("directory");
    let base = directory.path().join("12");
    assert!(open(&base).expect("readable").is_none());
    let transcript = Transcript::create(&base, 1 << 20).expect("file");
    transcript.record(Direction::Out, b"one \"quoted\" \xff", 0);
    transcript.clone().record(Direction::Err, b"two", 9);
    drop(transcript);
    let rows = rows(&base);
    assert_eq!(rows[0]["stream"], "out");
    assert_eq!(rows[0]["line"], "one \"quoted\" \u{fffd}");
    assert_eq!(rows[1]["cut"], 9);
    assert_eq!(rows.len(), 2);
}

/// 300 MB took 257 MB of the disk.
#[test]
fn a_long_session_keeps_its_beginning_and_its_end() {
    let directory = tempfile::tempdir().expect("directory");
    let base = directory.path().join("12");
    let limit = 256 * 1024;
    let transcript = Transcript::create(&base, limit).expect("file");
    let mut noise = 1_u64;
    let mut all = 0;
    for number in 0..20_000 {
        // Noise, which hardly compresses.
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let line = format!("{number} {noise:x}{:x}", noise.rotate_left(17) ^ 0xabcd);
        all += line.len();
        transcript.record(Direction::Out, line.as_bytes(), 0);
        if number % 1_000 == 0 {
            assert!(bytes_on_disk(directory.path()) <= limit);
        }
    }
    drop(transcript);
    assert!(all as u64 > 2 * limit);
    let rows = rows(&base);
    let number = |row: &serde_json::Value| -> Option<u64> {
        row["line"].as_str()?.split(' ').next()?.parse().ok()
    };
    let notes: Vec<usize> = (0..rows.len())
        .filter(|at| rows[*at].get("note").is_some())
        .collect();
    let [gap] = notes.as_slice() else {
        panic!("one gap: {notes:?}");
    };
    let note = rows[*gap]["note"].as_str().expect("words");
    assert!(
        note.contains("left out") && note.contains("workers.transcript_limit"),
        "{note}"
    );
    let numbers: Vec<u64> = rows.iter().filter_map(number).collect();
    let (head, tail) = numbers.split_at(*gap);
    assert_eq!(head, (0..head.len() as u64).collect::<Vec<_>>());
    let first = tail[0];
    assert_eq!(tail, (first..20_000).collect::<Vec<_>>());
    assert!(
        head.len() > 500 && tail.len() > 2 * head.len(),
        "{} {}",
        head.len(),
        tail.len()
    );
    let kept: usize = rows.iter().map(|row| row.to_string().len()).sum();
    assert!(
        kept as u64 <= limit + 1_024 && kept as u64 > limit / 2,
        "{kept}"
    );
    // The next session of this name starts anew.
    drop(Transcript::create(&base, limit).expect("file"));
    let names = std::fs::read_dir(directory.path()).expect("a directory");
    assert_eq!(names.count(), 1);
}

#[test]
fn repetitions_take_hardly_any_space() {
    let directory = tempfile::tempdir().expect("directory");
    let base = directory.path().join("12");
    let transcript = Transcript::create(&base, Transcript::BYTES_MAX).expect("file");
    for number in 0..50_000 {
        let line = format!("{{\"jsonrpc\":\"2.0\",\"method\":\"session/update\",\"n\":{number}}}");
        transcript.record(Direction::Out, line.as_bytes(), 0);
    }
    drop(transcript);
    assert_eq!(rows(&base).len(), 50_000);
    let bytes = bytes_on_disk(directory.path());
    assert!(bytes < 5_000_000 / 8, "{bytes}");
}

#[test]
fn one_line_is_never_longer_than_its_share() {
    let directory = tempfile::tempdir().expect("directory");
    let base = directory.path().join("12");
    let transcript = Transcript::create(&base, 0).expect("file");
    for _ in 0..9 {
        transcript.record(Direction::Out, &[1; 300_000], 7);
    }
    drop(transcript);
    let rows = rows(&base);
    let last = rows.last().expect("a row");
    let kept = last["line"].as_str().expect("text").len() as u64;
    assert_eq!(last["cut"], 300_007 - kept);
    assert!(kept >= Transcript::BYTES_MIN / 64, "{kept}");
}

/// As it is while the worker runs, and after it was killed: the stream has no end.
#[test]
fn what_was_said_can_be_read_before_the_end() {
    let directory = tempfile::tempdir().expect("directory");
    let base = directory.path().join("12");
    let transcript = Transcript::create(&base, 1 << 20).expect("file");
    for round in 1..=3 {
        transcript.record(Direction::Out, format!("round {round}").as_bytes(), 0);
        let begun = Instant::now();
        while rows(&base).len() < round {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it is never flushed"
            );
            std::thread::yield_now();
        }
    }
    // What a power cut or a full disk leaves ends in the middle of a block.
    let whole = std::fs::read(directory.path().join("12.jsonl.zst")).expect("bytes");
    for cut in 0..whole.len() {
        let torn = directory.path().join("13.jsonl.zst");
        std::fs::write(&torn, &whole[..cut]).expect("a file");
        let (mut reader, _) = open(&directory.path().join("13"))
            .expect("readable")
            .expect("there");
        let mut count = 0;
        while let Ok(Some(_)) = reader.row(1 << 20) {
            count += 1;
        }
        assert!(count <= 3, "{cut}");
    }
    drop(transcript);
    assert_eq!(rows(&base).len(), 3);
}

#[test]
fn an_uncompressed_record_is_still_read() {
    let directory = tempfile::tempdir().expect("directory");
    let base = directory.path().join("12");
    let text = "{\"t\":1,\"stream\":\"out\",\"line\":\"old\"}\n{\"note\":\"half";
    std::fs::write(directory.path().join("12.jsonl"), text).expect("a file");
    let (mut reader, path) = open(&base).expect("readable").expect("it is there");
    assert!(path.ends_with("12.jsonl"));
    let row = reader.row(1 << 20).expect("a row").expect("the first");
    assert_eq!(row, text.lines().next().expect("a line").as_bytes());
    assert!(reader.row(1 << 20).expect("a row").is_some());
    assert!(reader.row(1 << 20).expect("the end").is_none());
    for (name, attempt) in [
        ("12.jsonl", Some(12)),
        ("12.jsonl.zst", Some(12)),
        ("12.tail-3.jsonl.zst", Some(12)),
        ("x.jsonl", None),
        ("12.json", None),
        ("12", None),
    ] {
        assert_eq!(attempt_of(Path::new(name)), attempt, "{name}");
    }
}

#[test]
fn a_full_disk_is_no_failure() {
    let directory = tempfile::tempdir().expect("directory");
    let base = directory.path().join("12");
    let core = Transcript::create(&base, 0).expect("opens");
    let Some(handle) = &core.handle else {
        panic!("it writes");
    };
    let full = encoder(Path::new("/dev/full")).expect("opens");
    if let Some(writer) = handle.0.lock().writer.as_mut() {
        writer.stream = full;
    }
    for _ in 0..9 {
        core.record(Direction::Out, &[b'x'; 200_000], 0);
    }
    drop(core);
}
