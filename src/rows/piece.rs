//! Rows as ready-made pieces of JSON.
//!
//! Owns how a kept user and a kept video become the contract's objects (3.1, 3.2) byte for byte as `api::answer` writes
//! them; a test holds the two together. Everything is in the piece but what depends on the likes, on who looks, and on
//! where URLs begin: those are gaps. The base of URLs is never kept: one request's `Host` must not end up in another's answer.

use ovation_actors::overlay::{Stale, View};
use ovation_schema::users::UserRow;
use ovation_schema::videos::VideoRow;
use ovation_schema::{UserId, VideoId};

use super::Ids;
use super::shelf::Weight;
use crate::{media, pictures};

/// A user.
pub struct UserPiece {
    id: UserId,
    favorite_count: i64,
    total_favorited: i64,
    mark: i64,
    text: Gaps<4>,
}

/// A video without its author.
pub struct VideoPiece {
    id: VideoId,
    favorite_count: i64,
    mark: i64,
    text: Gaps<5>,
}

/// Text with gaps: where each of the first `N` parts ends. The last part runs to the end.
struct Gaps<const N: usize> {
    text: Box<str>,
    ends: [usize; N],
}

impl<const N: usize> Gaps<N> {
    fn new(parts: [&str; N], last: &str) -> Self {
        let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + last.len());
        let ends = parts.map(|part| {
            text.push_str(part);
            text.len()
        });
        text.push_str(last);
        Self {
            text: text.into(),
            ends,
        }
    }

    fn part(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        let end = self.ends.get(number).copied().unwrap_or(self.text.len());
        &self.text.as_bytes()[start..end]
    }
}

impl Weight for UserPiece {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.text.text.len()
    }
}

impl Weight for VideoPiece {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.text.text.len()
    }
}

/// A JSON string. Texts always serialise; were it otherwise, an empty one breaks nothing around it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_else(|_| r#""""#.to_owned())
}

/// The inside of a JSON string.
fn escaped(text: &str) -> String {
    let quoted = quoted(text);
    quoted[1..quoted.len() - 1].to_owned()
}

impl UserPiece {
    /// Whose it is.
    pub const fn id(&self) -> UserId {
        self.id
    }

    /// A row made ready.
    pub fn new(row: &UserRow) -> Self {
        let or = |path: &str, default: &str| escaped(if path.is_empty() { default } else { path });
        let avatar = or(&row.avatar, pictures::avatar_path(row.id.0));
        let background = or(&row.background_image, pictures::background_path(row.id.0));
        let signature = or(&row.signature, pictures::DEFAULT_SIGNATURE);
        let head = format!(
            r#"{{"id":{},"name":{},"follow_count":{},"follower_count":{},"is_follow":"#,
            row.id.0,
            quoted(&row.name),
            row.follow_count,
            row.follower_count
        );
        Self {
            id: row.id,
            favorite_count: row.favorite_count,
            total_favorited: row.total_favorited,
            mark: row.mark.0,
            text: Gaps::new(
                [
                    &head,
                    r#","avatar":""#,
                    &format!(r#"{avatar}","background_image":""#),
                    &format!(r#"{background}","signature":"{signature}","total_favorited":"#),
                ],
                &format!(r#","work_count":{},"favorite_count":"#, row.work_count),
            ),
        }
    }
}

impl VideoPiece {
    /// Whose it is.
    pub const fn id(&self) -> VideoId {
        self.id
    }

    /// A row made ready.
    pub fn new(row: &VideoRow) -> Self {
        Self {
            id: row.id,
            favorite_count: row.favorite_count,
            mark: row.mark.0,
            text: Gaps::new(
                [
                    &format!(r#"{{"id":{},"author":"#, row.id.0),
                    r#","play_url":""#,
                    &format!(r#"{}","cover_url":""#, escaped(&media::video_url_path(&row.media_hash))),
                    &format!(
                        r#"{}","favorite_count":"#,
                        escaped(&media::cover_url_path(&row.media_hash))
                    ),
                    &format!(r#","comment_count":{},"is_favorite":"#, row.comment_count),
                ],
                &format!(r#","title":{}}}"#, quoted(&row.title)),
            ),
        }
    }
}

/// Writes pieces into one body, as of one moment of the likes.
pub struct Pen<'a> {
    likes: &'a View<'a>,
    base: String,
    digits: itoa::Buffer,
    /// What has been written.
    pub out: Vec<u8>,
}

impl<'a> Pen<'a> {
    /// Writes into `out`; URLs begin with `base`.
    pub fn new(likes: &'a View<'a>, base: &str, out: Vec<u8>) -> Self {
        Self {
            likes,
            base: escaped(base),
            digits: itoa::Buffer::new(),
            out,
        }
    }

    /// A number.
    pub fn number(&mut self, number: i64) {
        self.out.extend_from_slice(self.digits.format(number).as_bytes());
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn base(&mut self) {
        self.out.extend_from_slice(self.base.as_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.raw(if flag { b"true" } else { b"false" });
    }

    /// Whether a user likes a video: what memory knows of the pair, else what was stored.
    pub fn likes(&self, user: UserId, video: VideoId, stored: &Ids) -> Result<bool, Stale> {
        if let Some(on) = self.likes.pair(user, video) {
            return Ok(on);
        }
        self.likes.check(stored.mark())?;
        Ok(stored.contains(video.0))
    }

    /// A user, followed by the viewer or not. Refused where the row is older than the likes that memory keeps.
    pub fn user(&mut self, user: &UserPiece, is_follow: bool) -> Result<(), Stale> {
        let counts = self
            .likes
            .user_counts(user.id, user.favorite_count, user.total_favorited, user.mark);
        let (favorite_count, total_favorited) = counts?;
        self.raw(user.text.part(0));
        self.flag(is_follow);
        self.raw(user.text.part(1));
        self.base();
        self.raw(user.text.part(2));
        self.base();
        self.raw(user.text.part(3));
        self.number(total_favorited);
        self.raw(user.text.part(4));
        self.number(favorite_count);
        self.raw(b"}");
        Ok(())
    }

    /// A video with its author, likewise.
    pub fn video(
        &mut self,
        video: &VideoPiece,
        author: &UserPiece,
        is_follow: bool,
        is_favorite: bool,
    ) -> Result<(), Stale> {
        let favorite_count = self.likes.video_count(video.id, video.favorite_count, video.mark)?;
        self.raw(video.text.part(0));
        self.user(author, is_follow)?;
        self.raw(video.text.part(1));
        self.base();
        self.raw(video.text.part(2));
        self.base();
        self.raw(video.text.part(3));
        self.number(favorite_count);
        self.raw(video.text.part(4));
        self.flag(is_favorite);
        self.raw(video.text.part(5));
        Ok(())
    }
}
