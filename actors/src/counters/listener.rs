//! Whoever is told at once of what the likes do.

use ovation_schema::streams::Event;

use crate::hub::Hub;
use crate::like::Entry;

/// Hears of likes; called on the counters' thread, so it must neither wait nor take long.
pub trait Listener: Send + Sync + 'static {
    /// These changes are acknowledged and in the overlay.
    fn liked(&self, entries: &[Entry]);

    /// A flush has stored these events.
    fn told(&self, events: &[Event]);

    /// A flush failed in a way that leaves open whether it has stored its events.
    fn doubt(&self);
}

impl Listener for Hub {
    fn liked(&self, entries: &[Entry]) {
        self.liked(&mut entries.iter().map(|entry| entry.like.video));
    }

    fn told(&self, events: &[Event]) {
        self.announce(events);
    }

    fn doubt(&self) {
        self.doubt();
    }
}
