//! What a client asked for and what it was told: the oracle that a recovered server must agree with.
//!
//! Every pair, comment and message is changed by one client only, so that its record is exact. Owns no connection.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Something that is there or is not, as far as a client can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    may_be: bool,
    may_not_be: bool,
}

impl Fact {
    /// Certain.
    pub fn known(there: bool) -> Self {
        Self {
            may_be: there,
            may_not_be: !there,
        }
    }

    /// Before a request is sent: from now on it may be so, until an answer says that it is.
    pub fn asked(&mut self, there: bool) {
        self.may_be |= there;
        self.may_not_be |= !there;
    }

    /// Whether it may be found so.
    pub fn allows(self, there: bool) -> bool {
        if there { self.may_be } else { self.may_not_be }
    }
}

/// A comment that somebody sent.
#[derive(Debug, Clone)]
pub struct SentComment {
    pub video: i64,
    /// Like no other.
    pub text: String,
    /// From the answer, if there was one.
    pub id: Option<i64>,
    pub there: Fact,
}

/// A message that somebody sent.
#[derive(Debug, Clone)]
pub struct SentMessage {
    pub to: i64,
    /// Like no other.
    pub text: String,
    pub there: Fact,
}

/// Everything one client did.
#[derive(Debug, Default)]
pub struct Record {
    pub user: i64,
    /// By video.
    pub likes: BTreeMap<i64, Fact>,
    /// By user.
    pub follows: BTreeMap<i64, Fact>,
    pub comments: Vec<SentComment>,
    /// In the order they were sent.
    pub messages: Vec<SentMessage>,
    /// Refusals that do not say "again": a valid request must never meet one.
    pub refusals: Vec<String>,
    texts: u64,
    journal: Option<Journal>,
}

/// The optional file of everything that was asked and told.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Mutex<File>>);

impl Journal {
    /// In the folder that `OVATION_TEST_ORACLE` names, if it does.
    pub fn of(mode: &str) -> Option<Self> {
        let folder = std::env::var_os("OVATION_TEST_ORACLE")?;
        let path = std::path::Path::new(&folder).join(format!("{mode}.log"));
        let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some(Self(Arc::new(Mutex::new(file))))
    }

    /// One line, in the order of writing.
    pub fn note(&self, line: &str) {
        writeln!(self.0.lock().unwrap(), "{line}").unwrap();
    }
}

impl Record {
    /// Of a user who has done nothing yet.
    pub fn of(user: i64, journal: Option<Journal>) -> Self {
        Self {
            user,
            journal,
            ..Self::default()
        }
    }

    /// A text that nobody else ever sends.
    pub fn next_text(&mut self) -> String {
        self.texts += 1;
        format!("{}-{}", self.user, self.texts)
    }

    /// A line for the journal.
    pub fn note(&self, what: impl FnOnce() -> String) {
        if let Some(journal) = &self.journal {
            journal.note(&format!("{} {}", self.user, what()));
        }
    }
}
