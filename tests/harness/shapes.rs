//! The contract's types, read strictly (contract section 3): every field there, of exactly its JSON type, no other.

use serde_json::{Map, Value};

/// 3.1: eleven fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract's words")]
pub struct User {
    pub id: i64,
    pub name: String,
    pub follow_count: i64,
    pub follower_count: i64,
    pub is_follow: bool,
    pub avatar: String,
    pub background_image: String,
    pub signature: String,
    pub total_favorited: i64,
    pub work_count: i64,
    pub favorite_count: i64,
}

/// 3.2: eight fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract's words")]
pub struct Video {
    pub id: i64,
    pub author: User,
    pub play_url: String,
    pub cover_url: String,
    pub favorite_count: i64,
    pub comment_count: i64,
    pub is_favorite: bool,
    pub title: String,
}

/// 3.3: four fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract's words")]
pub struct Comment {
    pub id: i64,
    pub user: User,
    pub content: String,
    pub create_date: String,
}

/// 3.4: five fields; the time in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract's words")]
pub struct Message {
    pub id: i64,
    pub to_user_id: i64,
    pub from_user_id: i64,
    pub content: String,
    pub create_time: i64,
}

/// 3.5: a user with the last message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the contract's words")]
pub struct Friend {
    pub user: User,
    pub message: String,
    pub msg_type: i64,
}

/// A JSON object whose fields are taken one by one, until none may be left.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    taken: usize,
}

impl<'a> Fields<'a> {
    /// The fields of `value`, which must be an object.
    pub fn of(value: &'a Value) -> Self {
        let map = value.as_object().unwrap_or_else(|| panic!("not an object: {value}"));
        Self { map, taken: 0 }
    }

    fn take(&mut self, key: &str) -> &'a Value {
        self.taken += 1;
        self.map
            .get(key)
            .unwrap_or_else(|| panic!("{key} is missing in {:?}", self.map))
    }

    fn int(&mut self, key: &str) -> i64 {
        let value = self.take(key);
        value
            .as_i64()
            .unwrap_or_else(|| panic!("{key} is not an int64: {value}"))
    }

    fn count(&mut self, key: &str) -> i64 {
        let count = self.int(key);
        assert!(count >= 0, "{key} is negative: {count}");
        count
    }

    fn id(&mut self, key: &str) -> i64 {
        let id = self.int(key);
        assert!((1..=1 << 53).contains(&id), "{key} is no id: {id}");
        id
    }

    fn text(&mut self, key: &str) -> String {
        let value = self.take(key);
        value
            .as_str()
            .unwrap_or_else(|| panic!("{key} is not a string: {value}"))
            .to_owned()
    }

    fn url(&mut self, key: &str) -> String {
        let url = self.text(key);
        assert!(
            url.starts_with("http://") || url.starts_with("https://"),
            "{key}: {url:?}"
        );
        url
    }

    fn flag(&mut self, key: &str) -> bool {
        let value = self.take(key);
        value.as_bool().unwrap_or_else(|| panic!("{key} is no bool: {value}"))
    }

    fn end(&self) {
        assert_eq!(
            self.taken,
            self.map.len(),
            "fields the contract has not: {:?}",
            self.map
        );
    }
}

impl User {
    /// Reads a whole object.
    pub fn read(value: &Value) -> Self {
        let mut fields = Fields::of(value);
        let user = Self::from(&mut fields);
        fields.end();
        user
    }

    fn from(fields: &mut Fields<'_>) -> Self {
        Self {
            id: fields.id("id"),
            name: fields.text("name"),
            follow_count: fields.count("follow_count"),
            follower_count: fields.count("follower_count"),
            is_follow: fields.flag("is_follow"),
            avatar: fields.url("avatar"),
            background_image: fields.url("background_image"),
            signature: fields.text("signature"),
            total_favorited: fields.count("total_favorited"),
            work_count: fields.count("work_count"),
            favorite_count: fields.count("favorite_count"),
        }
    }
}

impl Video {
    /// Reads a whole object.
    pub fn read(value: &Value) -> Self {
        let mut fields = Fields::of(value);
        let video = Self {
            id: fields.id("id"),
            author: User::read(fields.take("author")),
            play_url: fields.url("play_url"),
            cover_url: fields.url("cover_url"),
            favorite_count: fields.count("favorite_count"),
            comment_count: fields.count("comment_count"),
            is_favorite: fields.flag("is_favorite"),
            title: fields.text("title"),
        };
        fields.end();
        video
    }
}

impl Comment {
    /// Reads a whole object.
    pub fn read(value: &Value) -> Self {
        let mut fields = Fields::of(value);
        let comment = Self {
            id: fields.id("id"),
            user: User::read(fields.take("user")),
            content: fields.text("content"),
            create_date: fields.text("create_date"),
        };
        fields.end();
        let date = comment.create_date.as_bytes();
        assert!(
            date.len() == 5 && date[2] == b'-' && [0, 1, 3, 4].iter().all(|&at| date[at].is_ascii_digit()),
            "create_date is MM-DD: {}",
            comment.create_date
        );
        comment
    }
}

impl Message {
    /// Reads a whole object.
    pub fn read(value: &Value) -> Self {
        let mut fields = Fields::of(value);
        let message = Self {
            id: fields.id("id"),
            to_user_id: fields.id("to_user_id"),
            from_user_id: fields.id("from_user_id"),
            content: fields.text("content"),
            create_time: fields.int("create_time"),
        };
        fields.end();
        assert!(message.create_time > 1_600_000_000_000, "milliseconds: {message:?}");
        message
    }
}

impl Friend {
    /// Reads a whole object.
    pub fn read(value: &Value) -> Self {
        let mut fields = Fields::of(value);
        let friend = Self {
            user: User::from(&mut fields),
            message: fields.text("message"),
            msg_type: fields.int("msgType"),
        };
        fields.end();
        assert!([0, 1].contains(&friend.msg_type), "{friend:?}");
        friend
    }
}
