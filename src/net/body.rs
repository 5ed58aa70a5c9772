//! Reading a request body within bounds.
//!
//! Owns the size limit and the deadlines of a body; actix-web has none of the latter, so a body that trickles one byte
//! a minute would hold its request for hours. Never looks at what the bytes mean.

use std::future::Future as _;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep};

use crate::error::ApiError;

/// How large a body may be and how long the server waits for it. Register one as `app_data` to replace the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// The most bytes a body may have; one more is refused.
    pub max_bytes: u64,
    /// The longest single wait for the next bytes.
    pub idle: Duration,
    /// The longest wait for the whole body, added up.
    pub total: Duration,
    /// What a large body earns: each of so many bytes received adds one second to `total`. `None` adds nothing.
    pub min_bytes_per_second: Option<NonZeroU32>,
}

impl BodyLimits {
    /// For endpoints that take parameters: 64 KiB, 10 s in all, no gap over 5 s.
    pub const PARAMETERS: Self = Self {
        max_bytes: 64 * 1024,
        idle: Duration::from_secs(5),
        total: Duration::from_secs(10),
        min_bytes_per_second: None,
    };

    /// For an upload whose body has at most `max_bytes`, multipart's own lines included: after 10 s it must have kept up
    /// 16 KiB/s. A poor phone line does; a stricter rate shuts out people, a laxer one lets a peer hold a spool longer.
    pub const fn upload(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            min_bytes_per_second: NonZeroU32::new(16 * 1024),
            ..Self::PARAMETERS
        }
    }

    /// The waiting a peer is allowed in all once it has delivered `received` bytes.
    fn allowance(&self, received: u64) -> Duration {
        let earned = self.min_bytes_per_second.map_or(Duration::ZERO, |rate| {
            Duration::from_millis(received.saturating_mul(1000) / u64::from(rate.get()))
        });
        self.total.saturating_add(earned)
    }
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self::PARAMETERS
    }
}

/// A body stream that ends with an error when its peer is too slow or sends too much.
///
/// Yields `PayloadError::Io` of kind `TimedOut` or `PayloadError::Overflow`, then nothing more; `body_error` turns both
/// into answers. Only time spent waiting for the peer counts: a slow disk behind the reader is not the peer's fault.
pub struct BodyDeadline<S = Payload> {
    /// None once the body has ended, well or not; dropping it tells the dispatcher to read no further.
    stream: Option<S>,
    limits: BodyLimits,
    received: u64,
    waited: Duration,
    wait: Option<Wait>,
}

/// One wait for the next bytes.
struct Wait {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl<S> BodyDeadline<S> {
    /// Wraps `stream`; the clock starts at the first wait.
    pub fn new(stream: S, limits: BodyLimits) -> Self {
        Self {
            stream: Some(stream),
            limits,
            received: 0,
            waited: Duration::ZERO,
            wait: None,
        }
    }

    fn fail(&mut self, error: PayloadError) -> Poll<Option<Result<Bytes, PayloadError>>> {
        self.stream = None;
        Poll::Ready(Some(Err(error)))
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self
            .limits
            .allowance(self.received)
            .saturating_sub(self.waited)
            .min(self.limits.idle);
        let wait = self.wait.get_or_insert_with(|| Wait {
            since: Instant::now(),
            timer: Box::pin(sleep(left)),
        });
        wait.timer.as_mut().poll(cx)
    }
}

impl<S> Stream for BodyDeadline<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(stream) = this.stream.as_mut() else {
            return Poll::Ready(None);
        };
        let Poll::Ready(item) = Pin::new(stream).poll_next(cx) else {
            return match this.poll_wait(cx) {
                Poll::Ready(()) => this.fail(PayloadError::Io(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            };
        };
        if let Some(wait) = this.wait.take() {
            this.waited = this.waited.saturating_add(wait.since.elapsed());
        }
        match item {
            Some(Ok(chunk)) => {
                this.received = this.received.saturating_add(chunk.len() as u64);
                if this.received > this.limits.max_bytes {
                    return this.fail(PayloadError::Overflow);
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Some(Err(error)) => this.fail(error),
            None => {
                this.stream = None;
                Poll::Ready(None)
            }
        }
    }
}

/// Reads a whole body into memory, within `limits`.
///
/// A declared length over the bound is refused before a byte is read, so that a client which waits for
/// `100 Continue` never sends it.
pub async fn read_body(headers: &HeaderMap, payload: Payload, limits: BodyLimits) -> Result<Bytes, ApiError> {
    if declared_length(headers).is_some_and(|length| length > limits.max_bytes) {
        return Err(body_error(&PayloadError::Overflow));
    }
    let mut body = BodyDeadline::new(payload, limits);
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| body_error(&error))?);
    }
    Ok(bytes.freeze())
}

