//! The bytes of events: what is written today reads for ever, and nothing else reads at all.

mod storage_actors;
mod storage_common;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crewlog::model::event::*;
use crewlog::model::evidence::*;
use crewlog::model::feature::FeatureSpec;
use crewlog::model::ids::*;
use crewlog::queue::encoding::{self, ChainHash, Codec, DecodeError};
use proptest::collection::vec;
use proptest::prelude::*;
use storage_actors::actors;
use storage_common::{big, record, samples, small, without_profiles};

const GOLDEN: &str = include_str!("golden/events.hex");
const EPOCH: Epoch = Epoch(3);

fn encoded(recorded: &Recorded) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoding::encode(recorded, &ChainHash([0x5a; 32]), &mut bytes).unwrap();
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The samples as they were written when their kinds were released: type and version, bytes.
fn golden() -> BTreeMap<(u16, u16), Vec<u8>> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let [number, version, _name, bytes] = fields[..] else {
                panic!("not a golden line: {line}")
            };
            let kind = (number.parse().unwrap(), version.parse().unwrap());
            (kind, unhex(bytes))
        })
        .collect()
}

/// The body in an envelope.
fn body(bytes: &[u8]) -> &[u8] {
    encoding::decode(bytes).unwrap().body
}

#[test]
fn every_kind_has_golden_bytes_and_is_still_written_so() {
    let golden = golden();
    let mut missing = String::new();
    for event in samples() {
        let kind = event.kind();
        let bytes = encoded(&record(u64::from(kind.number), EPOCH, event.clone()));
        match golden.get(&(kind.number, kind.version)) {
            // Version 1 of the envelope is not written any more: its body is, as it was.
            Some(written) => assert!(
                *written == bytes || (written[4] == 1 && body(written) == body(&bytes)),
                "{} of version {} is written differently now. If its shape changed, it needs a new version and an upcaster; the golden line stays.",
                event.name(),
                kind.version,
            ),
            None => writeln!(
                missing,
                "{} {} {} {}",
                kind.number,
                kind.version,
                event.name(),
                hex(&bytes)
            )
            .unwrap(),
        }
    }
    assert!(
        missing.is_empty(),
        "no golden bytes for new kinds; add to tests/golden/events.hex:\n{missing}"
    );
}

#[test]
fn there_is_a_sample_of_every_kind() {
    let kinds: Vec<_> = samples()
        .iter()
        .map(|event| (event.kind(), event.name()))
        .collect();
    assert_eq!(kinds, Event::KINDS, "left: sampled, right: declared");
}

#[test]
fn all_golden_bytes_still_read() {
    let samples: BTreeMap<_, _> = samples()
        .into_iter()
        .map(|event| (event.kind().number, event))
        .collect();
    let golden = golden();
    assert!(golden.len() >= Event::KINDS.len());
    for ((number, version), bytes) in golden {
        let envelope = encoding::decode(&bytes).unwrap();
        assert_eq!(
            (envelope.kind.number, envelope.kind.version),
            (number, version)
        );
        let read = envelope.recorded().unwrap();
        let sample = samples[&number].clone();
        let sample = match version {
            1 => without_profiles(sample),
            _ => sample,
        };
        assert_eq!(read, record(u64::from(number), EPOCH, sample));
    }
}

#[test]
fn envelope_is_laid_out_as_the_table_says() {
    let recorded = small(0x0102_0304, EPOCH);
    let bytes = encoded(&recorded);
    assert_eq!(&bytes[..10], [b'C', b'W', b'L', b'G', 2, 0, 21, 0, 2, 0]);
    assert_eq!(bytes[10..18], 0x0102_0304_u64.to_le_bytes());
    assert_eq!(bytes[18..26], 3_u64.to_le_bytes());
    assert_eq!(bytes[26..34], recorded.at.0.to_le_bytes());
    assert_eq!(bytes[34..50], recorded.cause.0.to_le_bytes());
    assert_eq!(bytes[50..82], [0x5a; 32]);
    let body = bytes.len() - 92;
    assert_eq!(bytes[82..86], (body as u32).to_le_bytes());
    assert_eq!(bytes[86..88], [1, 0]);
    let crc = crc32fast::hash(&bytes[..88 + body]);
    assert_eq!(bytes[88 + body..], crc.to_le_bytes());
}

