//! Somebody who uses the site: verbs that succeed or fail the test, and the bare calls for what should be refused.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::answer::Reply;
use super::clip::{self, Multipart};
use super::shapes::{Comment, Friend, Message, User, Video};
use super::site::{Params, Site};

/// A user with a token, or the guest.
#[derive(Clone)]
pub struct Persona {
    site: Site,
    /// 0 for the guest.
    pub id: i64,
    /// As registered.
    pub name: String,
    /// Empty for the guest.
    pub token: String,
}

/// One page of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub videos: Vec<Video>,
    /// Where the next page starts, in milliseconds.
    pub next_time: i64,
}

impl Persona {
    /// Reads the answer to a registration or login.
    pub fn welcomed(site: &Site, name: &str, reply: &Reply) -> Self {
        let mut payload = reply.success();
        let id = payload.remove("user_id").and_then(|id| id.as_i64()).expect("user_id");
        let Some(Value::String(token)) = payload.remove("token") else {
            panic!("no token: {}", reply.text())
        };
        assert!(payload.is_empty(), "{}", reply.text());
        assert!((1..1_000_000).contains(&id), "small ids in a fresh database: {id}");
        assert!(!token.is_empty());
        Self {
            site: site.clone(),
            id,
            name: name.to_owned(),
            token,
        }
    }

    /// Somebody who never logged in.
    pub fn guest(site: &Site) -> Self {
        Self {
            site: site.clone(),
            id: 0,
            name: String::new(),
            token: String::new(),
        }
    }

    /// The server this persona talks to.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The same person with another token in hand.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// Calls an endpoint with this persona's token.
    pub fn call(&self, method: &str, path: &str, params: Params<'_>) -> Reply {
        let mut all = params.to_vec();
        all.push(("token", &self.token));
        self.site.call(method, path, &all)
    }

    /// GET of an endpoint.
    pub fn get(&self, path: &str, params: Params<'_>) -> Reply {
        self.call("GET", path, params)
    }

    /// POST to an endpoint.
    pub fn post(&self, path: &str, params: Params<'_>) -> Reply {
        self.call("POST", path, params)
    }

    // The feed and videos.

    /// The first page of the feed.
    pub fn feed(&self) -> Vec<Video> {
        self.page(&"").videos
    }

    /// The page of the feed before `latest_time`.
    pub fn page(&self, latest_time: &dyn Display) -> Page {
        let mut payload = self.get("/douyin/feed/", &[("latest_time", latest_time)]).success();
        let next_time = payload
            .remove("next_time")
            .and_then(|time| time.as_i64())
            .expect("next_time");
        let videos: Vec<Video> = list(payload, "video_list", Video::read);
        assert!(videos.len() <= 30, "a page holds 30 at most: {}", videos.len());
        Page { videos, next_time }
    }

    /// The feed's entry of a video, which must be on the first page.
    pub fn sees(&self, video: &Video) -> Video {
        let found = self.feed().into_iter().find(|seen| seen.id == video.id);
        found.unwrap_or_else(|| panic!("video {} is not in the feed", video.id))
    }

    /// Uploads bytes the way the official test does, file first.
    pub fn uploads(&self, title: &str, content: &[u8]) -> Reply {
        let body = Multipart::default()
            .file(content)
            .field("token", &self.token)
            .field("title", title);
        self.posts_multipart("/douyin/publish/action/", body.end())
    }

    /// Posts a multipart body made elsewhere.
    pub fn posts_multipart(&self, target: &str, body: Vec<u8>) -> Reply {
        self.site
            .request("POST", target, &[("content-type", &Multipart::content_type())], body)
    }

    /// Publishes the clip; the video as the next request lists it.
    pub fn publishes(&self, title: &str) -> Video {
        self.uploads(title, clip::CLIP).done();
        let works = self.works_of(self.id);
        let newest = works.into_iter().next().expect("a published video is listed at once");
        assert_eq!(newest.title, title, "newest first");
        newest
    }

    /// Somebody's publish list.
    pub fn works_of(&self, user: i64) -> Vec<Video> {
        self.lists("/douyin/publish/list/", user, "video_list", Video::read)
    }

    // Favorites.

    /// Likes, or takes it back.
    pub fn favorite(&self, video: i64, action_type: i64) -> Reply {
        self.post(
            "/douyin/favorite/action/",
            &[("video_id", &video), ("action_type", &action_type)],
        )
    }

    /// Likes.
    pub fn favorites(&self, video: &Video) {
        self.favorite(video.id, 1).done();
    }

    /// Takes a like back.
    pub fn unfavorites(&self, video: &Video) {
        self.favorite(video.id, 2).done();
    }

