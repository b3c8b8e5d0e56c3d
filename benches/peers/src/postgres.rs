//! PostgreSQL with the usual queue: a table, and workers that skip rows that others have locked.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio_postgres::{Client, Config, NoTls};

use crate::server::{self, Missing, Server};
use crate::{AHEAD, System, rate};

/// Who runs it when this process is root: it refuses to run as root.
const USER: &str = "postgres";

const SETUP: &str = "
    CREATE TABLE jobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL,
        worker integer
    )";
const ENQUEUE: &str = "INSERT INTO jobs (name) SELECT 'feature ' || number FROM generate_series(1, $1::bigint) number";
const RESERVE: &str = "
    UPDATE jobs SET worker = $1
    WHERE id = (
        SELECT id FROM jobs WHERE worker IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id";
const COMPLETE: &str = "DELETE FROM jobs WHERE id = $1";

/// The newest one that Debian's packages have installed, or the one in `PATH`.
pub fn find() -> Result<Box<dyn System>, Missing> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut versions: Vec<PathBuf> = versions.flatten().map(|it| it.path().join("bin")).collect();
    versions.sort_by_key(|path| {
        let number = path
            .parent()
            .and_then(|it| it.file_name()?.to_str()?.parse::<u32>().ok());
        std::cmp::Reverse(number)
    });
    let server = server::find("postgres", "postgresql", &versions)?;
    let initdb = server::find("initdb", "postgresql", &versions)?;
    let version = server::version(&server, "--version");
    Ok(Box::new(Postgres {
        server,
        initdb,
        version,
    }))
}

struct Postgres {
    server: PathBuf,
    initdb: PathBuf,
    version: String,
}

impl System for Postgres {
    fn title(&self) -> String {
        format!("PostgreSQL {}, SKIP LOCKED", self.version)
    }

    fn measure(&self, dir: &Path, workers: usize, spell: Duration) -> f64 {
        let sockets = tempfile::tempdir().expect("a directory");
        for dir in [dir, sockets.path()] {
            give_to_user(dir);
        }
        let data = dir.join("data");
        let made = server::command(&self.initdb, Some(USER))
            .args([
                "--auth",
                "trust",
                "--username",
                USER,
                "--no-sync",
                "--pgdata",
            ])
            .arg(&data)
            .current_dir("/")
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut config = Config::new();
        config
            .host_path(sockets.path())
            .user(USER)
            .dbname("postgres");
        let mut arguments = vec!["-D".into(), data.into(), "-k".into(), sockets.path().into()];
        for option in ["listen_addresses=", "fsync=on", "synchronous_commit=on"] {
            arguments.extend(["-c".into(), option.into()]);
        }
        let is_ready = || runtime.block_on(config.connect(NoTls)).is_ok();
        let command = server::command(&self.server, Some(USER));
        let _server = Server::start(command, &arguments, dir, is_ready);
        let local = LocalSet::new();
        let load = local.block_on(&runtime, Load::connect(&config, workers));
        rate(spell, |spell| {
            let before = load.done.get();
            local.block_on(&runtime, async { tokio::time::sleep(spell).await });
            let lost = load.tasks.iter().any(JoinHandle::is_finished);
            assert!(!lost, "a client of PostgreSQL has ended");
            load.done.get() - before
        })
    }
}

/// Makes a directory the server's, when this process may.
fn give_to_user(dir: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let given = std::process::Command::new("chown")
        .arg(USER)
        .arg(dir)
        .status();
    assert!(
        given.is_ok_and(|status| status.success()),
        "there is no user {USER}"
    );
}

/// The client and the workers, each with a connection and a task in one thread.
struct Load {
    done: Rc<Cell<u64>>,
    /// They run until something fails.
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    async fn connect(config: &Config, workers: usize) -> Self {
        let (done, progress) = (Rc::new(Cell::new(0)), Rc::new(Notify::new()));
        let client = connection(config).await;
        client.batch_execute(SETUP).await.expect("a table");
        let mut tasks = vec![spawn_local(enqueue(client, done.clone(), progress.clone()))];
        for number in 0..workers {
            let client = connection(config).await;
            let work = work(client, number as i32, done.clone(), progress.clone());
            tasks.push(spawn_local(work));
        }
        Self { done, tasks }
    }
}

async fn connection(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("a connection");
    spawn_local(async move {
        if let Err(error) = connection.await {
            eprintln!("PostgreSQL: {error}");
        }
    });
    client
}

/// Enqueues many jobs in one transaction when few are left.
async fn enqueue(client: Client, done: Rc<Cell<u64>>, progress: Rc<Notify>) {
    let insert = client.prepare(ENQUEUE).await.expect("a statement");
    let mut enqueued = 0;
    loop {
        while enqueued - done.get() >= AHEAD {
            progress.notified().await;
        }
        let stored = client.execute(&insert, &[&(AHEAD as i64)]).await;
        enqueued += stored.expect("enqueued");
    }
}

async fn work(client: Client, number: i32, done: Rc<Cell<u64>>, progress: Rc<Notify>) {
    let reserve = client.prepare(RESERVE).await.expect("a statement");
    let complete = client.prepare(COMPLETE).await.expect("a statement");
    loop {
        let job = client.query_opt(&reserve, &[&number]).await;
        let Some(job) = job.expect("reserved") else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        let job: i64 = job.get(0);
        let completed = client.execute(&complete, &[&job]).await;
        assert_eq!(completed.expect("completed"), 1);
        done.set(done.get() + 1);
        progress.notify_one();
    }
}
