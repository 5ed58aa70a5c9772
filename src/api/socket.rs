//! Opening a socket: `GET /ws`, and `GET /ws/echo` for conformance tests (docs/protocol.md).
//!
//! Owns what is decided before the first frame: who may open one from where, and how many. Never looks at a token in the
//! URL.

use actix_web::http::header::{HOST, HeaderValue, ORIGIN};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ovation_actors::connection::{self, EchoSetup, Limits, Refused, Setup, SocketLimits, SocketTicket};
use ovation_actors::outbox::Outbox;

use super::params::bearer_token;
use crate::app::App;
use crate::config::Config;
use crate::error::ApiError;
use crate::net::{hangup, prepare_for_pushes};
use crate::socket::Peer;

/// `GET /ws`.
pub async fn open(request: HttpRequest, payload: Payload, app: Data<App>) -> Result<HttpResponse, ApiError> {
    let app = app.get_ref().clone();
    let ticket = admit(&request, &app)?;
    let limits = Arc::clone(&app.connection_limits);
    let outbox = Arc::new(Outbox::new(limits.outbox));
    let setup = Setup {
        operator: Rc::new(Peer::new(app, Arc::clone(&outbox), bearer_token(&request))),
        outbox,
        limits,
        hangup: hangup(&request),
        ticket,
    };
    Ok(connection::upgrade(&request, payload, setup)?)
}

/// `GET /ws/echo`: not there unless `ws_echo` says so.
pub async fn open_echo(request: HttpRequest, payload: Payload, app: Data<App>) -> Result<HttpResponse, ApiError> {
    if !app.config.ws_echo {
        return Err(ApiError::NotFound("this path"));
    }
    let setup = EchoSetup {
        ticket: admit(&request, &app)?,
        limits: Arc::clone(&app.connection_limits),
        hangup: hangup(&request),
    };
    Ok(connection::upgrade_echo(&request, payload, setup)?)
}

fn admit(request: &HttpRequest, app: &App) -> Result<SocketTicket, ApiError> {
    if app.draining.load(Ordering::Relaxed) {
        return Err(Refused::Draining.into());
    }
    if !is_welcome_origin(request, &app.config) {
        return Err(ApiError::ForeignOrigin);
    }
    let ticket = app.sockets.admit(request.peer_addr().map(|address| address.ip()))?;
    prepare_for_pushes(request);
    Ok(ticket)
}

/// What the settings say of a connection.
pub fn connection_limits(config: &Config) -> Limits {
    Limits {
        operations_per_second: config.operations_per_second,
        heartbeat: config.heartbeat,
        // 60 s with the default.
        silent: config.heartbeat * 12 / 5,
        ..Limits::default()
    }
}

/// How many sockets there may be.
pub fn socket_limits(config: &Config) -> SocketLimits {
    SocketLimits {
        open: config.max_connections,
        waiting: config.sockets_without_hello,
        per_address: config.sockets_per_address,
    }
}

/// A browser says which site's page opens the socket; a page of another site would act with its visitors' networks, and
/// with whatever token it has got hold of. Clients that are no browsers send no origin.
fn is_welcome_origin(request: &HttpRequest, config: &Config) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    let own = origin
        .split_once("://")
        .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && Some(rest.as_bytes()) == host);
    own || is_public_url(origin, config) || config.allowed_origins.iter().any(|allowed| allowed == origin)
}

fn is_public_url(origin: &str, config: &Config) -> bool {
    let base = config.public_url.as_deref().and_then(|base| url::Url::parse(base).ok());
    base.is_some_and(|base| base.origin().ascii_serialization() == origin)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn is_welcome(host: &'static str, origin: Option<&'static str>, change: impl FnOnce(&mut Config)) -> bool {
        let mut config = Config::for_test("unused");
        change(&mut config);
        let mut request = TestRequest::default().insert_header((HOST, host));
        if let Some(origin) = origin {
            request = request.insert_header((ORIGIN, origin));
        }
        is_welcome_origin(&request.to_http_request(), &config)
    }

    #[test]
    fn the_own_host_and_clients_without_an_origin_are_welcome() {
        assert!(is_welcome("a.test:8080", None, |_| {}));
        assert!(is_welcome("a.test:8080", Some("http://a.test:8080"), |_| {}));
        assert!(is_welcome("a.test", Some("https://a.test"), |_| {}));
    }

    #[test]
    fn other_sites_are_not() {
        for origin in [
            "http://b.test",
            "http://a.test",
            "http://a.test:80800",
            "http://a.test:8080.evil.test",
            "null",
            "file://a.test:8080",
            "a.test:8080",
            "",
        ] {
            assert!(!is_welcome("a.test:8080", Some(origin), |_| {}), "{origin}");
        }
    }

    #[test]
    fn those_that_are_configured_are() {
        let allow = |config: &mut Config| {
            config.allowed_origins = vec!["https://b.test".into()];
            config.public_url = Some("https://c.test/site".into());
        };
        assert!(is_welcome("127.0.0.1:8080", Some("https://b.test"), allow));
        assert!(is_welcome("127.0.0.1:8080", Some("https://c.test"), allow));
        assert!(!is_welcome("127.0.0.1:8080", Some("http://b.test"), allow));
        assert!(!is_welcome("127.0.0.1:8080", Some("https://c.test/site"), allow));
    }
}
