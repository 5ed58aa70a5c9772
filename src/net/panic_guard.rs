//! A panic in a handler: a logged 500 and nothing else.
//!
//! Owns what becomes of a panic. Never shows a client its message and never logs what it quotes, since that may be what
//! a user has sent. A panic inside a streaming body is outside its reach: tokio ends that connection's task, the hook
//! logs it, and the worker lives on.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError};
use futures_util::FutureExt as _;
use tracing::subscriber::NoSubscriber;

use super::RequestId;
use crate::error::ApiError;

/// How much of a panic's message is logged, in characters.
const MAX_MESSAGE_LEN: usize = 200;

/// The innermost of our middlewares: a panic below it becomes HTTP 500 with the usual envelope; connection and worker
/// live on.
pub(super) async fn guard_panics<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
    id: RequestId,
) -> Result<ServiceResponse<B>, Error> {
    // Unwind safety: what a request shares with others is behind locks and databases that expect a writer to vanish;
    // the rest is dropped with it.
    let outcome = AssertUnwindSafe(async move { next.call(request).await })
        .catch_unwind()
        .await;
    outcome.unwrap_or_else(|payload| {
        let request_id = id.as_str();
        tracing::error!(request_id, said = shown_message(&*payload), "a handler panicked");
        Err(Panicked.into())
    })
}

/// The request can't be had back from a panicked handler, so the answer travels as an error.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;

impl ResponseError for Panicked {
    fn status_code(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = ApiError::Internal.error_response();
        *response.status_mut() = self.status_code();
        response
    }
}

/// Has every panic of the process logged with its place; call it once, after logging has been set up. Where nothing
/// listens to the log, the panic is printed as before.
pub fn install_panic_hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if tracing::dispatcher::get_default(tracing::Dispatch::is::<NoSubscriber>) {
            before(info);
        } else {
            log_panic(info);
        }
    }));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(tracing::field::display);
    let thread = std::thread::current();
    tracing::error!(
        location,
        thread = thread.name(),
        said = shown_message(info.payload()),
        "panic"
    );
}

/// The message as far as it can be shown: one from the source code is whole, a formatted one loses everything between
/// its first and its last quotation mark, where the standard library puts the values it complains about.
fn shown_message(payload: &dyn Any) -> String {
    let message = match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (None, Some(message)) => without_quotes(message),
        (None, None) => "(no message)".to_owned(),
    };
    message
        .chars()
        .take(MAX_MESSAGE_LEN)
        .flat_map(char::escape_debug)
        .collect()
}

fn without_quotes(message: &str) -> String {
    let quotes = ['"', '\'', '`'];
    match (message.find(quotes), message.rfind(quotes)) {
        (Some(first), Some(last)) if first < last => format!("{}…{}", &message[..first], &message[last + 1..]),
        (Some(first), _) => format!("{}…", &message[..first]),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_loses_what_it_quotes() {
        let formatted = |message: &str| shown_message(&message.to_owned());
        assert_eq!(shown_message(&"the list can't be empty"), "the list can\\'t be empty");
        assert_eq!(
            formatted("index out of bounds: the len is 3 but the index is 5"),
            "index out of bounds: the len is 3 but the index is 5"
        );
        assert_eq!(
            formatted("a: Custom { text: \"secret \\\" `more\" }"),
            "a: Custom { text: … }"
        );
        assert_eq!(
            formatted("byte index 1 is not a char boundary; it is inside 'é' of `élan secret`"),
            "byte index 1 is not a char boundary; it is inside …"
        );
        assert_eq!(formatted("an 'open end"), "an …");
        assert_eq!(formatted("line\nforged"), "line\\nforged");
        assert_eq!(formatted(&"x".repeat(1000)).len(), MAX_MESSAGE_LEN);
        assert_eq!(shown_message(&5_u8), "(no message)");
    }
}