    /// Somebody's favorites.
    pub fn favorites_of(&self, user: i64) -> Vec<Video> {
        self.lists("/douyin/favorite/list/", user, "video_list", Video::read)
    }

    // Comments.

    /// Tries to comment.
    pub fn comment(&self, video: i64, text: &str) -> Reply {
        self.post(
            "/douyin/comment/action/",
            &[("video_id", &video), ("action_type", &1), ("comment_text", &text)],
        )
    }

    /// Comments.
    pub fn comments(&self, video: &Video, text: &str) -> Comment {
        let mut payload = self.comment(video.id, text).success();
        let comment = Comment::read(&payload.remove("comment").expect("comment"));
        assert!(payload.is_empty());
        assert_eq!((comment.content.as_str(), comment.user.id), (text, self.id));
        comment
    }

    /// Tries to delete a comment.
    pub fn uncomment(&self, video: i64, comment: i64) -> Reply {
        self.post(
            "/douyin/comment/action/",
            &[("video_id", &video), ("action_type", &2), ("comment_id", &comment)],
        )
    }

    /// A video's comments.
    pub fn comments_of(&self, video: &Video) -> Vec<Comment> {
        let reply = self.get("/douyin/comment/list/", &[("video_id", &video.id)]);
        list(reply.success(), "comment_list", Comment::read)
    }

    // Relations.

    /// Follows (1) or unfollows (2) an id.
    pub fn relate(&self, user: i64, action_type: i64) -> Reply {
        self.post(
            "/douyin/relation/action/",
            &[("to_user_id", &user), ("action_type", &action_type)],
        )
    }

    /// Follows.
    pub fn follows(&self, other: &Self) {
        self.relate(other.id, 1).done();
    }

    /// Unfollows.
    pub fn unfollows(&self, other: &Self) {
        self.relate(other.id, 2).done();
    }

    /// Whom somebody follows.
    pub fn following_of(&self, user: i64) -> Vec<User> {
        self.lists("/douyin/relation/follow/list/", user, "user_list", User::read)
    }

    /// Who follows somebody.
    pub fn followers_of(&self, user: i64) -> Vec<User> {
        self.lists("/douyin/relation/follower/list/", user, "user_list", User::read)
    }

    /// One's own friends.
    pub fn friends(&self) -> Vec<Friend> {
        self.lists("/douyin/relation/friend/list/", self.id, "user_list", Friend::read)
    }

    // Messages.

    /// Tries to send a message to an id.
    pub fn message(&self, user: i64, content: &str) -> Reply {
        self.post(
            "/douyin/message/action/",
            &[("to_user_id", &user), ("action_type", &1), ("content", &content)],
        )
    }

    /// Sends a message.
    pub fn tells(&self, other: &Self, content: &str) {
        self.message(other.id, content).done();
    }

    /// The conversation with somebody after `pre_msg_time`; always oldest first and between the two.
    pub fn chat(&self, other: &Self, pre_msg_time: &dyn Display) -> Vec<Message> {
        let reply = self.get(
            "/douyin/message/chat/",
            &[("to_user_id", &other.id), ("pre_msg_time", pre_msg_time)],
        );
        let messages = list(reply.success(), "message_list", Message::read);
        for pair in messages.windows(2) {
            assert!(
                pair[0].create_time < pair[1].create_time,
                "strictly increasing: {pair:?}"
            );
        }
        for message in &messages {
            let ends = (message.from_user_id, message.to_user_id);
            assert!(
                ends == (self.id, other.id) || ends == (other.id, self.id),
                "{message:?}"
            );
        }
        messages
    }

    // Profiles.

    /// Somebody's profile.
    pub fn profile_of(&self, user: i64) -> User {
        let mut payload = self.get("/douyin/user/", &[("user_id", &user)]).success();
        let user = User::read(&payload.remove("user").expect("user"));
        assert!(payload.is_empty());
        user
    }

    /// One's own profile.
    pub fn profile(&self) -> User {
        self.profile_of(self.id)
    }

    fn lists<T>(&self, path: &str, user: i64, key: &str, read: fn(&Value) -> T) -> Vec<T> {
        list(self.get(path, &[("user_id", &user)]).success(), key, read)
    }
}

/// The one list of a payload, which holds nothing else.
pub fn list<T>(mut payload: Map<String, Value>, key: &str, read: fn(&Value) -> T) -> Vec<T> {
    let Some(Value::Array(items)) = payload.remove(key) else {
        panic!("{key} is no list in {payload:?}")
    };
    assert!(payload.is_empty(), "more than {key}: {:?}", payload.keys());
    items.iter().map(read).collect()
}