/// The `Content-Length`, when there is a readable one (the dispatcher has refused contradictory ones before).
pub fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The answer to a body that could not be read.
pub fn body_error(error: &PayloadError) -> ApiError {
    match error {
        PayloadError::Overflow => ApiError::TooLarge("the request body is too large"),
        PayloadError::Io(cause) if cause.kind() == io::ErrorKind::TimedOut => ApiError::Timeout,
        _ => ApiError::Malformed("the request body ended early or could not be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    const FAST: BodyLimits = BodyLimits {
        max_bytes: 100,
        idle: Duration::from_millis(80),
        total: Duration::from_millis(200),
        min_bytes_per_second: None,
    };

    fn boxed(items: impl Stream<Item = Result<Bytes, PayloadError>> + 'static) -> Payload {
        Payload::Stream {
            payload: Box::pin(items),
        }
    }

    /// One byte at a time, each after `gap`, for ever.
    fn trickle(gap: Duration) -> Payload {
        boxed(stream::unfold((), move |()| async move {
            sleep(gap).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        }))
    }

    async fn read(payload: Payload, limits: BodyLimits) -> Result<Bytes, ApiError> {
        read_body(&HeaderMap::new(), payload, limits).await
    }

    #[actix_web::test]
    async fn a_silent_body_ends_at_the_idle_limit() {
        let start = Instant::now();
        let error = read(boxed(stream::pending()), FAST).await.unwrap_err();
        assert!(matches!(error, ApiError::Timeout), "{error:?}");
        assert!(start.elapsed() < FAST.total, "{:?}", start.elapsed());
    }

    #[actix_web::test]
    async fn a_trickling_body_ends_at_the_total_limit() {
        let start = Instant::now();
        let error = read(trickle(Duration::from_millis(20)), FAST).await.unwrap_err();
        assert!(matches!(error, ApiError::Timeout), "{error:?}");
        assert!(start.elapsed() >= FAST.total, "{:?}", start.elapsed());
    }

    #[actix_web::test]
    async fn received_bytes_buy_time_and_the_bound_still_ends_it() {
        let rate = BodyLimits {
            max_bytes: 30,
            min_bytes_per_second: NonZeroU32::new(10),
            ..FAST
        };
        assert_eq!(rate.allowance(20), FAST.total + Duration::from_secs(2));
        let error = read(trickle(Duration::from_millis(20)), rate).await.unwrap_err();
        assert!(matches!(error, ApiError::TooLarge(_)), "{error:?}");
    }

    #[actix_web::test]
    async fn the_bound_is_exact_and_a_declared_length_is_refused_unread() {
        let exact = |len: usize| boxed(stream::iter([Ok(Bytes::from(vec![b'a'; len]))]));
        assert_eq!(read(exact(100), FAST).await.unwrap().len(), 100);
        assert!(matches!(read(exact(101), FAST).await, Err(ApiError::TooLarge(_))));

        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, 101.into());
        let refused = read_body(&headers, boxed(stream::pending()), FAST).await;
        assert!(matches!(refused, Err(ApiError::TooLarge(_))));
    }

    #[actix_web::test]
    async fn a_body_that_breaks_off_is_malformed_and_the_stream_stays_ended() {
        let mut body = BodyDeadline::new(boxed(stream::iter([Err(PayloadError::Incomplete(None))])), FAST);
        let error = body.next().await.unwrap().unwrap_err();
        assert!(matches!(body_error(&error), ApiError::Malformed(_)));
        assert!(body.next().await.is_none());
    }

    #[actix_web::test]
    async fn a_slow_reader_does_not_spend_the_peers_time() {
        let ready = stream::iter([Ok(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b"))]);
        let mut body = BodyDeadline::new(boxed(ready), FAST);
        assert!(body.next().await.unwrap().is_ok());
        sleep(FAST.total * 2).await;
        assert!(body.next().await.unwrap().is_ok());
        assert!(body.next().await.is_none());
    }
}
