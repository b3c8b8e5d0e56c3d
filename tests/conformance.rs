//! What every log promises, asked of each implementation in the same words.

mod storage_common;

use std::path::Path;
use std::sync::Arc;

use crewlog::model::event::Recorded;
use crewlog::model::ids::{Epoch, Sequence};
use crewlog::queue::log::{EventLog, Head, hash_at, subscribe};
use crewlog::queue::{ChainHash, Error, MemoryLog, OpenOptions, SledLog, verify};
use storage_common::{big, small, smalls};

/// One implementation: a fresh log, and the same log as the next process finds it.
trait Subject {
    fn open(&mut self) -> Arc<dyn EventLog>;
    fn reopen(&mut self, log: Arc<dyn EventLog>) -> Arc<dyn EventLog>;
}

#[derive(Default)]
struct Memory {
    open: Option<Arc<MemoryLog>>,
}

impl Subject for Memory {
    fn open(&mut self) -> Arc<dyn EventLog> {
        let log = Arc::new(MemoryLog::new());
        self.open = Some(log.clone());
        log
    }

    fn reopen(&mut self, _: Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        let log = Arc::new(self.open.take().unwrap().restart());
        self.open = Some(log.clone());
        log
    }
}

struct Sled {
    dir: tempfile::TempDir,
    count: usize,
}

impl Sled {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, count: 0 }
    }

    fn at(path: &Path) -> Arc<dyn EventLog> {
        Arc::new(SledLog::open(path, &OpenOptions::default()).unwrap())
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join(self.count.to_string())
    }
}

impl Subject for Sled {
    fn open(&mut self) -> Arc<dyn EventLog> {
        self.count += 1;
        Self::at(&self.path())
    }

