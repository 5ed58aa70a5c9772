//! Errors as a socket says them: the same table as the REST answers' (`error`), with a word instead of a number.

use std::borrow::Cow;

use ovation_actors::operator::{Refusal, RefusalCode};
use ovation_schema::StoreError;

use crate::error::ApiError;

/// Seconds until a refused operation is worth another try: a queue that was full empties within a second.
const BUSY_RETRY: f64 = 0.5;
/// Seconds until a store that was away is worth another try.
const AWAY_RETRY: f64 = 2.0;

fn refusal(code: RefusalCode, message: impl Into<Cow<'static, str>>, retry_after: Option<f64>) -> Refusal {
    Refusal {
        code,
        message: message.into(),
        retry_after,
    }
}

pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Refusal {
    refusal(RefusalCode::BadRequest, message, None)
}

pub(super) fn unauthorized(message: &'static str) -> Refusal {
    refusal(RefusalCode::Unauthorized, message, None)
}

pub(super) fn limit_exceeded(message: impl Into<Cow<'static, str>>) -> Refusal {
    refusal(RefusalCode::LimitExceeded, message, None)
}

pub(super) fn key_conflict() -> Refusal {
    refusal(
        RefusalCode::KeyConflict,
        "this key was used for another message already",
        None,
    )
}

pub(super) fn internal() -> Refusal {
    of(&ApiError::Internal)
}

pub(super) fn of_store(error: StoreError) -> Refusal {
    of(&error.into())
}

pub(super) fn of(error: &ApiError) -> Refusal {
    let (code, retry_after) = match error {
        ApiError::InvalidToken | ApiError::WrongPassword => (RefusalCode::Unauthorized, None),
        ApiError::Invalid(_)
        | ApiError::NameTaken
        | ApiError::TooLarge(_)
        | ApiError::Malformed(_)
        | ApiError::Handshake(_) => (RefusalCode::BadRequest, None),
        ApiError::NotFound(_) => (RefusalCode::NotFound, None),
        ApiError::Forbidden(_) | ApiError::ForeignOrigin => (RefusalCode::Forbidden, None),
        ApiError::Busy | ApiError::Timeout | ApiError::NoSocket(_) => (RefusalCode::TryLater, Some(BUSY_RETRY)),
        ApiError::Unavailable => (RefusalCode::TryLater, Some(AWAY_RETRY)),
        ApiError::Internal => (RefusalCode::Internal, None),
    };
    refusal(code, error.to_string(), retry_after)
}
