//! Questions that commands of the same machine ask a running server, over a socket in its data folder.
//!
//! Owns the socket `control.sock`, which only the folder's owner can reach, and its one question a connection: a line in,
//! a line of JSON out. Never changes anything: what changes things takes the folder's lock, and so a stopped server.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use ovation_schema::verify::{self, Difference};
use ovation_schema::{Options, StoreError};
use serde::{Deserialize, Serialize};

use crate::app::App;

/// The socket's name in the data folder.
pub const SOCKET: &str = "control.sock";

/// How long a peer may take to ask.
const ASK: Duration = Duration::from_secs(2);
/// How long a recount may take before who asked for it gives up.
const ANSWER: Duration = Duration::from_mins(10);
/// The longest question, in bytes.
const LONGEST: u64 = 64;

/// What a recount has found, as it travels.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Verified {
    /// Counters that differ from their rows.
    pub differences: Vec<Found>,
    /// Why there was no recount.
    pub error: Option<String>,
}

/// One counter that differs.
#[derive(Debug, Serialize, Deserialize)]
pub struct Found {
    /// `table.column`.
    pub counter: String,
    /// Of which row.
    pub id: i64,
    /// What the counter says.
    pub stored: i64,
    /// What the rows say.
    pub counted: i64,
}

impl From<Difference> for Found {
    fn from(
        Difference {
            counter,
            id,
            stored,
            counted,
        }: Difference,
    ) -> Self {
        Self {
            counter: counter.to_owned(),
            id,
            stored,
            counted,
        }
    }
}

/// The socket by a path the system takes.
struct Door {
    path: PathBuf,
    /// Held for a path that leads through its descriptor.
    _folder: Option<File>,
}

impl Door {
    /// A socket's address holds 107 bytes. A longer path is gone through the folder's descriptor, so that no data folder
    /// is too deep to serve from.
    fn of(data_dir: &Path) -> std::io::Result<Self> {
        const LONGEST_PATH: usize = 107;
        let path = data_dir.join(SOCKET);
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(data_dir)?;
        Ok(Self {
            path: format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()).into(),
            _folder: Some(folder),
        })
    }
}

/// The listening side, for as long as the server runs.
pub struct Control {
    door: Door,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Listens in the data folder, whose lock the caller holds: a socket that is there already is a dead process's.
    pub fn listen(app: &App, options: &Options, data_dir: &Path) -> anyhow::Result<Self> {
        let door = Door::of(data_dir)?;
        let _ = std::fs::remove_file(&door.path);
        let listener = UnixListener::bind(&door.path).context("the control socket can't be made")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (app, options, stopped) = (app.clone(), options.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("control".into()).spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                if let Err(error) = stream.and_then(|stream| answer(&stream, &app, &options)) {
                    tracing::debug!(%error, "a control question was not answered");
                }
            }
        })?;
        Ok(Self {
            door,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The listener waits for somebody; that is us. Where even this fails the thread ends with the process.
        if UnixStream::connect(&self.door.path).is_ok() {
            let _ = self.thread.take().map(JoinHandle::join);
        }
        let _ = std::fs::remove_file(&self.door.path);
    }
}

fn answer(stream: &UnixStream, app: &App, options: &Options) -> std::io::Result<()> {
    stream.set_read_timeout(Some(ASK))?;
    stream.set_write_timeout(Some(ASK))?;
    let mut question = String::new();
    BufReader::new(stream).take(LONGEST).read_line(&mut question)?;
    let verified = match question.trim_end() {
        "verify" => recount(app, options).unwrap_or_else(|error| Verified {
            error: Some(error.to_string()),
            ..Verified::default()
        }),
        _ => Verified {
            error: Some("unknown question".into()),
            ..Verified::default()
        },
    };
    let mut line = serde_json::to_vec(&verified)?;
    line.push(b'\n');
    let mut stream = stream;
    stream.write_all(&line)
}

/// On a connection of its own: a recount may take longer than any request.
fn recount(app: &App, options: &Options) -> Result<Verified, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    // What the ledger holds is compared in the end as well; where it can't be flushed now, rows and counters still agree.
    if let Err(error) = runtime.block_on(app.counters.flush_now()) {
        tracing::warn!(%error, "verify runs without what the ledger holds");
    }
    let mut connection = ovation_schema::connect(options)?;
    let differences = verify::recount(&mut connection)?;
    Ok(Verified {
        differences: differences.into_iter().map(Found::from).collect(),
        error: None,
    })
}

/// Asks the server that runs in this data folder to recount.
pub fn ask_to_verify(data_dir: &Path) -> anyhow::Result<Vec<Found>> {
    let door = Door::of(data_dir)?;
    let mut stream = UnixStream::connect(&door.path).context("the running server does not answer")?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"verify\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let verified: Verified = serde_json::from_str(&line).context("the running server gave no answer")?;
    match verified.error {
        None => Ok(verified.differences),
        Some(error) => anyhow::bail!("the running server could not recount: {error}"),
    }
}
