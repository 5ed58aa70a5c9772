//! Where new ids come from: blocks handed out by a counter row, spent from memory.
//!
//! Sequential from 1 for each kind and never reused, also when several processes share a database. What is left of a
//! block at the end of a process is skipped: gaps are allowed, repeats are not. No order depends on ids.

use std::ops::Range;

use diesel::prelude::*;
use tokio::sync::Mutex;

use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::ids::{CommentId, MessageId, UserId, VideoId};
use crate::store::Store;
use crate::tables::id_blocks;

/// How many ids are fetched at a time. Small, since other people's tools mangle ids from 1,000,000 up and a restart
/// skips what is left; large enough that one write in twenty pays for it.
const BLOCK: i64 = 20;

/// A kind of thing that has ids of its own.
pub trait Kind: Sized {
    /// The row of `id_blocks`.
    const NAME: &'static str;
    /// The place in the id source.
    const SLOT: usize;
    /// Makes the id.
    fn from_number(number: i64) -> Self;
}

macro_rules! kinds {
    ($($id:ident = $name:literal, $slot:literal;)*) => {
        $(impl Kind for $id {
            const NAME: &'static str = $name;
            const SLOT: usize = $slot;
            fn from_number(number: i64) -> Self {
                Self(number)
            }
        })*
    };
}

kinds! {
    UserId = "user", 0;
    VideoId = "video", 1;
    CommentId = "comment", 2;
    MessageId = "message", 3;
}

/// The unspent rest of each kind's block.
#[derive(Default)]
pub(crate) struct IdSource([Mutex<Range<i64>>; 4]);

impl Store {
    /// The next id of its kind. Taken before the transaction that uses it: when that fails the id is skipped.
    pub async fn next_id<K: Kind>(&self) -> Result<K, StoreError> {
        // Bounded as a whole: behind a database that does not answer each would wait for those before it, too.
        self.within_deadline(async {
            let mut block = self.ids().0[K::SLOT].lock().await;
            if block.is_empty() {
                *block = self.write(|connection| reserve(connection, K::NAME, BLOCK)).await?;
            }
            block.next().map(K::from_number).ok_or(StoreError::Busy)
        })
        .await
    }
}

/// Takes `count` ids of a kind for good, in the caller's transaction. For bulk loading; elsewhere [`Store::next_id`].
pub fn reserve(connection: &mut DbConnection, kind: &str, count: i64) -> Result<Range<i64>, StoreError> {
    // The update takes the row's lock, so what is read after it is ours.
    diesel::update(id_blocks::table.find(kind))
        .set(id_blocks::next_id.eq(id_blocks::next_id + count))
        .execute(connection)?;
    let end: i64 = id_blocks::table
        .find(kind)
        .select(id_blocks::next_id)
        .first(connection)?;
    Ok(end - count..end)
}
