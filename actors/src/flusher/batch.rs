//! From entries to a batch.

use std::collections::BTreeMap;

use ovation_schema::likes::{Batch, Wish};

use super::Flusher;
use crate::Entry;
use crate::counters::like_store::LikeStore;

impl<S: LikeStore> Flusher<S> {
    /// The next entries past the mark; none when there are none. An entry that is set aside makes a batch of its own,
    /// without wishes, which only moves the mark past it.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        let mut entries = self.shared.overlay.entries_after(self.mark, self.size);
        if let Some(position) = self.set_aside
            && entries.first().is_some_and(|entry| entry.position == position)
        {
            entries.truncate(1);
            let wishes = Vec::new();
            return batch(&self.ledger_id, self.mark, &entries, wishes);
        }
        let wishes = wishes(&entries);
        batch(&self.ledger_id, self.mark, &entries, wishes)
    }
}

fn batch(ledger_id: &str, after: i64, entries: &[Entry], wishes: Vec<Wish>) -> Option<Batch> {
    Some(Batch {
        ledger_id: ledger_id.to_owned(),
        after,
        first: entries.first()?.position,
        last: entries.last()?.position,
        wishes,
    })
}

/// The last word about each pair, ascending by user and video.
fn wishes(entries: &[Entry]) -> Vec<Wish> {
    let mut last = BTreeMap::new();
    for Entry { like, .. } in entries {
        let wish = Wish {
            user: like.user,
            video: like.video,
            on: like.on,
            at_ms: like.at_ms,
        };
        last.insert((like.user, like.video), wish);
    }
    last.into_values().collect()
}
