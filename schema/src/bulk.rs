//! Loading many rows at once into an empty store, for commands.
//!
//! Owns the rows as a loader gives them, whole, with their counts, and the one transaction that they are written in:
//! an interrupted load leaves the store as empty as it was, and nobody ever reads half a world. Moves no count and
//! checks no rule: whoever loads gives rows such as the transactions of the other modules would have left behind.
//!
//! One transaction has a price: SQLite's log grows to about the size of the data until the end, and MySQL keeps an undo
//! record a row. In exchange there is no marker, no clean-up and no start that has to know of either.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::ids::{CommentId, MessageId, UserId, VideoId};
use crate::tables::{clocks, comments, conversations, favorites, follows, id_blocks, messages, users, videos};

/// Rows of one statement. The widest row has 10 columns: 10,000 placeholders, of which SQLite takes 32,766 and MySQL
/// 65,535. More rows a statement gain nothing measurable.
const ROWS: usize = 1_000;

/// A user with the counts it will have.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = users, treat_none_as_default_value = false)]
pub struct BulkUser<'a> {
    /// Above 0, unique.
    pub id: UserId,
    /// 1 to 32 characters, unique.
    pub name: String,
    /// A PHC string.
    pub password_hash: &'a str,
    /// At most 100 characters.
    pub signature: &'a str,
    /// Whom this user follows.
    pub follow_count: i64,
    /// Who follows this user.
    pub follower_count: i64,
    /// Likes of this user's videos.
    pub total_favorited: i64,
    /// This user's videos.
    pub work_count: i64,
    /// This user's likes.
    pub favorite_count: i64,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A video with the counts it will have.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = videos, treat_none_as_default_value = false)]
pub struct BulkVideo<'a> {
    /// Above 0, unique.
    pub id: VideoId,
    /// Whose.
    pub author_id: UserId,
    /// At most 100 characters.
    pub title: String,
    /// SHA-256 of a kept file in lower-case hex.
    pub media_hash: &'a str,
    /// Milliseconds since the epoch; unique.
    pub publish_time: i64,
    /// Likes.
    pub favorite_count: i64,
    /// Comments.
    pub comment_count: i64,
}

/// A like that is on.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = favorites, treat_none_as_default_value = false)]
pub struct BulkFavorite {
    /// Who likes.
    pub user_id: UserId,
    /// What; unique together with who.
    pub video_id: VideoId,
    /// Always true here.
    pub active: bool,
    /// Milliseconds since the epoch.
    pub changed_at: i64,
}

/// A follow that is on.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = follows, treat_none_as_default_value = false)]
pub struct BulkFollow {
    /// Who follows.
    pub follower_id: UserId,
    /// Whom, somebody else; unique together with who.
    pub followee_id: UserId,
    /// Always true here.
    pub active: bool,
    /// Milliseconds since the epoch.
    pub changed_at: i64,
}

/// A comment that is not deleted.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = comments, treat_none_as_default_value = false)]
pub struct BulkComment<'a> {
    /// Above 0, unique.
    pub id: CommentId,
    /// On which video.
    pub video_id: VideoId,
    /// By whom.
    pub user_id: UserId,
    /// 1 to 1,000 characters.
    pub content: &'a str,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// A message.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = messages, treat_none_as_default_value = false)]
pub struct BulkMessage<'a> {
    /// Above 0, unique.
    pub id: MessageId,
    /// The lower one of the two users.
    pub user_lo: UserId,
    /// The higher one.
    pub user_hi: UserId,
    /// Which of the two wrote it.
    pub from_user_id: UserId,
    /// 1 to 2,000 characters.
    pub content: &'a str,
    /// Milliseconds since the epoch; unique within the conversation.
    pub create_time: i64,
}

/// One side of a conversation; each has two.
#[derive(Debug, Clone, Insertable)]
#[diesel(table_name = conversations, treat_none_as_default_value = false)]
pub struct BulkConversation {
    /// Whose side.
    pub user_id: UserId,
    /// The other one.
    pub peer_id: UserId,
    /// The time of the last message.
    pub last_time: i64,
    /// The last message.
    pub last_message_id: MessageId,
    /// The time of the last message this side has read; 0 for none.
    pub read_time: i64,
    /// The last message this side has read; 0 for none.
    pub read_message_id: MessageId,
    /// The other side's messages after that one.
    pub unread: i64,
}

