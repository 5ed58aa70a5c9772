//! The way of log lines to where they are written.
//!
//! Owns the order of lines, and what becomes of them when nobody takes them. A line is written before the call that logs
//! it returns, so that a process that ends loses none; but not the line of a request that was answered as it should be:
//! those wait for a thread that writes many at once, and never hold up a request. A system call for each is a fifth of
//! what a like costs. Where they come faster than they are taken, they are dropped, counted, and the count is logged.

use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::net::ACCESS_TARGET;

/// The most bytes that wait for the thread.
const MOST: usize = 1 << 20;
/// For how long the thread lets lines gather. At 100,000 of 200 bytes a second 400 KB wait then.
const GATHER: Duration = Duration::from_millis(20);

/// Takes formatted lines, each whole; clones share the order.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    out: Mutex<Out>,
    waiting: Mutex<Waiting>,
    more: Condvar,
    /// Logs how many were dropped.
    confess: fn(u64),
}

/// Locked before [`Waiting`] by whoever writes, so that no line overtakes another.
struct Out {
    sink: Box<dyn Write + Send>,
    /// What is written at this moment; changes places with what waits.
    batch: Vec<u8>,
    /// The sink took a part of a line.
    torn: bool,
}

impl Out {
    /// Writes lines, on a line of their own. Where the sink fails, the rest is lost.
    ///
    /// # Errors
    /// How many lines were lost, the one that was torn among them, and why.
    fn put(sink: &mut dyn Write, torn: &mut bool, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        let lost = |lines: &[u8]| lines.iter().map(|byte| u64::from(*byte == b'\n')).sum();
        if *torn && !lines.is_empty() {
            sink.write_all(b"\n").map_err(|error| (lost(lines), error))?;
            *torn = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match sink.write(rest) {
                Ok(0) => return Err((lost(rest), io::ErrorKind::WriteZero.into())),
                Ok(taken) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    *torn = !rest.is_empty() && lines.get(lines.len() - rest.len() - 1) != Some(&b'\n');
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((lost(rest), error)),
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    dropped: u64,
    thread: Thread,
}

#[derive(Default, PartialEq, Eq)]
enum Thread {
    /// Not needed so far; commands never do.
    #[default]
    None,
    Asleep,
    Awake,
    /// The system has refused it: every line is written at once.
    Refused,
}

impl Lines {
    /// Lines go to `sink`; `confess` is called with the number of those that were dropped.
    pub(super) fn new(sink: impl Write + Send + 'static, confess: fn(u64)) -> Self {
        Self(Arc::new(Shared {
            out: Mutex::new(Out {
                sink: Box::new(sink),
                batch: Vec::new(),
                torn: false,
            }),
            waiting: Mutex::default(),
            more: Condvar::new(),
            confess,
        }))
    }

    /// Writes what waits.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.0.write(&[])
    }

    /// Leaves a line to the thread. False: there is none.
    fn leave(&self, line: &[u8]) -> bool {
        let mut waiting = self.0.waiting();
        if waiting.thread == Thread::None {
            waiting.thread = self.spawn();
        }
        if waiting.thread == Thread::Refused {
            return false;
        }
        if waiting.lines.len() + line.len() > MOST {
            waiting.dropped += 1;
            return true;
        }
        waiting.lines.extend_from_slice(line);
        if waiting.thread == Thread::Asleep {
            waiting.thread = Thread::Awake;
            self.0.more.notify_one();
        }
        true
    }

    /// Lives as long as the process.
    fn spawn(&self) -> Thread {
        let shared = Arc::clone(&self.0);
        let spawned = thread::Builder::new().name("log".into()).spawn(move || shared.run());
        if spawned.is_ok() {
            Thread::Awake
        } else {
            Thread::Refused
        }
    }
}

impl Shared {
    fn run(&self) {
        loop {
            self.wait();
            thread::sleep(GATHER);
            // Where standard error is gone there is nobody to tell.
            let _ = self.write(&[]);
            let dropped = take(&mut self.waiting().dropped);
            if dropped > 0 {
                (self.confess)(dropped);
            }
        }
    }

    fn wait(&self) {
        let mut waiting = self.waiting();
        while waiting.lines.is_empty() && waiting.dropped == 0 {
            waiting.thread = Thread::Asleep;
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.thread = Thread::Awake;
    }

    /// Writes what waits, then `line`. What waited and could not be written counts as dropped.
    fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let Out { sink, batch, torn } = &mut *out;
        std::mem::swap(batch, &mut self.waiting().lines);
        let written = Out::put(sink, torn, batch);
        batch.clear();
        if let Err((lost, _)) = written {
            self.waiting().dropped += lost;
        }
        Out::put(sink, torn, line).map_err(|(_, error)| error)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer of one line.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    may_wait: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line {
            lines: self,
            may_wait: false,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            may_wait: metadata.target() == ACCESS_TARGET && *metadata.level() >= Level::INFO,
        }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !(self.may_wait && self.lines.leave(line)) {
            self.lines.0.write(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// Hands on each write, and waits until it is allowed to go on.
    struct Gate {
        written: mpsc::Sender<Vec<u8>>,
        open: mpsc::Receiver<()>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.send(bytes.to_vec()).unwrap();
            self.open.recv().unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate(confess: fn(u64)) -> (Lines, mpsc::Receiver<Vec<u8>>, mpsc::Sender<()>) {
        let (written, reads) = mpsc::channel();
        let (opens, open) = mpsc::channel();
        (Lines::new(Gate { written, open }, confess), reads, opens)
    }

    #[test]
    fn lines_wait_for_the_thread_and_others_take_them_along_in_order() {
        let (lines, reads, opens) = gate(|_| ());
        for _ in 0..3 {
            opens.send(()).unwrap();
        }
        assert!(lines.leave(b"one\n") && lines.leave(b"two\n"));
        assert_eq!(reads.recv().unwrap(), b"one\ntwo\n", "the thread writes both at once");
        lines.0.write(b"three\n").unwrap();
        assert_eq!(reads.recv().unwrap(), b"three\n", "written when the call returns");
        // Held by the test, as if the thread were writing: what comes meanwhile stays before the next line.
        let mut out = lines.0.out.lock().unwrap();
        assert!(lines.leave(b"four\n"));
        let sink = std::mem::replace(&mut out.sink, Box::new(Vec::new()));
        drop(out);
        drop(sink);
        lines.flush().unwrap();
        assert!(lines.0.waiting().lines.is_empty());
    }

    /// Takes so many bytes, then fails once, then takes everything.
    struct Full {
        room: usize,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                self.room = usize::MAX;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let length = bytes.len().min(self.room);
            self.room -= length;
            self.taken.lock().unwrap().extend_from_slice(&bytes[..length]);
            Ok(length)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_counted_and_tears_no_other_line() {
        for (room, taken, lost) in [(6, "one\ntw\nfour\n", 2), (8, "one\ntwo\nfour\n", 1)] {
            let sink = Arc::new(Mutex::new(Vec::new()));
            let full = Full {
                room,
                taken: Arc::clone(&sink),
            };
            let lines = Lines::new(full, |_| ());
            // As if there were no thread: this one writes.
            lines.0.waiting().lines.extend_from_slice(b"one\ntwo\nthree\n");
            lines.flush().unwrap();
            assert_eq!(lines.0.waiting().dropped, lost);
            lines.0.write(b"four\n").unwrap();
            assert_eq!(String::from_utf8_lossy(&sink.lock().unwrap()), taken);
        }
    }

    #[test]
    fn a_sink_that_takes_nothing_holds_nobody_up_and_what_is_dropped_is_told() {
        static DROPPED: AtomicU64 = AtomicU64::new(0);
        static TOLD: Mutex<Option<mpsc::Sender<()>>> = Mutex::new(None);
        let (told, tells) = mpsc::channel();
        *TOLD.lock().unwrap() = Some(told);
        let (lines, reads, opens) = gate(|dropped| {
            DROPPED.fetch_add(dropped, Ordering::SeqCst);
            TOLD.lock().unwrap().as_ref().unwrap().send(()).unwrap();
        });
        let line = [b'x'; 1024];
        assert!(lines.leave(&line));
        let first = reads.recv().unwrap();
        assert_eq!(first.len(), 1024, "the thread hangs in this write");
        let fit = u64::try_from(MOST / line.len()).unwrap();
        for _ in 0..fit + 7 {
            assert!(lines.leave(&line));
        }
        opens.send(()).unwrap();
        tells.recv().unwrap();
        assert_eq!(DROPPED.load(Ordering::SeqCst), 7);
        assert_eq!(reads.recv().unwrap().len(), MOST, "all others are written");
        opens.send(()).unwrap();
    }
}
