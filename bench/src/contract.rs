//! The shapes of the contract's answers, and what must be true of each by itself.
//!
//! Owns the reading of bodies: every field of the contract is there, of its type and in its bounds. Unknown fields are
//! let through, as the contract allows them. Never knows what was asked or what other answers said: scenarios do.

use std::borrow::Cow;

use serde::de::{Deserializer, Error as _, Unexpected, Visitor};
use serde::{Deserialize, de};

use crate::failure::Failure;

/// Ids are numbers that every JSON reader can hold (contract, 3.6).
const ID_MAX: i64 = 1 << 53;
/// Videos of a page at most (5.1).
pub const PAGE_MAX: usize = 30;

/// A `User` (3.1).
#[derive(Debug, Deserialize)]
#[expect(
    dead_code,
    reason = "a field that nobody compares must be there and of its type all the same"
)]
pub struct User<'a> {
    /// Positive.
    pub id: i64,
    /// The user name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// How many this user follows.
    pub follow_count: i64,
    /// How many follow this user.
    pub follower_count: i64,
    /// Whether the viewer follows this user.
    pub is_follow: bool,
    /// An address or empty.
    #[serde(borrow)]
    pub avatar: Cow<'a, str>,
    /// An address or empty.
    #[serde(borrow)]
    pub background_image: Cow<'a, str>,
    /// What the profile says.
    #[serde(borrow)]
    pub signature: Cow<'a, str>,
    /// Likes received. A text of digits is accepted (12).
    #[serde(deserialize_with = "number_or_digits")]
    pub total_favorited: i64,
    /// Videos published.
    pub work_count: i64,
    /// Likes given.
    pub favorite_count: i64,
}

/// A `Video` (3.2).
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "as for a user")]
pub struct Video<'a> {
    /// Positive.
    pub id: i64,
    /// Complete.
    #[serde(borrow)]
    pub author: User<'a>,
    /// An absolute address.
    #[serde(borrow)]
    pub play_url: Cow<'a, str>,
    /// An absolute address.
    #[serde(borrow)]
    pub cover_url: Cow<'a, str>,
    /// Likes.
    pub favorite_count: i64,
    /// Comments.
    pub comment_count: i64,
    /// Whether the viewer likes it.
    pub is_favorite: bool,
    /// May be empty.
    #[serde(borrow)]
    pub title: Cow<'a, str>,
}

/// A page of the feed (5.1).
#[derive(Debug)]
pub struct Feed<'a> {
    /// At most [`PAGE_MAX`], newest first.
    pub videos: Vec<Video<'a>>,
    /// The publish time of the last one, in the server's unit; `None` only where the page is empty.
    pub next_time: Option<i64>,
}

/// What register and login give (5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Positive.
    pub user_id: i64,
    /// Opaque, not empty.
    pub token: String,
}

#[derive(Deserialize)]
struct Status<'a> {
    status_code: i64,
    #[serde(borrow, default)]
    status_msg: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct UserAnswer<'a> {
    status_code: i64,
    #[serde(borrow, default)]
    status_msg: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    user: Option<User<'a>>,
}

#[derive(Deserialize)]
struct FeedAnswer<'a> {
    status_code: i64,
    #[serde(borrow, default)]
    status_msg: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    video_list: Option<Vec<Video<'a>>>,
    #[serde(default, deserialize_with = "perhaps_number")]
    next_time: Option<i64>,
}

#[derive(Deserialize)]
struct LoginAnswer<'a> {
    status_code: i64,
    #[serde(borrow, default)]
    status_msg: Option<Cow<'a, str>>,
    #[serde(default)]
    user_id: Option<i64>,
    #[serde(default)]
    token: Option<String>,
}

/// The answer of an action: success and nothing else.
pub fn read_status(body: &[u8]) -> Result<(), Failure> {
    let answer: Status<'_> = parse(body)?;
    succeeded(answer.status_code, answer.status_msg)
}

/// The answer of `GET /douyin/user/`.
pub fn read_user(body: &[u8]) -> Result<User<'_>, Failure> {
    let answer: UserAnswer<'_> = parse(body)?;
    succeeded(answer.status_code, answer.status_msg)?;
    let user = answer
        .user
        .ok_or_else(|| Failure::shape(&"user is missing or null", body))?;
    check_user(&user).map_err(|reason| Failure::shape(&reason, body))?;
    Ok(user)
}

/// The answer of `GET /douyin/feed/`.
pub fn read_feed(body: &[u8]) -> Result<Feed<'_>, Failure> {
    let answer: FeedAnswer<'_> = parse(body)?;
    succeeded(answer.status_code, answer.status_msg)?;
    let feed = Feed {
        videos: answer
            .video_list
            .ok_or_else(|| Failure::shape(&"video_list is missing or null", body))?,
        next_time: answer.next_time,
    };
    check_feed(&feed).map_err(|reason| Failure::shape(&reason, body))?;
    Ok(feed)
}

