//! SQLite in this process, with a write-ahead log that is synced at every commit. It has one writer,
//! so the workers take turns on one connection: threads would only wait for each other.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{AHEAD, System, rate};

const SETUP: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE jobs (id INTEGER PRIMARY KEY, name TEXT NOT NULL, worker INTEGER);
";
const ENQUEUE: &str = "INSERT INTO jobs (name) VALUES (?1)";
const RESERVE: &str = "
    UPDATE jobs SET worker = ?1
    WHERE id = (SELECT id FROM jobs WHERE worker IS NULL ORDER BY id LIMIT 1)
    RETURNING id";
const COMPLETE: &str = "DELETE FROM jobs WHERE id = ?1";

/// The one that is built in.
pub struct Sqlite;

impl System for Sqlite {
    fn title(&self) -> String {
        format!("SQLite {}, no socket", rusqlite::version())
    }

    fn measure(&self, dir: &Path, workers: usize, spell: Duration) -> f64 {
        let connection = Connection::open(dir.join("jobs.sqlite")).expect("a database");
        connection.execute_batch(SETUP).expect("a table");
        let (mut enqueued, mut done, mut turn) = (0, 0, 0);
        let mut held: Vec<Option<i64>> = vec![None; workers];
        rate(spell, |spell| {
            let (start, before) = (Instant::now(), done);
            while start.elapsed() < spell {
                if enqueued - done < AHEAD {
                    enqueue(&connection, enqueued).expect("enqueued");
                    enqueued += AHEAD;
                }
                if let Some(job) = held[turn].take() {
                    let mut complete = connection.prepare_cached(COMPLETE).expect("a statement");
                    assert_eq!(complete.execute([job]).expect("completed"), 1);
                    done += 1;
                }
                let mut reserve = connection.prepare_cached(RESERVE).expect("a statement");
                let job = reserve.query_row(params![turn as i64], |row| row.get(0));
                held[turn] = job.optional().expect("reserved");
                turn = (turn + 1) % workers;
            }
            done - before
        })
    }
}

/// Many jobs in one transaction.
fn enqueue(connection: &Connection, last: u64) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    let mut insert = transaction.prepare_cached(ENQUEUE)?;
    for number in last + 1..=last + AHEAD {
        insert.execute([format!("feature {number}")])?;
    }
    drop(insert);
    transaction.commit()
}
