//! What operators and load balancers ask.

use std::sync::atomic::Ordering;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use serde_json::json;

use super::answer::Failure;
use crate::app::App;
use crate::error::ApiError;

/// `GET /ping`: one peer's test suite wants this before anything else.
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "message": "pong" }))
}

/// `GET /healthz`: the process lives and answers. Never asks the database: a restart would not mend that.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /readyz`: requests can be served now. 503 while the database is away or the server is stopping, so that a load
/// balancer sends them elsewhere.
pub async fn readyz(app: Data<App>) -> HttpResponse {
    let error = if app.draining.load(Ordering::Relaxed) {
        Some(ApiError::Unavailable)
    } else {
        app.store.ping().await.err().map(ApiError::from)
    };
    match error {
        None => HttpResponse::Ok().json(json!({ "status": "ready" })),
        Some(error) => HttpResponse::ServiceUnavailable().json(Failure::of(&error)),
    }
}

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
}

/// `GET /version`.
pub async fn version() -> HttpResponse {
    HttpResponse::Ok().json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
    })
}