/// The answer of a list of videos, which has no pages (5.6 and 6.2).
pub fn read_videos(body: &[u8]) -> Result<Vec<Video<'_>>, Failure> {
    let answer: FeedAnswer<'_> = parse(body)?;
    succeeded(answer.status_code, answer.status_msg)?;
    let videos = answer
        .video_list
        .ok_or_else(|| Failure::shape(&"video_list is missing or null", body))?;
    check_videos(&videos).map_err(|reason| Failure::shape(&reason, body))?;
    Ok(videos)
}

/// The answer of register and login.
pub fn read_login(body: &[u8]) -> Result<Login, Failure> {
    let answer: LoginAnswer<'_> = parse(body)?;
    succeeded(answer.status_code, answer.status_msg)?;
    match (answer.user_id, answer.token) {
        (Some(user_id @ 1..=ID_MAX), Some(token)) if !token.is_empty() => Ok(Login { user_id, token }),
        // The body is not shown: it may hold a token.
        _ => Err(Failure::shape(
            &"user_id or token is missing or out of bounds",
            b"(not shown)",
        )),
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::shape(&error, body))
}

fn succeeded(code: i64, message: Option<Cow<'_, str>>) -> Result<(), Failure> {
    if code == 0 {
        return Ok(());
    }
    Err(Failure::Code {
        code,
        message: message.map(Cow::into_owned).unwrap_or_default(),
    })
}

