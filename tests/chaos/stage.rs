//! What everybody in the chaos shares: where the server is, whether to make trouble or to fall silent, how far each has
//! come, and what was found wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

use crate::harness::Site;

/// The last act.
const OVER: u64 = u64::MAX;

/// Shared by all threads of one run.
pub struct Stage {
    pub site: Site,
    /// Everybody who chats.
    pub users: Vec<i64>,
    pub videos: Vec<i64>,
    /// Odd while everybody is to be silent.
    act: AtomicU64,
    acknowledged: AtomicUsize,
    violations: Mutex<Vec<String>>,
    /// One for everybody who acts.
    pub places: Vec<Place>,
}

/// How far somebody is.
pub struct Place {
    pub name: String,
    /// Whose stream is followed here, if one is.
    pub stream: Option<i64>,
    seq: AtomicI64,
    waiting: AtomicUsize,
    /// The act these numbers belong to.
    act: AtomicU64,
}

/// What to do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Storm,
    Silence,
    Over,
}

impl Stage {
    pub fn new(site: Site, users: Vec<i64>, videos: Vec<i64>, places: Vec<(String, Option<i64>)>) -> Self {
        let place = |(name, stream)| Place {
            name,
            stream,
            seq: AtomicI64::new(-1),
            waiting: AtomicUsize::new(0),
            act: AtomicU64::new(0),
        };
        Self {
            site,
            users,
            videos,
            act: AtomicU64::new(0),
            acknowledged: AtomicUsize::new(0),
            violations: Mutex::default(),
            places: places.into_iter().map(place).collect(),
        }
    }

    /// What to do; with how far one has come, said before one does it.
    pub fn act(&self, place: usize, seq: i64, waiting: usize) -> Act {
        let act = self.act.load(Ordering::SeqCst);
        let place = &self.places[place];
        place.seq.store(seq, Ordering::SeqCst);
        place.waiting.store(waiting, Ordering::SeqCst);
        place.act.store(act, Ordering::SeqCst);
        match act {
            OVER => Act::Over,
            odd if odd % 2 == 1 => Act::Silence,
            _ => Act::Storm,
        }
    }

    /// From storm to silence and back.
    pub fn next_act(&self) {
        self.act.fetch_add(1, Ordering::SeqCst);
    }

    pub fn end(&self) {
        self.act.store(OVER, Ordering::SeqCst);
    }

    /// Those who have not fallen silent with everything answered, or have not heard what `newest` says is stored.
    pub fn behind(&self, newest: &[(i64, i64)]) -> Vec<String> {
        let act = self.act.load(Ordering::SeqCst);
        let stored = |user| {
            newest
                .iter()
                .find(|(known, _)| *known == user)
                .map_or(0, |(_, seq)| *seq)
        };
        let behind = self.places.iter().filter_map(|place| {
            let name = &place.name;
            if place.act.load(Ordering::SeqCst) != act {
                return Some(format!("{name} does something else"));
            }
            let waiting = place.waiting.load(Ordering::SeqCst);
            if waiting > 0 {
                return Some(format!("{name} waits for {waiting} answers"));
            }
            let (seq, stored) = (place.seq.load(Ordering::SeqCst), stored(place.stream?));
            (seq != stored).then(|| format!("{name} has heard {seq} of {stored} events"))
        });
        behind.collect()
    }

    pub fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Something that must not be.
    pub fn violation(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().unwrap().clone()
    }
}

/// Says so when its thread panics; the others would wait for it.
pub struct Watch<'a>(pub &'a Stage, pub String);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.violation(format!("{} panicked", self.1));
        }
    }
}
