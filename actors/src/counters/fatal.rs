//! The end of the process, with its reason: half a server never lives on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tells the process that it has to end, once.
#[derive(Clone)]
pub(crate) struct Fatal {
    tell: Arc<dyn Fn(String) + Send + Sync>,
    /// Set when the end is wanted or told already.
    silent: Arc<AtomicBool>,
}

impl Fatal {
    pub(crate) fn new(tell: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self {
            tell: Arc::new(tell),
            silent: Arc::new(AtomicBool::new(false)),
        }
    }

    pub(crate) fn tell(&self, reason: String) {
        if !self.silent.swap(true, Ordering::SeqCst) {
            (self.tell)(reason);
        }
    }

    /// From here on whatever ends, ends as it should.
    pub(crate) fn silence(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// Something that must not go away as long as the process lives.
    pub(crate) fn guard(&self, what: &'static str) -> Guard {
        Guard {
            what,
            fatal: self.clone(),
            armed: true,
        }
    }
}

/// Ends the process when it is dropped before [`Fatal::silence`]: by a panic, or because what held it ended.
pub(crate) struct Guard {
    what: &'static str,
    fatal: Fatal,
    armed: bool,
}

impl Guard {
    /// What it guards has ended as it should, before the rest.
    pub(crate) fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let how = if std::thread::panicking() { "panicked" } else { "ended" };
        self.fatal.tell(format!(
            "{} {how}; a restart recovers everything from the ledger",
            self.what
        ));
    }
}