/// The envelope with a byte changed and the crc made to fit: as a newer version would write it.
fn rewritten(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = bytes[..bytes.len() - 4].to_vec();
    change(&mut bytes);
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn read(bytes: &[u8]) -> Result<Recorded, DecodeError> {
    encoding::decode(bytes)?.recorded()
}

#[test]
fn what_is_not_ours_or_not_whole_is_refused() {
    let bytes = encoded(&small(7, EPOCH));
    let set = |at: usize, value: u8| rewritten(&bytes, |bytes| bytes[at] = value);
    let longer = rewritten(&bytes, |bytes| {
        bytes.push(0);
        let length = u32::from_le_bytes(bytes[82..86].try_into().unwrap()) + 1;
        bytes[82..86].copy_from_slice(&length.to_le_bytes());
    });
    let huge = rewritten(&bytes, |bytes| bytes[82..86].copy_from_slice(&[0xff; 4]));
    // The text's own length says more than the body has.
    let text = rewritten(&bytes, |bytes| {
        bytes[100..108].copy_from_slice(&u64::MAX.to_le_bytes())
    });
    let table: [(&str, &[u8], &str); 10] = [
        ("magic", &set(0, b'X'), "no event starts here"),
        ("envelope version", &set(4, 3), "envelope version 3"),
        ("codec", &set(5, 2), "codec 2"),
        (
            "content without its hash",
            &set(5, 1),
            "the envelope gives a body of",
        ),
        ("unknown type", &set(6, 250), "event type 250"),
        ("newer version", &set(8, 3), "version 3 of AttemptReleased"),
        (
            "trailing bytes",
            &longer,
            "the body of AttemptReleased cannot be decoded",
        ),
        (
            "huge length",
            &huge,
            "the envelope gives a body of 4294967295 bytes",
        ),
        (
            "huge text",
            &text,
            "the body of AttemptReleased cannot be decoded",
        ),
        ("nothing", &[], "truncated: 90 bytes are needed, but only 0"),
    ];
    for (what, bytes, expected) in table {
        let error = read(bytes).expect_err(what).to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_found() {
    let bytes = encoded(&small(7, EPOCH));
    for length in 0..bytes.len() {
        let error = read(&bytes[..length]).unwrap_err();
        assert!(
            matches!(error, DecodeError::Truncated { .. }),
            "{length}: {error}"
        );
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        read(&flipped).expect_err(&format!("bit {bit}"));
    }
}

#[test]
fn long_bodies_stand_elsewhere() {
    let recorded = big(1, EPOCH, 4_000);
    let mut bytes = vec![9; 5];
    let (hash, long) = encoding::encode(&recorded, &ChainHash::default(), &mut bytes).unwrap();
    let long = long.expect("a long body");
    assert_eq!(bytes.len(), 5 + 92 + 32);
    let envelope = encoding::decode(&bytes[5..]).unwrap();
    assert_eq!((envelope.codec, envelope.hash()), (Codec::Content, hash));
    assert_eq!(envelope.content(), Some(long.hash));
    assert_eq!(
        envelope.recorded(),
        Err(DecodeError::BodyElsewhere(long.hash))
    );
    assert_eq!(envelope.recorded_with(&long.bytes).unwrap(), recorded);
}

#[test]
fn an_event_over_the_limit_is_refused_and_leaves_nothing() {
    let mut bytes = vec![1, 2, 3];
    let too_big = big(1, EPOCH, encoding::BODY_BYTES_MAX + 1);
    let error = encoding::encode(&too_big, &ChainHash::default(), &mut bytes).unwrap_err();
    assert!(
        error.to_string().contains("FeatureAdded cannot be written"),
        "{error}"
    );
    assert_eq!(bytes, [1, 2, 3]);
    let fits = big(1, EPOCH, encoding::BODY_BYTES_MAX - 1_000);
    encoding::encode(&fits, &ChainHash::default(), &mut bytes).unwrap();
}

fn text() -> impl Strategy<Value = String> {
    "[a-zäß\\n\u{1F600}]{0,40}"
}

fn features() -> impl Strategy<Value = Vec<FeatureId>> {
    vec(any::<u32>().prop_map(FeatureId), 0..5)
}

fn a_commit() -> impl Strategy<Value = CommitId> {
    "([0-9a-f]{40}|[0-9a-f]{64}|)".prop_map(|digits| digits.parse().unwrap())
}

fn a_spec() -> impl Strategy<Value = FeatureSpec> {
    let texts = (text(), text(), text(), vec(text(), 0..4), vec(text(), 0..4));
    (texts, features(), any::<i32>()).prop_map(|(texts, depends_on, priority)| {
        let (category, name, description, steps, checks) = texts;
        FeatureSpec {
            category,
            name,
            description,
            steps,
            checks,
            depends_on,
            priority,
        }
    })
}

fn runs() -> impl Strategy<Value = Vec<CheckRun>> {
    let run = (text(), any::<i32>(), any::<u64>(), any::<[u8; 32]>());
    let run = run.prop_map(|(command, end, duration_ms, output)| CheckRun {
        command,
        end: end.into(),
        duration_ms,
        output: ContentHash(output),
    });
    vec(run, 0..4)
}

fn an_evidence() -> impl Strategy<Value = Evidence> {
    (a_commit(), a_commit(), runs(), any::<bool>()).prop_map(|(commit, tree, checks, word)| {
        let basis = if word {
            Basis::AgentWord
        } else {
            Basis::Checks
        };
        Evidence {
            basis,
            commit,
            tree,
            checks,
        }
    })
}

fn a_failure() -> impl Strategy<Value = Failure> {
    let kind = prop_oneof![Just(FailureKind::Conflict), Just(FailureKind::Setup)];
    (kind, text(), runs()).prop_map(|(kind, reason, checks)| Failure {
        kind,
        reason,
        checks,
    })
}

fn rank() -> impl Strategy<Value = RankTerms> {
    (any::<bool>(), any::<u64>(), any::<u32>(), any::<i32>()).prop_map(
        |(regressed, chain_ms, unblocks, priority)| RankTerms {
            regressed,
            chain_ms,
            unblocks,
            priority,
        },
    )
}

/// Events of all shapes that have texts or lists, and every sample.
fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        proptest::sample::select(samples()),
        a_backlog_event(),
        an_assignment(),
        a_merge(),
        an_outcome(),
        a_worker(),
    ]
}

fn an_id() -> impl Strategy<Value = FeatureId> + Clone {
    any::<u32>().prop_map(FeatureId)
}

fn an_attempt() -> impl Strategy<Value = AttemptId> {
    any::<u64>().prop_map(AttemptId)
}

fn a_backlog_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (an_id(), a_spec()).prop_map(|(feature, spec)| FeatureAdded { feature, spec }.into()),
        (an_id(), features()).prop_map(|(feature, depends_on)| {
            let set = DependenciesSet {
                feature,
                depends_on,
            };
            set.into()
        }),
    ]
}

