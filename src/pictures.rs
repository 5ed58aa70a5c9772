//! The pictures that come with the binary: avatars and profile backgrounds for everyone, since the contract has no
//! endpoint to set one (contract 3.1 and 10.13).
//!
//! Owns the files, which of them a user has, and their HTTP answers. Never reads a disk or a database and never looks a
//! name up anywhere but in its own table, so no spelling of `..` can lead outside of it. A user's picture follows from
//! the id alone: nothing to store, nothing to migrate, and every node of a site says the same.

use actix_web::http::header::{
    Allow, CacheControl, CacheDirective, ContentType, ETag, EntityTag, Header as _, IfNoneMatch, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use crate::error::ApiError;

/// The `signature` of a user who has none; the app has no screen to set one, so this is what a profile shows.
pub const DEFAULT_SIGNATURE: &str = "Hello, I am new here.";

/// One embedded file. Its name carries the start of its SHA-256, so a name never changes its content.
struct Picture {
    name: &'static str,
    path: &'static str,
    bytes: &'static [u8],
}

macro_rules! picture {
    ($name:literal) => {
        Picture {
            name: $name,
            path: concat!("/static/pictures/", $name),
            bytes: include_bytes!(concat!("../static/pictures/", $name)),
        }
    };
}

/// 256×256. The order is part of the look of a site: a change gives everyone another face.
static AVATARS: [Picture; 12] = [
    picture!("avatar-fox.d20d3ca5.jpg"),
    picture!("avatar-whale.700717ba.jpg"),
    picture!("avatar-mushroom.0ba129a2.jpg"),
    picture!("avatar-cactus.3253697e.jpg"),
    picture!("avatar-owl.e61d7dd5.jpg"),
    picture!("avatar-bee.f15b2fb3.jpg"),
    picture!("avatar-planet.9e2815ec.jpg"),
    picture!("avatar-panda.eb82e973.jpg"),
    picture!("avatar-monstera.6261223d.jpg"),
    picture!("avatar-mountain.70704145.jpg"),
    picture!("avatar-penguin.ca04211d.jpg"),
    picture!("avatar-cat.e4e3dd0c.jpg"),
];

/// 1080×540. Five, so that avatar and background together repeat only after sixty users.
static BACKGROUNDS: [Picture; 5] = [
    picture!("background-hills.5572384b.jpg"),
    picture!("background-sea.9ea70233.jpg"),
    picture!("background-leaves.e5e5be17.jpg"),
    picture!("background-dunes.438e6472.jpg"),
    picture!("background-night-city.1a66aa46.jpg"),
];

/// The path of the avatar of the user with this id; neighbours in the order of registration get different ones. The
/// contract wants absolute URLs: put the public base in front. Any number is fine, also a negative one.
pub fn avatar_path(user_id: i64) -> &'static str {
    pick(&AVATARS, user_id)
}

/// The path of the picture on top of the profile of the user with this id, likewise without the public base.
pub fn background_path(user_id: i64) -> &'static str {
    pick(&BACKGROUNDS, user_id)
}

/// Ids count from 1 (design: numbers), so user 1 has the first picture.
fn pick(pictures: &[Picture], user_id: i64) -> &'static str {
    let count = i64::try_from(pictures.len()).unwrap_or(i64::MAX);
    let index = user_id.wrapping_sub(1).rem_euclid(count);
    usize::try_from(index)
        .ok()
        .and_then(|i| pictures.get(i))
        .map_or("", |picture| picture.path)
}

/// Mounts `GET` and `HEAD /static/pictures/{name}`.
pub fn routes(cfg: &mut web::ServiceConfig) {
    cfg.service(
        web::resource("/static/pictures/{name}")
            .route(web::get().to(serve))
            .route(web::head().to(serve))
            .default_service(web::to(refuse_method)),
    );
}

/// The whole file, or 304 when the client has it. No Range: the largest is 40 kB, and RFC 9110 14.2 lets a server
/// ignore it.
async fn serve(request: HttpRequest, name: web::Path<String>) -> HttpResponse {
    let Some(picture) = AVATARS.iter().chain(&BACKGROUNDS).find(|picture| picture.name == *name) else {
        return failure(StatusCode::NOT_FOUND, &ApiError::NotFound("this picture"));
    };
    let tag = EntityTag::new_strong(picture.name.to_owned());
    let known = holds(&request, &tag);
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header(ETag(tag))
        .insert_header(CacheControl(vec![
            CacheDirective::Public,
            CacheDirective::MaxAge(365 * 24 * 60 * 60),
            CacheDirective::Extension("immutable".to_owned(), None),
        ]))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if known {
        return answer.status(StatusCode::NOT_MODIFIED).finish();
    }
    answer.insert_header(ContentType::jpeg()).body(picture.bytes)
}

/// Whether `If-None-Match` names this tag (RFC 9110 13.1.2: weak comparison); an unreadable header holds nothing.
fn holds(request: &HttpRequest, tag: &EntityTag) -> bool {
    if !request.headers().contains_key(IfNoneMatch::name()) {
        return false;
    }
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(items)) => items.iter().any(|item| item.weak_eq(tag)),
        Err(_) => false,
    }
}

/// RFC 9110 15.5.6 wants to hear which methods would do.
async fn refuse_method() -> HttpResponse {
    let mut answer = failure(
        StatusCode::METHOD_NOT_ALLOWED,
        &ApiError::invalid("a picture can only be fetched"),
    );
    if let Ok(allowed) = Allow(vec![Method::GET, Method::HEAD]).to_string().parse() {
        answer.headers_mut().insert(Allow::name(), allowed);
    }
    answer
}

