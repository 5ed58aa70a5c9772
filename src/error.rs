//! The one error that leaves the server.
//!
//! Owns the table of `status_code`s and which of them travel with an HTTP status other than 200. Rooms return errors of
//! their own; only here do they become an answer. Never shows a client what went wrong inside: unknown errors are
//! logged once, with their context, and answered with a fixed sentence.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use ovation_actors::connection::{HandshakeError, Refused};
use ovation_actors::counters::CountersError;
use ovation_schema::StoreError;
use serde::Serialize;

use crate::media::MediaError;

/// Everything that can be answered instead of a success (contract 2.3 and 2.4).
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A token is missing, malformed, foreign, expired or revoked, where one is required.
    #[error("token is invalid or has expired, please log in again")]
    InvalidToken,
    /// Somebody else registered that name before.
    #[error("user name is taken")]
    NameTaken,
    /// Unknown user or wrong password: the same words for both.
    #[error("wrong user name or password")]
    WrongPassword,
    /// A parameter is missing or unusable; the sentence names it.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// The thing named by an id does not exist (any more).
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// The viewer may not do that.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A page of another site opens a socket; HTTP 403.
    #[error("pages of this origin may not open a socket here")]
    ForeignOrigin,
    /// A request for a socket that does not follow RFC 6455; HTTP 400, or 426 for another version.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
    /// As many sockets of some kind are open as may be; HTTP 429 or 503.
    #[error("{0}")]
    NoSocket(#[from] Refused),
    /// A body or upload over its bound; HTTP 413.
    #[error("{0}")]
    TooLarge(&'static str),
    /// A body that ends early or can't be read as what it claims to be; HTTP 400.
    #[error("{0}")]
    Malformed(&'static str),
    /// The peer sent its body too slowly; HTTP 408.
    #[error("the request took too long to arrive")]
    Timeout,
    /// Every worker of some bounded kind is taken; nothing was changed.
    #[error("the server is busy, please try again in a moment")]
    Busy,
    /// The database or the disk can't serve at the moment.
    #[error("the service is unavailable at the moment, please try again later")]
    Unavailable,
    /// Anything else. What happened stands in the log.
    #[error("something went wrong on our side")]
    Internal,
}

/// The envelope of every failure.
#[derive(Serialize)]
struct Failure<'a> {
    status_code: i32,
    status_msg: &'a str,
}

impl ApiError {
    /// An unusable parameter, said in a sentence.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(message.into())
    }

    /// The business code: 0 is success, so never 0. Clients only tell 0 from the rest; people read the number.
    pub const fn code(&self) -> i32 {
        match self {
            Self::InvalidToken => 1001,
            Self::NameTaken => 1002,
            Self::WrongPassword => 1003,
            Self::Invalid(_) => 1004,
            Self::NotFound(_) => 1005,
            Self::Forbidden(_) | Self::ForeignOrigin => 1006,
            Self::TooLarge(_) => 1007,
            Self::Malformed(_) | Self::Handshake(_) => 1008,
            Self::Timeout => 1009,
            Self::Busy | Self::NoSocket(_) => 2001,
            Self::Unavailable => 2002,
            Self::Internal => 5000,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Unavailable(_) | StoreError::Conflict(_) => {
                tracing::warn!(%error, "the store did not serve");
                Self::Unavailable
            }
            // A caller that can meet a duplicate has handled it; here it is a surprise like any other.
            StoreError::Duplicate | StoreError::Internal(_) => {
                tracing::error!(%error, "the store failed");
                Self::Internal
            }
        }
    }
}

impl From<CountersError> for ApiError {
    fn from(error: CountersError) -> Self {
        match error {
            CountersError::Busy => Self::Busy,
            CountersError::Unavailable | CountersError::Stopped => Self::Unavailable,
        }
    }
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::TooLarge => Self::TooLarge("the file is larger than this server takes"),
            MediaError::NotAVideo(_) => Self::Invalid(error.to_string().into()),
            MediaError::NotFound => Self::NotFound("this file"),
            MediaError::Busy => Self::Busy,
            MediaError::Unavailable(cause) => {
                tracing::error!(%cause, "the media folder did not serve");
                Self::Unavailable
            }
        }
    }
}

/// The `status_code` inside a failure's body, beside it for the access log: there the HTTP status says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureCode(pub i32);

impl ApiError {
    /// Marks a response as this failure's.
    pub fn mark(&self, response: &mut HttpResponse) {
        response.extensions_mut().insert(FailureCode(self.code()));
    }
}

impl ResponseError for ApiError {
    /// HTTP 200 wherever the contract allows: the camp's client takes every other status as "network error" and hides
    /// the message.
    fn status_code(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::Handshake(error) => StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            Self::NoSocket(Refused::TooManyFromAddress) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoSocket(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::OK,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let message = self.to_string();
        let mut response = HttpResponse::build(self.status_code()).json(Failure {
            status_code: self.code(),
            status_msg: &message,
        });
        if let Self::Handshake(error) = self {
            for (name, value) in error.headers() {
                response
                    .headers_mut()
                    .insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
        }
        self.mark(&mut response);
        response
    }
}