/// How far the loaded rows reach, so that what comes later is beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The highest user id.
    pub user: i64,
    /// The highest video id.
    pub video: i64,
    /// The highest comment id.
    pub comment: i64,
    /// The highest message id.
    pub message: i64,
    /// The newest publish time.
    pub publish_ms: i64,
}

/// A load under way. Dropped before [`Bulk::finish`] it leaves nothing behind.
pub struct Bulk<'c> {
    connection: &'c mut DbConnection,
    open: bool,
}

impl<'c> Bulk<'c> {
    /// Begins the load on a connection of its own. None when the store is not empty: there is somebody in it already.
    pub fn begin(connection: &'c mut DbConnection) -> Result<Option<Self>, StoreError> {
        if let DbConnection::Sqlite(connection) = connection {
            // The inner pages of every index stay in memory; with the usual 16 MiB they would be written to the log
            // again and again. It is this connection's alone and goes with it.
            connection.batch_execute("PRAGMA cache_size = -262144; BEGIN IMMEDIATE")?;
        } else {
            connection.batch_execute("START TRANSACTION")?;
        }
        let bulk = Self { connection, open: true };
        let empty = !crate::users::any(bulk.connection)?;
        Ok(empty.then_some(bulk))
    }

    /// Gives every user an empty stream of events, sets the counters and the clock past what was loaded, and commits. After an error it is open whether the load is
    /// there only when the connection broke at that moment.
    pub fn finish(mut self, reached: Reached) -> Result<(), StoreError> {
        diesel::sql_query("INSERT INTO streams (user_id, next_seq) SELECT id, 1 FROM users ORDER BY id")
            .execute(self.connection)?;
        let kinds = [
            ("user", reached.user),
            ("video", reached.video),
            ("comment", reached.comment),
            ("message", reached.message),
        ];
        for (kind, highest) in kinds {
            diesel::update(id_blocks::table.find(kind).filter(id_blocks::next_id.le(highest)))
                .set(id_blocks::next_id.eq(highest + 1))
                .execute(self.connection)?;
        }
        let clock = clocks::table.find("publish");
        diesel::update(clock.filter(clocks::last_ms.lt(reached.publish_ms)))
            .set(clocks::last_ms.eq(reached.publish_ms))
            .execute(self.connection)?;
        self.connection.batch_execute("COMMIT")?;
        self.open = false;
        if let DbConnection::Sqlite(connection) = self.connection {
            // The log is as large as the load. Another reader may keep it from being folded in now; a later start will.
            let _ = connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        Ok(())
    }
}

impl Drop for Bulk<'_> {
    fn drop(&mut self) {
        if self.open {
            // Where this fails the connection is gone, and the database rolls back by itself.
            let _ = self.connection.batch_execute("ROLLBACK");
        }
    }
}

macro_rules! loaders {
    ($($(#[$doc:meta])* $table:ident($row:ty);)*) => {
        impl Bulk<'_> {
            $($(#[$doc])*
            pub fn $table(&mut self, rows: &[$row]) -> Result<(), StoreError> {
                for rows in rows.chunks(ROWS) {
                    let insert = diesel::insert_into($table::table).values(rows);
                    // `MultiConnection` has no statement of many rows; each store alone has.
                    match self.connection {
                        DbConnection::Sqlite(connection) => insert.execute(connection)?,
                        DbConnection::Mysql(connection) => insert.execute(connection)?,
                    };
                }
                Ok(())
            })*
        }
    };
}

loaders! {
    /// Adds users. Fastest in the order of their ids.
    users(BulkUser<'_>);
    /// Adds videos. Fastest in the order of their ids.
    videos(BulkVideo<'_>);
    /// Adds likes. Fastest in the order of users, then videos.
    favorites(BulkFavorite);
    /// Adds follows. Fastest in the order of followers, then followees.
    follows(BulkFollow);
    /// Adds comments. Fastest in the order of their ids, and of videos.
    comments(BulkComment<'_>);
    /// Adds messages. Fastest in the order of their ids, and of conversations.
    messages(BulkMessage<'_>);
    /// Adds sides of conversations.
    conversations(BulkConversation);
}
