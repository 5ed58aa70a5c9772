//! The REST contract: the route table on one screen.
//!
//! Owns paths, parameters and answers. Holds no query (`ovation-schema` does) and no state (`App` does). A handler takes
//! a [`Call`], names what it wants and returns an answer; errors become answers in [`crate::error`] alone.

mod answer;
mod base;
mod call;
mod comments;
mod events;
mod favorites;
mod feed;
mod hot;
mod list;
mod messages;
mod ops;
pub mod params;
mod publish;
mod relations;
mod socket;
mod users;

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{Handler, HttpResponse, Responder, guard, web};

use crate::error::ApiError;

pub use answer::{Comment, Friend, Message, User, Video};
pub use call::Call;
pub use messages::check_message;
pub use socket::{connection_limits, socket_limits};
pub use users::{check_name, check_password};

/// Every endpoint. A new one is a line here, a function in its noun's file, perhaps a query, and a story test.
pub fn routes(config: &mut web::ServiceConfig) {
    // The router tries one after the other: what is asked by far the most comes first.
    post(config, "/douyin/favorite/action", favorites::set_favorite);
    get(config, "/douyin/user", users::user);
    get(config, "/douyin/feed", feed::feed);
    post(config, "/douyin/user/register", users::register);
    post(config, "/douyin/user/login", users::login);
    post(config, "/douyin/publish/action", publish::publish);
    get(config, "/douyin/publish/list", feed::publish_list);
    get(config, "/douyin/favorite/list", favorites::favorite_list);
    post(config, "/douyin/comment/action", comments::comment_action);
    get(config, "/douyin/comment/list", comments::comment_list);
    post(config, "/douyin/relation/action", relations::set_follow);
    get(config, "/douyin/relation/follow/list", relations::follow_list);
    get(config, "/douyin/relation/follower/list", relations::follower_list);
    get(config, "/douyin/relation/friend/list", relations::friend_list);
    post(config, "/douyin/message/action", messages::send_message);
    get(config, "/douyin/message/chat", messages::chat);

    get(config, "/ws", socket::open);
    get(config, "/ws/echo", socket::open_echo);
    get(config, "/events", events::events);

    get(config, "/", ops::index);
    get(config, "/ping", ops::ping);
    get(config, "/healthz", ops::healthz);
    get(config, "/readyz", ops::readyz);
    get(config, "/version", ops::show_version);

    config.default_service(web::route().to(no_such_path));
}

/// A path that reads, for GET and for HEAD, which is answered by the same headers without the body.
#[expect(clippy::needless_pass_by_value, reason = "the route table names functions")]
fn get<F, Args>(config: &mut web::ServiceConfig, path: &str, handler: F)
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let refuse = || async { wrong_method("GET, HEAD") };
    for spelling in spellings(path) {
        let reads = web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
        let resource = web::resource(spelling).route(reads.to(handler.clone()));
        config.service(resource.default_service(web::to(refuse)));
    }
}

/// A path that changes something: POST only.
#[expect(clippy::needless_pass_by_value, reason = "the route table names functions")]
fn post<F, Args>(config: &mut web::ServiceConfig, path: &str, handler: F)
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let refuse = || async { wrong_method("POST") };
    for spelling in spellings(path) {
        let resource = web::resource(spelling).route(web::post().to(handler.clone()));
        config.service(resource.default_service(web::to(refuse)));
    }
}

/// Both spellings of a path, each answered by itself: clients of the camp do not follow a redirect (contract 2.1). The
/// root has one. Each is a resource of its own, which the router finds by comparing texts; a resource with two spellings
/// would be a regular expression, tried for every request that is not for a resource before it.
fn spellings(path: &str) -> Vec<String> {
    match path {
        "/" => vec![path.to_owned()],
        _ => vec![path.to_owned(), format!("{path}/")],
    }
}

async fn no_such_path() -> HttpResponse {
    HttpResponse::NotFound().json(answer::Failure::of(&ApiError::NotFound("this path")))
}

fn wrong_method(allowed: &'static str) -> HttpResponse {
    let error = ApiError::invalid("this path does not take that method");
    let mut response = HttpResponse::MethodNotAllowed().json(answer::Failure::of(&error));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}
