//! What operators and load balancers ask.

use std::sync::atomic::Ordering;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use serde_json::json;

use super::answer::Failure;
use crate::app::App;
use crate::error::ApiError;
use crate::version;

/// `GET /`: says to whoever opens the address in a browser what this is, until the web client lives here.
pub async fn index() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "name": "ovation",
        "version": version::VERSION,
        "feed": "/douyin/feed/",
        "ready": "/readyz",
    }))
}

/// `GET /ping`: one peer's test suite wants this before anything else.
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "message": "pong" }))
}

/// `GET /healthz`: the process lives and answers. Never asks the database: a restart would not mend that.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /readyz`: requests can be served now. 503 while the database is away or the server is stopping, so that a load
/// balancer sends them elsewhere. How many likes wait, and why, and how many are connected stands in both answers: it
/// matters most in the second.
pub async fn readyz(app: Data<App>) -> HttpResponse {
    let error = if app.draining.load(Ordering::Relaxed) {
        Some(ApiError::Unavailable)
    } else {
        app.store.ping().await.err().map(ApiError::from)
    };
    match error {
        None => HttpResponse::Ok().json(json!({
            "status": "ready",
            "likes": likes(&app),
            "sockets": sockets(&app),
        })),
        Some(error) => HttpResponse::ServiceUnavailable().json(NotReady {
            failure: Failure::of(&error),
            likes: likes(&app),
            sockets: sockets(&app),
        }),
    }
}

#[derive(Serialize)]
struct NotReady {
    #[serde(flatten)]
    failure: Failure,
    likes: Likes,
    sockets: serde_json::Value,
}

/// How many are there: sockets of all kinds, those that have not said hello, users who are online with their connections
/// (long polls included), and videos that are watched.
fn sockets(app: &App) -> serde_json::Value {
    let (sockets, hub) = (app.sockets.status(), app.hub.status());
    json!({
        "open": sockets.open,
        "without_hello": sockets.waiting,
        "users": hub.users,
        "connections": hub.connections,
        "rooms": hub.rooms,
    })
}

/// How the likes' way to the database goes. A flush that fails does not make the server unready: likes go on, and count.
fn likes(app: &App) -> Likes {
    let status = app.counters.status();
    Likes {
        waiting: status.waiting,
        oldest_ms: status.oldest_ms,
        failures: status.failures,
        problem: status.problem.map(|problem| format!("{problem:?}").to_lowercase()),
        set_aside: status.quarantined,
        dropped: status.dropped,
    }
}

#[derive(Serialize)]
struct Likes {
    waiting: usize,
    /// Absent while none wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_ms: Option<i64>,
    failures: u64,
    /// Absent after a good flush.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    set_aside: u64,
    dropped: u64,
}

#[derive(Serialize)]
struct Build {
    name: &'static str,
    version: &'static str,
    /// None where the build did not say; the only field here that may be null.
    commit: Option<&'static str>,
}

/// `GET /version`.
pub async fn show_version() -> HttpResponse {
    HttpResponse::Ok().json(Build {
        name: "ovation",
        version: version::VERSION,
        commit: version::COMMIT,
    })
}