/// The envelope of every failure, with a status of its own: an image loader looks at nothing else.
fn failure(status: StatusCode, error: &ApiError) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header(CacheControl(vec![CacheDirective::NoStore]))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .json(json!({ "status_code": error.code(), "status_msg": error.to_string() }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fmt::Write as _;

    use actix_web::body::to_bytes;
    use actix_web::dev::ServiceResponse;
    use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpServer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn ask(request: TestRequest) -> ServiceResponse {
        let app = init_service(App::new().configure(routes)).await;
        call_service(&app, request.to_request()).await
    }

    fn header(answer: &ServiceResponse, name: impl actix_web::http::header::AsHeaderName) -> &str {
        answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[test]
    fn names_tell_the_truth_about_the_content() {
        for picture in AVATARS.iter().chain(&BACKGROUNDS) {
            let digest = ring::digest::digest(&ring::digest::SHA256, picture.bytes);
            let hex = digest.as_ref().iter().take(4).fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            });
            assert_eq!(
                picture.name.split('.').nth(1),
                Some(&*hex),
                "redrawn? write the new name of {}",
                picture.name
            );
            assert!(
                picture.bytes.starts_with(&[0xff, 0xd8, 0xff]),
                "{} is no JPEG",
                picture.name
            );
        }
        assert!(AVATARS.iter().all(|picture| picture.bytes.len() <= 12 * 1024));
        assert!(BACKGROUNDS.iter().all(|picture| picture.bytes.len() <= 40 * 1024));
    }

    #[test]
    fn neighbours_differ_and_every_id_has_a_picture() {
        let faces: HashSet<_> = (1..=12).map(avatar_path).collect();
        assert_eq!(faces.len(), 12);
        let pairs: HashSet<_> = (1..=60).map(|id| (avatar_path(id), background_path(id))).collect();
        assert_eq!(pairs.len(), 60);
        assert_eq!(avatar_path(1), AVATARS[0].path);
        for id in [i64::MIN, -1, 0, i64::MAX] {
            assert!(avatar_path(id).starts_with("/static/pictures/avatar-"));
            assert!(background_path(id).starts_with("/static/pictures/background-"));
        }
    }

    #[actix_web::test]
    async fn every_path_answers_with_its_picture_for_a_year() {
        let pictures: Vec<_> = AVATARS.iter().chain(&BACKGROUNDS).collect();
        for picture in pictures {
            let answer = ask(TestRequest::get().uri(picture.path)).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(header(&answer, CONTENT_TYPE), "image/jpeg");
            assert_eq!(header(&answer, CACHE_CONTROL), "public, max-age=31536000, immutable");
            assert_eq!(header(&answer, X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(to_bytes(answer.into_body()).await.unwrap(), picture.bytes);
        }
    }

    #[actix_web::test]
    async fn a_known_tag_saves_the_body() {
        let first = ask(TestRequest::get().uri(avatar_path(3))).await;
        let tag = header(&first, ETAG).to_owned();
        for held in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let answer = ask(TestRequest::get()
                .uri(avatar_path(3))
                .insert_header((IF_NONE_MATCH, held)))
            .await;
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(header(&answer, ETAG), tag);
            assert_eq!(header(&answer, CACHE_CONTROL), "public, max-age=31536000, immutable");
            assert!(to_bytes(answer.into_body()).await.unwrap().is_empty());
        }
        for other in ["\"x\"", "", "nonsense", "W/"] {
            let answer = ask(TestRequest::get()
                .uri(avatar_path(3))
                .insert_header((IF_NONE_MATCH, other)))
            .await;
            assert_eq!(answer.status(), StatusCode::OK, "{other:?}");
        }
    }

    #[actix_web::test]
    async fn nothing_outside_the_table_is_reachable() {
        for name in [
            "",
            "avatar-fox.jpg",
            "draw.py",
            "..%2fdemo%2ftea.mp4",
            "%2e%2e%2f%2e%2e%2fsrc%2fmain.rs",
            "..",
            "%00",
            "avatar-fox.d20d3ca5.jpg%00",
            "AVATAR-FOX.D20D3CA5.JPG",
            "%ff%fe",
        ] {
            let answer = ask(TestRequest::get().uri(&format!("/static/pictures/{name}"))).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}");
        }
        let answer = ask(TestRequest::get().uri("/static/pictures/unknown.jpg")).await;
        assert_eq!(header(&answer, CACHE_CONTROL), "no-store");
        let body = to_bytes(answer.into_body()).await.unwrap();
        assert_eq!(
            body,
            r#"{"status_code":1005,"status_msg":"this picture does not exist"}"#
        );
    }

    #[actix_web::test]
    async fn other_methods_hear_which_would_do() {
        for request in [TestRequest::post(), TestRequest::put(), TestRequest::delete()] {
            let answer = ask(request.uri(avatar_path(1))).await;
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(header(&answer, ALLOW), "GET, HEAD");
        }
    }

    /// Only a real connection shows that HEAD names the length and sends nothing after the head.
    #[actix_web::test]
    async fn head_is_get_without_the_body() {
        let server = HttpServer::new(|| App::new().configure(routes))
            .workers(1)
            .disable_signals();
        let server = server.bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        let running = actix_web::rt::spawn(server);
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!(
            "HEAD {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            avatar_path(1)
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(
            answer.contains(&format!("content-length: {}\r\n", AVATARS[0].bytes.len())),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        handle.stop(false).await;
        running.await.unwrap().unwrap();
    }
}
