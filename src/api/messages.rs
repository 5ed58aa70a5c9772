//! Messages over REST (contract 7.4 and 7.5).

use actix_web::HttpResponse;
use ovation_schema::messages::{self, NewMessage, Sent};
use ovation_schema::{MessageId, UserId};

use super::answer::{Message, done};
use super::call::Call;
use super::list::{self, Page};
use super::params::{Action, Controls, check_text};
use crate::error::ApiError;
use crate::sending::{ToSend, VoidToken};

/// Characters of a message. The contract wants 500 to pass; the store's column holds twice this.
const MESSAGE_CHARS: std::ops::RangeInclusive<usize> = 1..=2000;

/// `POST /douyin/message/action/`: sends a message to anybody but oneself.
pub async fn send_message(call: Call) -> Result<HttpResponse, ApiError> {
    let claims = call.claims()?.ok_or(ApiError::InvalidToken)?;
    let to = UserId(call.params.required_id("to_user_id")?);
    if call.params.action("action_type")? != Action::Do {
        return Err(ApiError::invalid("action_type must be 1"));
    }
    let content = call
        .params
        .required_text("content", MESSAGE_CHARS, Controls::Lines)?
        .to_owned();
    if to.0 == claims.user_id {
        return Err(ApiError::invalid("one can't send messages to oneself"));
    }
    let id: MessageId = call.app.store.next_id().await?;
    let message = NewMessage {
        id,
        from: UserId(claims.user_id),
        to,
        content,
        key: None,
    };
    let to_send = ToSend {
        message,
        version: Some(claims.version),
    };
    let outcome = call.app.send(to_send).await?;
    match outcome.map_err(|VoidToken| ApiError::InvalidToken)? {
        Sent::NoReceiver => Err(ApiError::NotFound("this user")),
        // Without a key every message is a new one.
        Sent::Stored { .. } | Sent::Duplicate { .. } | Sent::KeyConflict => Ok(done()),
    }
}

/// What may stand in a message.
pub fn check_message(content: &str) -> Result<(), ApiError> {
    check_text("content", content, &MESSAGE_CHARS, Controls::Lines)
}

/// `GET /douyin/message/chat/`: the conversation with a user, oldest first, strictly newer than `pre_msg_time`.
///
/// A poll (`pre_msg_time` > 0) brings only what the other side wrote: the app has shown its own messages already and
/// would show them twice.
pub async fn chat(call: Call) -> Result<HttpResponse, ApiError> {
    let access = call.user()?;
    let peer = UserId(call.params.required_id("to_user_id")?);
    let start = call.params.pre_msg_time();
    let only_from = (start > 0).then_some(peer);
    list::answer(
        &call,
        "message_list",
        access,
        start,
        move |connection, viewer, after| {
            // `Access::User` never comes without its viewer; a conversation with oneself is empty.
            let Some(viewer) = viewer.filter(|viewer| *viewer != peer) else {
                return Ok(Page::with_next(Vec::new(), None));
            };
            let rows = messages::page(connection, (viewer, peer), only_from, after, list::PAGE)?;
            let last = rows.last().map(|message| message.create_time);
            Ok(Page::new(
                rows.into_iter().map(|row| Message::new(row, (viewer, peer))).collect(),
                last,
            ))
        },
    )
    .await
}