fn check_user(user: &User<'_>) -> Result<(), &'static str> {
    if !(1..=ID_MAX).contains(&user.id) {
        return Err("a user's id is out of bounds");
    }
    if user.name.is_empty() {
        return Err("a user's name is empty");
    }
    let counts = [
        user.follow_count,
        user.follower_count,
        user.total_favorited,
        user.work_count,
        user.favorite_count,
    ];
    if counts.iter().any(|count| *count < 0) {
        return Err("a user's count is negative");
    }
    let is_address = |url: &str| url.is_empty() || is_absolute(url);
    if !is_address(&user.avatar) || !is_address(&user.background_image) {
        return Err("a user's picture has no absolute address");
    }
    Ok(())
}

fn check_feed(feed: &Feed<'_>) -> Result<(), &'static str> {
    if feed.videos.len() > PAGE_MAX {
        return Err("more than 30 videos");
    }
    if !feed.videos.is_empty() && feed.next_time.is_none_or(|time| time <= 0) {
        return Err("videos without a next_time");
    }
    for (at, video) in feed.videos.iter().enumerate() {
        if feed.videos[..at].iter().any(|earlier| earlier.id == video.id) {
            return Err("a video is twice on the page");
        }
    }
    check_videos(&feed.videos)
}

fn check_videos(videos: &[Video<'_>]) -> Result<(), &'static str> {
    for video in videos {
        if !(1..=ID_MAX).contains(&video.id) {
            return Err("a video's id is out of bounds");
        }
        if video.favorite_count < 0 || video.comment_count < 0 {
            return Err("a video's count is negative");
        }
        if video.is_favorite && video.favorite_count == 0 {
            return Err("a video that the viewer likes and nobody does");
        }
        if !is_absolute(&video.play_url) || !is_absolute(&video.cover_url) {
            return Err("a video's files have no absolute address");
        }
        check_user(&video.author)?;
    }
    Ok(())
}

fn is_absolute(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// A whole number, a text of digits, or nothing.
struct Number;

impl Visitor<'_> for Number {
    type Value = Option<i64>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a whole number, or a text of digits")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        let number = i64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))?;
        Ok(Some(number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        let number = value
            .parse()
            .map_err(|_| E::invalid_value(Unexpected::Str(value), &self))?;
        Ok(Some(number))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

fn perhaps_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_any(Number)
}

fn number_or_digits<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    perhaps_number(deserializer)?.ok_or_else(|| D::Error::custom("null where a number must be"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn user() -> Value {
        json!({"id": 3, "name": "m\"ei", "follow_count": 1, "follower_count": 2, "is_follow": false, "avatar": "",
            "background_image": "http://h/b.png", "signature": "", "total_favorited": 5, "work_count": 1,
            "favorite_count": 0})
    }

    fn video() -> Value {
        json!({"id": 7, "author": user(), "play_url": "http://h/7.mp4", "cover_url": "http://h/7.jpg",
            "favorite_count": 5, "comment_count": 0, "is_favorite": true, "title": "sea"})
    }

    fn feed(list: &Value) -> Value {
        json!({"status_code": 0, "status_msg": "", "video_list": list, "next_time": 1_700_000_000_123_i64})
    }

    #[test]
    fn right_answers_are_read() {
        let body = json!({"status_code": 0, "user": user(), "extra": 1}).to_string();
        assert_eq!(read_user(body.as_bytes()).unwrap().name, "m\"ei");
        let body = feed(&json!([video()])).to_string();
        assert_eq!(read_feed(body.as_bytes()).unwrap().next_time, Some(1_700_000_000_123));
        let body = json!({"status_code": 0, "video_list": [], "next_time": null}).to_string();
        assert_eq!(read_feed(body.as_bytes()).unwrap().videos.len(), 0);
        let mut digits = feed(&json!([video()]));
        digits["next_time"] = json!("1700000000");
        digits["video_list"][0]["author"]["total_favorited"] = json!("5");
        assert_eq!(
            read_feed(digits.to_string().as_bytes()).unwrap().next_time,
            Some(1_700_000_000)
        );
        read_status(br#"{"status_code":0}"#).unwrap();
        let login = read_login(br#"{"status_code":0,"status_msg":"","user_id":3,"token":"a.b"}"#).unwrap();
        assert_eq!((login.user_id, login.token.as_str()), (3, "a.b"));
    }

    #[test]
    fn every_missing_field_and_wrong_type_is_found() {
        for field in user().as_object().unwrap().keys() {
            for wrong in [None, Some(Value::Null), Some(json!([]))] {
                let mut broken = json!({"status_code": 0, "user": user()});
                let user = broken["user"].as_object_mut().unwrap();
                match &wrong {
                    Some(value) => drop(user.insert(field.clone(), value.clone())),
                    None => drop(user.remove(field)),
                }
                let body = broken.to_string();
                assert_eq!(
                    read_user(body.as_bytes()).unwrap_err().kind(),
                    "shape",
                    "{field} {wrong:?}"
                );
            }
        }
        for field in video().as_object().unwrap().keys() {
            let mut broken = video();
            broken.as_object_mut().unwrap().remove(field);
            let body = feed(&json!([broken])).to_string();
            assert_eq!(read_feed(body.as_bytes()).unwrap_err().kind(), "shape", "{field}");
        }
    }

    #[test]
    fn what_can_not_be_true_is_found() {
        for (pointer, wrong) in [
            ("/video_list/0/id", json!(0)),
            ("/video_list/0/id", json!((1_i64 << 53) + 1)),
            ("/video_list/0/favorite_count", json!(-1)),
            ("/video_list/0/favorite_count", json!(0)),
            ("/video_list/0/play_url", json!("/7.mp4")),
            ("/video_list/0/author/name", json!("")),
            ("/video_list/0/author/work_count", json!(-3)),
            ("/video_list/0/author/avatar", json!("a.png")),
            ("/next_time", json!(0)),
            ("/next_time", Value::Null),
            ("/next_time", json!("soon")),
            ("/video_list", Value::Null),
            ("/video_list", json!([video(), video()])),
        ] {
            let mut broken = feed(&json!([video()]));
            *broken.pointer_mut(pointer).unwrap() = wrong.clone();
            let body = broken.to_string();
            assert_eq!(
                read_feed(body.as_bytes()).unwrap_err().kind(),
                "shape",
                "{pointer} {wrong}"
            );
        }
        let many: Vec<_> = (1..=31)
            .map(|id| {
                let mut video = video();
                video["id"] = json!(id);
                video
            })
            .collect();
        assert!(read_feed(feed(&json!(many[..30])).to_string().as_bytes()).is_ok());
        assert!(read_feed(feed(&json!(many)).to_string().as_bytes()).is_err());
    }

    #[test]
    fn failures_and_nonsense_are_told_apart() {
        let refused = br#"{"status_code":1001,"status_msg":"token is invalid"}"#;
        assert_eq!(
            read_feed(refused).unwrap_err().to_string(),
            "status_code 1001: token is invalid"
        );
        assert_eq!(read_user(refused).unwrap_err().kind(), "status-code");
        assert_eq!(read_status(refused).unwrap_err().kind(), "status-code");
        let refused = br#"{"status_code":1,"status_msg":"no","user_id":0,"token":""}"#;
        assert_eq!(read_login(refused).unwrap_err().kind(), "status-code");
        for nonsense in [
            &b""[..],
            b"<html>",
            b"{\"status_code\":0",
            b"{\"status_code\":\"0\"}",
            b"null",
            b"{}",
        ] {
            assert_eq!(read_status(nonsense).unwrap_err().kind(), "shape");
        }
        assert_eq!(
            read_login(br#"{"status_code":0,"user_id":3,"token":""}"#)
                .unwrap_err()
                .kind(),
            "shape"
        );
    }
}
