//! When a request begins and when its response has ended, for the sweeper.
//!
//! Owns the marks on the connection and which answers end a conversation. Never cuts anything itself.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Bytes;

use super::connection::{Active, Connection};
use super::request_log::log_requests;

/// The middleware: marks the connection as busy from the request's head to the end of the response's body, with the
/// access log and the panic guard within. One for all three, since each layer is an allocation or two a request.
///
/// What is within is boxed: the dispatcher has room for this future in every connection's task, also while an idle socket
/// has long been answered. Unboxed it makes the task 2,560 bytes instead of 1,280.
pub async fn track_requests(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let active = request.conn_data::<Rc<Connection>>().cloned().map(Connection::begin);
    // An error that is no response yet becomes one behind this middleware, with a body of a few bytes.
    let mut response = Box::pin(log_requests(request, next)).await?;
    if gives_up_on_body(response.status()) {
        response
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
        if let Some(active) = &active {
            active.connection().close_soon();
        }
    }
    Ok(response.map_body(|_, body| Tracked {
        body: body.boxed(),
        _active: active,
    }))
}

/// Answers given before the body has arrived. The dispatcher would go on reading a chunked body whose reader has gone,
/// for as long as it trickles.
fn gives_up_on_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE)
}

/// A body that carries the mark; both are dropped when the last byte has been handed over or the client has gone.
struct Tracked {
    body: BoxBody,
    _active: Option<Active>,
}

impl MessageBody for Tracked {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