    fn reopen(&mut self, log: Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        assert_eq!(Arc::strong_count(&log), 1, "somebody still holds the log");
        drop(log);
        Self::at(&self.path())
    }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod memory { $(#[test] fn $name() { super::$name(&mut super::Memory::default()); })* }
        mod sled { $(#[test] fn $name() { super::$name(&mut super::Sled::new()); })* }
    };
}

conformance! {
    an_empty_log_is_empty,
    appended_events_are_read_as_they_were,
    appends_are_conditional_on_the_head,
    sequences_are_dense_and_epochs_the_writers,
    an_epoch_fences_the_one_before,
    nobody_appends_without_leading,
    reads_begin_anywhere_and_are_bounded,
    any_split_into_batches_gives_the_same_chain,
    big_events_come_back_whole,
    an_event_over_the_limit_appends_nothing,
    a_reopened_log_goes_on,
    copied_envelopes_keep_their_hashes,
    subscriptions_begin_anywhere_without_gap_or_repeat,
    a_subscription_to_the_future_waits,
    readers_on_other_threads_see_a_prefix,
}

fn all(log: &dyn EventLog) -> Vec<Recorded> {
    let mut events = Vec::new();
    loop {
        let chunk = log.read(Sequence(events.len() as u64 + 1), 10_000).unwrap();
        if chunk.is_empty() {
            return events;
        }
        events.extend(chunk.events(log.contents()).unwrap());
    }
}

/// A fresh log with `count` small events, and its epoch.
fn filled(subject: &mut dyn Subject, count: u64) -> (Arc<dyn EventLog>, Epoch) {
    let log = subject.open();
    let epoch = log.lead().unwrap();
    let batch = smalls(1, count, epoch);
    for (index, part) in batch.chunks(7).enumerate() {
        log.append(part, Sequence(index as u64 * 7), epoch).unwrap();
    }
    (log, epoch)
}

fn an_empty_log_is_empty(subject: &mut dyn Subject) {
    let log = subject.open();
    assert_eq!(log.head(), Head::default());
    for from in [0, 1, 2, u64::MAX] {
        assert!(log.read(Sequence(from), 1_000).unwrap().is_empty());
    }
    assert_eq!(
        hash_at(&*log, Sequence(0)).unwrap(),
        Some(ChainHash::default())
    );
    assert_eq!(hash_at(&*log, Sequence(1)).unwrap(), None);
    assert_eq!(verify(&*log).unwrap().events, 0);
}

fn appended_events_are_read_as_they_were(subject: &mut dyn Subject) {
    let (log, epoch) = filled(subject, 100);
    assert_eq!(all(&*log), smalls(1, 100, epoch));
    let head = log.head();
    assert_eq!((head.sequence, head.epoch), (Sequence(100), epoch));
    assert_eq!(*log.heads().borrow(), head);
    assert_eq!(hash_at(&*log, Sequence(100)).unwrap(), Some(head.hash));
    assert_eq!(verify(&*log).unwrap().head, head);
    assert_eq!(log.append(&[], Sequence(100), epoch).unwrap(), head);
}

fn appends_are_conditional_on_the_head(subject: &mut dyn Subject) {
    let (log, epoch) = filled(subject, 10);
    let before = log.head();
    for expected in [0, 9, 11] {
        let error = log.append(&[small(expected + 1, epoch)], Sequence(expected), epoch);
        let Err(Error::Conflict { head, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(head, before);
    }
    assert_eq!(log.head(), before);
    let head = log
        .append(&[small(11, epoch)], Sequence(10), epoch)
        .unwrap();
    assert_eq!(head.sequence, Sequence(11));
    assert_eq!(all(&*log), smalls(1, 11, epoch));
}

fn sequences_are_dense_and_epochs_the_writers(subject: &mut dyn Subject) {
    let (log, epoch) = filled(subject, 3);
    let gap = [small(4, epoch), small(6, epoch)];
    let repeat = [small(4, epoch), small(4, epoch)];
    let late = [small(5, epoch)];
    let foreign = [small(4, epoch), small(5, Epoch(epoch.0 + 1))];
    for batch in [&gap[..], &repeat, &late, &foreign] {
        let error = log.append(batch, Sequence(3), epoch).unwrap_err();
        assert!(matches!(error, Error::NotNext { .. }), "{error}");
    }
    assert_eq!(all(&*log), smalls(1, 3, epoch));
    log.append(&smalls(4, 2, epoch), Sequence(3), epoch)
        .unwrap();
}

fn an_epoch_fences_the_one_before(subject: &mut dyn Subject) {
    let (log, first) = filled(subject, 3);
    let second = log.lead().unwrap();
    assert!(second > first);
    let error = log
        .append(&[small(4, first)], Sequence(3), first)
        .unwrap_err();
    assert!(
        matches!(error, Error::Fenced { current, given } if current == second && given == first)
    );
    // Fenced comes first: who is deposed has no business with the head.
    let error = log
        .append(&[small(1, first)], Sequence(0), first)
        .unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    let future = Epoch(second.0 + 1);
    let error = log
        .append(&[small(4, future)], Sequence(3), future)
        .unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    log.append(&[small(4, second)], Sequence(3), second)
        .unwrap();
    assert_eq!(log.head().epoch, second);
}

fn nobody_appends_without_leading(subject: &mut dyn Subject) {
    let log = subject.open();
    let error = log
        .append(&[small(1, Epoch(0))], Sequence(0), Epoch(0))
        .unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error}");
    let epoch = log.lead().unwrap();
    let log = subject.reopen(log);
    let error = log
        .append(&[small(1, epoch)], Sequence(0), epoch)
        .unwrap_err();
    assert!(
        matches!(error, Error::Fenced { .. }),
        "an epoch of an earlier process: {error}"
    );
    assert!(log.lead().unwrap() > epoch, "the epoch is durable");
}

fn reads_begin_anywhere_and_are_bounded(subject: &mut dyn Subject) {
    let (log, epoch) = filled(subject, 200);
    let expected = smalls(1, 200, epoch);
    for from in 1..=200 {
        let chunk = log.read(Sequence(from), 1).unwrap();
        assert_eq!(
            (chunk.first, chunk.count),
            (Sequence(from), 1),
            "one at least"
        );
        for bytes_max in [500, 5_000, usize::MAX] {
            let chunk = log.read(Sequence(from), bytes_max).unwrap();
            assert!(chunk.bytes.len() <= bytes_max);
            let events = chunk.events(log.contents()).unwrap();
            let start = from as usize - 1;
            assert_eq!(events, expected[start..start + events.len()]);
            assert_eq!(chunk.next(), Sequence(from + events.len() as u64));
            let rest = log.read(chunk.next(), 1).unwrap();
            let room = bytes_max - chunk.bytes.len();
            assert!(
                rest.is_empty() || rest.bytes.len() > room,
                "more would have fitted"
            );
        }
    }
    assert_eq!(
        log.read(Sequence(0), 900).unwrap(),
        log.read(Sequence(1), 900).unwrap()
    );
    for beyond in [201, 202, u64::MAX] {
        assert!(log.read(Sequence(beyond), 900).unwrap().is_empty());
    }
}

fn any_split_into_batches_gives_the_same_chain(subject: &mut dyn Subject) {
    let mut hashes = Vec::new();
    for size in [1, 3, 16, 64, 120] {
        let log = subject.open();
        let epoch = log.lead().unwrap();
        for part in smalls(1, 120, epoch).chunks(size) {
            log.append(part, log.head().sequence, epoch).unwrap();
        }
        assert_eq!(all(&*log), smalls(1, 120, epoch));
        hashes.push(log.head().hash);
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

fn big_events_come_back_whole(subject: &mut dyn Subject) {
    let log = subject.open();
    let epoch = log.lead().unwrap();
    let sizes = [
        10, 2_800, 3_000, 3_100, 4_096, 9_000, 200_000, 1_000_000, 20,
    ];
    let sized = (1..).zip(sizes);
    let batch: Vec<_> = sized
        .map(|(sequence, bytes)| big(sequence, epoch, bytes))
        .collect();
    log.append(&batch, Sequence(0), epoch).unwrap();
    assert_eq!(all(&*log), batch);
    let verified = verify(&*log).unwrap();
    assert!(verified.long_bodies >= 5, "{verified:?}");
    let log = subject.reopen(log);
    assert_eq!(all(&*log), batch);
}

fn an_event_over_the_limit_appends_nothing(subject: &mut dyn Subject) {
    let (log, epoch) = filled(subject, 2);
    let batch = [small(3, epoch), big(4, epoch, 2_000_000)];
    let error = log.append(&batch, Sequence(2), epoch).unwrap_err();
    assert!(matches!(error, Error::Encode(_)), "{error}");
    assert_eq!(log.head().sequence, Sequence(2));
    log.append(&[small(3, epoch)], Sequence(2), epoch).unwrap();
}

fn a_reopened_log_goes_on(subject: &mut dyn Subject) {
    let (mut log, mut epoch) = filled(subject, 50);
    let mut expected = smalls(1, 50, epoch);
    for round in 0..4 {
        let head = log.head();
        log = subject.reopen(log);
        assert_eq!(log.head(), head);
        assert_eq!(all(&*log), expected);
        let next = log.lead().unwrap();
        assert!(next > epoch);
        epoch = next;
        let batch = smalls(head.sequence.0 + 1, 5 + 20 * round, epoch);
        log.append(&batch, head.sequence, epoch).unwrap();
        expected.extend(batch);
    }
    assert_eq!(all(&*log), expected);
    verify(&*log).unwrap();
}

fn copied_envelopes_keep_their_hashes(subject: &mut dyn Subject) {
    let (source, _) = filled(subject, 30);
    let later = source.lead().unwrap();
    source
        .append(&smalls(31, 30, later), Sequence(30), later)
        .unwrap();
    let bytes = source.read(Sequence(1), usize::MAX).unwrap().bytes;

    let log = subject.open();
    let epoch = log.lead().unwrap();
    let error = log
        .append_copied(&bytes[10..], Sequence(0), epoch)
        .unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    let second = source.read(Sequence(2), usize::MAX).unwrap().bytes;
    let error = log.append_copied(&second, Sequence(0), epoch).unwrap_err();
    assert!(matches!(error, Error::NotNext { .. }), "{error}");
    assert_eq!(log.head(), Head::default());
    log.append_copied(&bytes, Sequence(0), epoch).unwrap();
    assert_eq!(log.head(), source.head());
    assert_eq!(all(&*log), all(&*source));
    // The copied events' epochs are history here as well.
    assert!(log.lead().unwrap() > later);
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

fn subscriptions_begin_anywhere_without_gap_or_repeat(subject: &mut dyn Subject) {
    let (log, epoch) = filled(subject, 100);
    let end = 400;
    let writer = Arc::clone(&log);
    let followers: Vec<_> = [0, 1, 2, 57, 100, 101, 250, end]
        .map(|from| {
            let mut subscription = subscribe(Arc::clone(&log), Sequence(from));
            async move {
                let mut seen = Vec::new();
                while subscription.position() <= Sequence(end) {
                    let chunk = subscription.next_batch().await.unwrap();
                    assert!(!chunk.is_empty());
                    seen.extend(
                        chunk
                            .envelopes()
                            .map(|envelope| envelope.unwrap().sequence.0),
                    );
                }
                (from, seen)
            }
        })
        .into();
    runtime().block_on(async {
        let writing = tokio::task::spawn_blocking(move || {
            let mut next = 101;
            for size in (1..12).cycle() {
                let size = size.min(end + 1 - next);
                if size == 0 {
                    break;
                }
                writer
                    .append(&smalls(next, size, epoch), Sequence(next - 1), epoch)
                    .unwrap();
                next += size;
            }
        });
        let followers: Vec<_> = followers.into_iter().map(tokio::spawn).collect();
        for follower in followers {
            let (from, seen) = follower.await.unwrap();
            let expected: Vec<_> = (from.max(1)..=end).collect();
            assert_eq!(seen, expected, "from {from}");
        }
        writing.await.unwrap();
    });
}

fn a_subscription_to_the_future_waits(subject: &mut dyn Subject) {
    let (log, epoch) = filled(subject, 5);
    let mut subscription = subscribe(Arc::clone(&log), Sequence(8));
    runtime().block_on(async {
        let mut waiting = Box::pin(subscription.next_batch());
        assert!(futures::poll!(&mut waiting).is_pending());
        log.append(&smalls(6, 2, epoch), Sequence(5), epoch)
            .unwrap();
        assert!(futures::poll!(&mut waiting).is_pending());
        // A call that is given up has taken nothing.
        drop(waiting);
        log.append(&smalls(8, 2, epoch), Sequence(7), epoch)
            .unwrap();
        let chunk = subscription.next_batch().await.unwrap();
        assert_eq!((chunk.first, chunk.count), (Sequence(8), 2));
    });
}

fn readers_on_other_threads_see_a_prefix(subject: &mut dyn Subject) {
    let (log, epoch) = filled(subject, 10);
    let end = 300;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while last < end {
                    let head = log.head();
                    let count = all(&*log).len() as u64;
                    assert!(count >= head.sequence.0 && count >= last);
                    last = count;
                }
            });
        }
        for sequence in 11..=end {
            log.append(&[small(sequence, epoch)], Sequence(sequence - 1), epoch)
                .unwrap();
        }
    });
}
