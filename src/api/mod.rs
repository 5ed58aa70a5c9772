//! The REST contract: the route table on one screen.
//!
//! Owns paths, parameters and answers. Holds no query (`ovation-schema` does) and no state (`App` does). A handler takes
//! a [`Call`], names what it wants and returns an answer; errors become answers in [`crate::error`] alone.

mod answer;
mod base;
mod call;
mod comments;
mod favorites;
mod feed;
mod list;
mod messages;
mod ops;
pub mod params;
mod publish;
mod relations;
mod users;

use actix_web::{HttpResponse, Route, web};

use crate::error::ApiError;

pub use answer::{Comment, Friend, Message, User, Video};
pub use call::Call;
pub use users::{check_name, check_password};

/// Every endpoint. A new one is a line here, a function in its noun's file, perhaps a query, and a story test.
pub fn routes(config: &mut web::ServiceConfig) {
    endpoint(config, "/douyin/feed", web::get().to(feed::feed));
    endpoint(config, "/douyin/user/register", web::post().to(users::register));
    endpoint(config, "/douyin/user/login", web::post().to(users::login));
    endpoint(config, "/douyin/user", web::get().to(users::user));
    endpoint(config, "/douyin/publish/action", web::post().to(publish::publish));
    endpoint(config, "/douyin/publish/list", web::get().to(feed::publish_list));
    endpoint(
        config,
        "/douyin/favorite/action",
        web::post().to(favorites::set_favorite),
    );
    endpoint(config, "/douyin/favorite/list", web::get().to(favorites::favorite_list));
    endpoint(
        config,
        "/douyin/comment/action",
        web::post().to(comments::comment_action),
    );
    endpoint(config, "/douyin/comment/list", web::get().to(comments::comment_list));
    endpoint(config, "/douyin/relation/action", web::post().to(relations::set_follow));
    endpoint(
        config,
        "/douyin/relation/follow/list",
        web::get().to(relations::follow_list),
    );
    endpoint(
        config,
        "/douyin/relation/follower/list",
        web::get().to(relations::follower_list),
    );
    endpoint(
        config,
        "/douyin/relation/friend/list",
        web::get().to(relations::friend_list),
    );
    endpoint(config, "/douyin/message/action", web::post().to(messages::send_message));
    endpoint(config, "/douyin/message/chat", web::get().to(messages::chat));

    endpoint(config, "/ping", web::get().to(ops::ping));
    endpoint(config, "/healthz", web::get().to(ops::healthz));
    endpoint(config, "/readyz", web::get().to(ops::readyz));
    endpoint(config, "/version", web::get().to(ops::version));

    config.default_service(web::route().to(no_such_path));
}

/// Both spellings of a path, each answered by itself: clients of the camp do not follow a redirect (contract 2.1).
fn endpoint(config: &mut web::ServiceConfig, path: &str, route: Route) {
    let both = vec![path.to_owned(), format!("{path}/")];
    config.service(
        web::resource(both)
            .route(route)
            .default_service(web::route().to(wrong_method)),
    );
}

async fn no_such_path() -> HttpResponse {
    HttpResponse::NotFound().json(answer::Failure::of(&ApiError::NotFound("this path")))
}

async fn wrong_method() -> HttpResponse {
    let error = ApiError::invalid("this path does not take that method");
    HttpResponse::MethodNotAllowed().json(answer::Failure::of(&error))
}
