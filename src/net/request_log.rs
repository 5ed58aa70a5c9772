//! Request ids and the access log.
//!
//! Owns the one event a request leaves. Never records a query, a header or a body: tokens, passwords and texts live
//! there.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError};
use tracing::Instrument as _;

use super::panic_guard::guard_panics;
use crate::error::FailureCode;

/// The header that carries the id, in both directions.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id taken over from a client or proxy.
const MAX_ID_LEN: usize = 64;
/// How much of a path is recorded, in characters.
const MAX_PATH_LEN: usize = 200;

/// The target of the one event a request leaves.
pub const ACCESS_TARGET: &str = module_path!();

/// The id of a request: visible ASCII of at most 64 characters, safe in a header and in a log. Held in
/// place, since it is copied twice for each request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    bytes: [u8; MAX_ID_LEN],
    len: usize,
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl RequestId {
    /// The client's or proxy's own id when it is short and plain, else 128 random bits in hexadecimal.
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&HEADER).and_then(|value| value.to_str().ok());
        let plain = |id: &&str| {
            (1..=MAX_ID_LEN).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        given.filter(plain).map_or_else(Self::random, Self::held)
    }

    /// At most 64 bytes of ASCII; what is past them is cut.
    fn held(id: &str) -> Self {
        let len = id.len().min(MAX_ID_LEN);
        let mut bytes = [0; MAX_ID_LEN];
        bytes[..len].copy_from_slice(&id.as_bytes()[..len]);
        Self { bytes, len }
    }

    fn random() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let random: [u8; 16] = rand::random();
        let mut bytes = [0; MAX_ID_LEN];
        for (pair, byte) in bytes.chunks_exact_mut(2).zip(random) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        let len = 2 * random.len();
        Self { bytes, len }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    fn put(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(self.as_str()) {
            headers.insert(HEADER, value);
        }
    }
}

/// Gives the request an id (in its span and in the answer), guards it against panics, and logs it when answered.
///
/// The time runs to the response's head; a stream or a WebSocket goes on after its line.
pub(super) async fn log_requests<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let id = RequestId::of(request.headers());
    let mut entry = Entry::new(&request, id);
    let span = tracing::info_span!("request", request_id = id.as_str());
    match guard_panics(request, next, id).instrument(span).await {
        Ok(mut response) => {
            entry.status = Some(response.status().as_u16());
            entry.code = response.response().extensions().get::<FailureCode>().map(|code| code.0);
            id.put(response.headers_mut());
            Ok(response)
        }
        Err(error) => {
            let error = Identified { error, id };
            entry.status = Some(error.error_response().status().as_u16());
            Err(error.into())
        }
    }
}

/// An error on its way to become a response, which then carries the request's id like any other.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
struct Identified {
    error: Error,
    id: RequestId,
}

impl ResponseError for Identified {
    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.id.put(response.headers_mut());
        response
    }
}

/// The line of one request, written when dropped, so that a client that hangs up early leaves one as well.
struct Entry {
    id: RequestId,
    method: Method,
    path: String,
    peer: Option<IpAddr>,
    start: Instant,
    /// None until answered.
    status: Option<u16>,
    /// The `status_code` of a failure.
    code: Option<i32>,
}

impl Entry {
    fn new(request: &ServiceRequest, id: RequestId) -> Self {
        Self {
            id,
            method: request.method().clone(),
            path: shown_path(request.path()),
            peer: request.peer_addr().map(|address| address.ip()),
            start: Instant::now(),
            status: None,
            code: None,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let id = self.id.as_str();
        // An extension method is any word the client likes, of any length.
        let method = self.method.as_str();
        let method = method.get(..16).unwrap_or(method);
        let path = self.path.as_str();
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let peer = self.peer.map(tracing::field::display);
        let code = self.code;
        match self.status {
            Some(status @ 500..) => tracing::error!(request_id = id, method, path, status, code, ms, peer, "answered"),
            Some(status) => tracing::info!(request_id = id, method, path, status, code, ms, peer, "answered"),
            None => tracing::info!(request_id = id, method, path, ms, peer, "given up by the client"),
        }
    }
}

/// A path fit for a log: bounded, without control characters that would forge lines or colours.
fn shown_path(path: &str) -> String {
    // Nearly every path is plain, and is copied at once.
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if path.len() <= MAX_PATH_LEN && path.bytes().all(plain) {
        return path.to_owned();
    }
    let mut shown: String = path.chars().take(MAX_PATH_LEN).flat_map(char::escape_debug).collect();
    if path.chars().nth(MAX_PATH_LEN).is_some() {
        shown.push('…');
    }
    shown
}
