//! One group as bytes, and the chain of checksums that ties it to the group before.
//!
//! Owns the layout of an entry and what a checksum covers. Knows no SQL.
//!
//! An entry is 33 bytes, little endian: user, video, author, `at_ms` (8 each) and a byte of flags (bit 0 `on`, bits 1-2
//! `was`: 0 unknown, 1 no, 2 yes). Its position is the group's first one plus its index.
//!
//! SHA-256, since `ring` is here for the tokens anyway and a group of 256 takes 5 µs of an append of hundreds; a CRC was
//! refused because chained CRCs are linear, so that two errors can cancel out.

use ovation_schema::{UserId, VideoId};
use ring::digest;

use super::{GROUP_MAX, LedgerError};
use crate::like::{Entry, Like};

/// The size of one entry.
pub(super) const ENTRY_BYTES: usize = 33;

/// Where a chain stands: the last position of a group and its checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) position: i64,
    pub(super) checksum: Vec<u8>,
}

impl Link {
    /// What the first group of a new ledger is chained to, so that no group fits into another ledger.
    pub(super) fn origin(ledger_id: &str) -> Self {
        let checksum = digest::digest(&digest::SHA256, ledger_id.as_bytes());
        Self {
            position: 0,
            checksum: checksum.as_ref().to_vec(),
        }
    }
}

/// One group as it lies in the file, with its columns in this order.
#[derive(Debug, Clone, diesel::Queryable, diesel::Insertable)]
#[diesel(table_name = super::file::groups)]
pub(super) struct Group {
    pub(super) last: i64,
    pub(super) first: i64,
    /// The latest time among its likes.
    pub(super) at_ms: i64,
    pub(super) checksum: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Group {
    /// The group of these likes from position `first` on, chained to `before`. At least one and at most [`GROUP_MAX`].
    pub(super) fn new(likes: &[Like], first: i64, before: &Link) -> Result<Self, LedgerError> {
        if likes.is_empty() || likes.len() > GROUP_MAX {
            return Err(LedgerError::Invalid("a group of no likes or of too many"));
        }
        let last = i64::try_from(likes.len() - 1)
            .ok()
            .and_then(|more| first.checked_add(more))
            .filter(|last| *last <= super::POSITION_MAX)
            .ok_or(LedgerError::Invalid("no positions are left"))?;
        let mut group = Self {
            last,
            first,
            at_ms: likes.iter().map(|like| like.at_ms).max().unwrap_or(0),
            checksum: Vec::new(),
            body: likes.iter().flat_map(encode).collect(),
        };
        group.checksum = group.seal(before).as_ref().to_vec();
        Ok(group)
    }

    /// The checksum over all it holds and the link it hangs on: one block of the hash, then the body.
    fn seal(&self, before: &Link) -> digest::Digest {
        let mut head = [0; 64];
        let (link, numbers) = head.split_at_mut(digest::SHA256_OUTPUT_LEN);
        for (to, from) in link.iter_mut().zip(&before.checksum) {
            *to = *from;
        }
        let known = [before.position, self.first, self.last, self.at_ms];
        for (place, number) in numbers.chunks_exact_mut(8).zip(known) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let mut sum = digest::Context::new(&digest::SHA256);
        sum.update(&head);
        sum.update(&self.body);
        sum.finish()
    }

    /// What the next group hangs on.
    pub(super) fn link(&self) -> Link {
        Link {
            position: self.last,
            checksum: self.checksum.clone(),
        }
    }

    /// How many entries its positions say it has; 0 where they make no sense.
    pub(super) fn entries(&self) -> u64 {
        count(self.first, self.last)
    }

    /// Checks that it is what was written right after `before`.
    pub(super) fn verify(&self, before: &Link) -> Result<(), LedgerError> {
        let what = if self.first <= before.position || self.first > self.last {
            "positions run backwards"
        } else if usize::try_from(self.entries())
            .ok()
            .and_then(|n| n.checked_mul(ENTRY_BYTES))
            != Some(self.body.len())
        {
            "a group is torn: its size is not that of its entries"
        } else if self.seal(before).as_ref() != self.checksum {
            "a checksum does not match: a group was altered, or one is missing before it"
        } else {
            return Ok(());
        };
        Err(LedgerError::Damaged {
            position: before.position,
            what: format!("positions {} to {}: {what}", self.first, self.last),
        })
    }

    /// Its entries after a position. For a verified group.
    pub(super) fn decode(&self, after: i64) -> impl Iterator<Item = Result<Entry, LedgerError>> + '_ {
        let skip = usize::try_from(after.saturating_sub(self.first).saturating_add(1)).unwrap_or(0);
        let (records, _) = self.body.as_chunks::<ENTRY_BYTES>();
        (self.first..).zip(records).skip(skip).map(|(position, record)| {
            decode(record)
                .map(|like| Entry { position, like })
                .ok_or_else(|| LedgerError::Damaged {
                    position: position - 1,
                    what: "an entry has flags this version does not know".to_owned(),
                })
        })
    }
}

/// How many positions there are from `first` to `last`.
pub(super) fn count(first: i64, last: i64) -> u64 {
    last.checked_sub(first)
        .and_then(|more| u64::try_from(more).ok())
        .map_or(0, |more| more + 1)
}

/// One like as bytes.
pub(super) fn encode(like: &Like) -> [u8; ENTRY_BYTES] {
    let mut record = [0; ENTRY_BYTES];
    let numbers = [like.user.0, like.video.0, like.author.0, like.at_ms];
    for (place, number) in record.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let was = like.was.map_or(0, |was| 1 + u8::from(was));
    record[ENTRY_BYTES - 1] = u8::from(like.on) | was << 1;
    record
}

/// The like in these bytes; none where the flags mean nothing.
pub(super) fn decode(record: &[u8; ENTRY_BYTES]) -> Option<Like> {
    let ([user, video, author, at_ms], [flags]) = record.as_chunks::<8>() else {
        return None;
    };
    let was = match flags >> 1 {
        0 => None,
        1 => Some(false),
        2 => Some(true),
        _ => return None,
    };
    Some(Like {
        user: UserId(i64::from_le_bytes(*user)),
        video: VideoId(i64::from_le_bytes(*video)),
        author: UserId(i64::from_le_bytes(*author)),
        on: flags & 1 == 1,
        was,
        at_ms: i64::from_le_bytes(*at_ms),
    })
}