fn an_assignment() -> impl Strategy<Value = Event> {
    let others = vec((an_id(), rank()), 0..4);
    let parts = (
        any::<u64>(),
        features(),
        any::<u32>(),
        a_commit(),
        rank(),
        others,
    );
    parts.prop_map(|(worker, features, ready, base, terms, runners_up)| {
        let (worker, attempt_number) = (WorkerId(worker), 1);
        FeatureAssigned {
            worker,
            features,
            attempt_number,
            base,
            terms,
            runners_up,
            ready,
        }
        .into()
    })
}

fn a_merge() -> impl Strategy<Value = Event> {
    let evidence = vec((an_id(), an_evidence()), 0..3);
    let parts = (
        an_attempt(),
        a_commit(),
        a_commit(),
        vec(text(), 0..5),
        evidence,
    );
    parts.prop_map(|(attempt, onto, commit, touched, evidence)| {
        let touched_total = touched.len() as u32;
        MergeStarted {
            attempt,
            onto,
            commit,
            touched,
            touched_total,
            evidence,
        }
        .into()
    })
}

fn an_outcome() -> impl Strategy<Value = Event> {
    let suspects = vec((an_id(), a_commit()), 0..4);
    let found = (an_id(), an_attempt(), a_failure(), suspects);
    let failed = (an_id(), an_attempt(), a_failure(), any::<u64>());
    prop_oneof![
        found.prop_map(|(feature, attempt, failure, suspects)| {
            RegressionFound {
                feature,
                attempt,
                failure,
                suspects,
            }
            .into()
        }),
        failed.prop_map(|(feature, attempt, failure, at)| {
            let not_before = Timestamp(at);
            FeatureFailed {
                feature,
                attempt,
                failure,
                not_before,
            }
            .into()
        }),
        (an_id(), an_attempt(), text()).prop_map(|(feature, attempt, question)| {
            InputRequested {
                feature,
                attempt,
                question,
            }
            .into()
        }),
    ]
}

fn a_worker() -> impl Strategy<Value = Event> {
    let parts = (text(), text(), text(), any::<u32>(), any::<u64>());
    parts.prop_map(|(name, host, boot_id, pid, start_ticks)| {
        let process = ProcessIdentity {
            host,
            boot_id,
            pid,
            start_ticks,
        };
        let kind = crewlog::model::settings::WorkerKind::Coding;
        WorkerJoined {
            kind,
            name,
            process,
        }
        .into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_undoes_encoding(
        event in an_event(),
        numbers in any::<(u64, u64, u64, u128)>(),
        actor in proptest::sample::select(actors().map(|(_, actor)| actor).to_vec()),
        previous in any::<[u8; 32]>(),
    ) {
        let (sequence, epoch, at, cause) = numbers;
        let recorded = Recorded {
            sequence: Sequence(sequence),
            epoch: Epoch(epoch),
            at: Timestamp(at),
            cause: CommandId(cause),
            actor,
            event,
        };
        let mut bytes = Vec::new();
        let (hash, long) = encoding::encode(&recorded, &ChainHash(previous), &mut bytes).unwrap();
        let length = bytes.len();
        bytes.extend_from_slice(b"what follows");
        let envelope = encoding::decode(&bytes).unwrap();
        prop_assert_eq!(envelope.bytes.len(), length);
        prop_assert!(length <= encoding::INLINE_ENVELOPE_BYTES_MAX);
        prop_assert_eq!(envelope.previous, ChainHash(previous));
        prop_assert_eq!(envelope.hash(), hash);
        let body = long.map_or(envelope.body.to_vec(), |long| long.bytes);
        prop_assert_eq!(envelope.recorded_with(&body).unwrap(), recorded);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), kind in 0..Event::KINDS.len()) {
        let _ = read(&bytes);
        // Random bodies under each kind, behind a header that fits.
        let _ = encoding::decode_body(Event::KINDS[kind].0, &bytes);
    }
}
