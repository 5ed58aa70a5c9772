//! Messages over the socket.

use ovation_schema::messages::{self, ConversationState, MessageRow, NewMessage, Read, Sent};
use ovation_schema::{MessageId, UserId, now_ms};
use serde::{Deserialize, Serialize};

use super::refusal::{bad_request, key_conflict, of, of_store};
use super::{Peer, ack, id};
use crate::api::check_message;
use crate::commit::News;
use crate::error::ApiError;
use crate::sending::{ToSend, VoidToken};
use ovation_actors::operator::Refusal;

/// Characters of a key: 96 random bits need 16 of them in base64.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 16..=64;
/// Messages in a page of history, and the most one may ask for.
const PAGE: i64 = 30;
const MAX_PAGE: i64 = 100;

#[derive(Deserialize)]
pub(super) struct Send {
    to_user_id: i64,
    content: String,
    key: String,
}

#[derive(Serialize)]
struct Stored {
    message_id: i64,
    create_time: i64,
    /// The key was known: this is the first ack again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dup: bool,
}

pub(super) async fn send(state: &Peer, send: Send) -> Result<String, Refusal> {
    let from = state.user()?;
    let to = UserId(id("to_user_id", send.to_user_id)?);
    check_message(&send.content).map_err(|error| of(&error))?;
    if to == from {
        return Err(bad_request("one can't send messages to oneself"));
    }
    if !is_key(&send.key) {
        return Err(bad_request("key must be 16 to 64 letters, digits or any of -_.~+/="));
    }
    let message_id: MessageId = state.app.store.next_id().await.map_err(of_store)?;
    let message = NewMessage {
        id: message_id,
        from,
        to,
        content: send.content,
        key: Some(send.key),
    };
    // The connection's token was looked at with its hello, and sockets of a void one are closed.
    let to_send = ToSend { message, version: None };
    let outcome = state.app.send(to_send).await.map_err(of_store)?;
    let stored = match outcome.map_err(|VoidToken| of(&ApiError::InvalidToken))? {
        Sent::Stored { create_time, .. } => Stored {
            message_id: message_id.0,
            create_time,
            dup: false,
        },
        Sent::Duplicate { id, create_time } => Stored {
            message_id: id.0,
            create_time,
            dup: true,
        },
        Sent::KeyConflict => return Err(key_conflict()),
        Sent::NoReceiver => return Err(of(&ApiError::NotFound("this user"))),
    };
    ack(&stored)
}

fn is_key(key: &str) -> bool {
    KEY_CHARS.contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte))
}

#[derive(Deserialize)]
pub(super) struct History {
    with_user_id: i64,
    before: Option<i64>,
    limit: Option<i64>,
}

#[derive(Serialize)]
struct Message {
    id: i64,
    from_user_id: i64,
    to_user_id: i64,
    content: String,
    create_time: i64,
}

#[derive(Serialize)]
struct HistoryPage {
    /// Newest first.
    messages: Vec<Message>,
    /// The `before` of the next page; absent at the conversation's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
    /// Up to where this user has read, 0 for nothing yet.
    read_message_id: i64,
    /// Up to where the other side has read.
    peer_read_message_id: i64,
    /// Messages of the other side past the own mark.
    unread: i64,
}

pub(super) async fn history(state: &Peer, history: History) -> Result<String, Refusal> {
    let viewer = state.user()?;
    let peer = UserId(id("with_user_id", history.with_user_id)?);
    let limit = history.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(bad_request(format!("limit must be from 1 to {MAX_PAGE}")));
    }
    let read = state.app.store.read(move |connection| {
        // One more than asked for tells whether there is a next page.
        let rows = messages::history(connection, (viewer, peer), history.before, limit + 1)?;
        Ok((rows, messages::conversation(connection, viewer, peer)?))
    });
    let (rows, conversation) = read.await.map_err(of_store)?;
    ack(&page(rows, &conversation, (viewer, peer), limit))
}

fn page(
    mut rows: Vec<MessageRow>,
    conversation: &ConversationState,
    (viewer, peer): (UserId, UserId),
    limit: i64,
) -> HistoryPage {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|message| message.create_time);
    let message = |row: MessageRow| Message {
        id: row.id.0,
        from_user_id: row.from_user_id.0,
        to_user_id: if row.from_user_id == viewer { peer.0 } else { viewer.0 },
        content: row.content,
        create_time: row.create_time,
    };
    HistoryPage {
        messages: rows.into_iter().map(message).collect(),
        next,
        read_message_id: conversation.read_message_id.0,
        peer_read_message_id: conversation.peer_read_message_id.0,
        unread: conversation.unread,
    }
}

#[derive(Deserialize)]
pub(super) struct MarkRead {
    with_user_id: i64,
    message_id: i64,
}

#[derive(Serialize)]
struct Marked {
    /// What was asked for.
    message_id: i64,
    unread: i64,
}

pub(super) async fn read(state: &Peer, mark: MarkRead) -> Result<String, Refusal> {
    let reader = state.user()?;
    let peer = UserId(id("with_user_id", mark.with_user_id)?);
    let message = MessageId(id("message_id", mark.message_id)?);
    let write = move |connection: &mut _| messages::read(connection, reader, peer, message, now_ms());
    let news = |read: &mut Read| match read {
        Read::Moved { events, .. } => std::mem::take(events).into(),
        _ => News::default(),
    };
    match state.app.commit(write, news).await.map_err(of_store)? {
        Read::Moved { unread, .. } | Read::Unchanged { unread } => ack(&Marked {
            message_id: message.0,
            unread,
        }),
        Read::UnknownMessage => Err(of(&ApiError::NotFound("this message"))),
    }
}
