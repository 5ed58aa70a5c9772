//! A seeded world, row by row.
//!
//! Owns what happens to whom and when, from nothing but the size: equal sizes give equal rows. Rows leave in batches as
//! they are made, the pairs first, so that users and videos come last with counts that are exact. What stays in memory
//! is 36 bytes a user and 16 bytes a video, whatever the number of likes: whether a pair was drawn before only matters
//! within one user, and users are done one after the other, which is also the order of the keys.

use ovation_schema::bulk::{Bulk, BulkComment, BulkFavorite, BulkFollow, BulkUser, BulkVideo, Reached};
use ovation_schema::{CommentId, StoreError, UserId, VideoId};
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::chats;
use super::progress::Progress;
use super::shape::{Draw, Shares, lifelike_cap};
use super::size::Size;
use super::texts;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The end of every seeded world, 2026-01-01T00:00:00Z: a fixed moment, since equal worlds have equal times.
pub const END_MS: i64 = 1_767_225_600_000;
/// How long things went on: everything but the registrations happened in these days.
pub const SPAN_MS: i64 = 90 * DAY_MS;
/// When they began.
pub const START_MS: i64 = END_MS - SPAN_MS;
/// Everybody registered in the days before.
const REGISTRATION_MS: i64 = 30 * DAY_MS;
/// Rows that are made before they are written.
pub const BATCH: usize = 10_000;

/// What does not follow from the size.
pub struct Makings {
    /// The PHC string of everybody.
    pub password_hash: String,
    /// Names of kept media, at least one; every video shows one of them.
    pub media: Vec<String>,
}

/// Each part of the world has random numbers of its own, so that more comments don't move a single like.
#[derive(Clone, Copy)]
pub enum Part {
    Ranks = 1,
    Follows,
    Likes,
    Comments,
    Messages,
    Users,
    Videos,
}

/// Users and videos by index (id - 1), with what is counted on the way.
struct World<'a> {
    size: Size,
    makings: &'a Makings,
    /// By rank: who is followed and publishes most.
    fame: Vec<u32>,
    /// By rank: which video is liked and commented most.
    popularity: Vec<u32>,
    /// By rank: who likes, follows and comments most.
    activity: Vec<u32>,
    author: Vec<u32>,
    follows: Vec<u32>,
    followers: Vec<u32>,
    favorites: Vec<u32>,
    likes: Vec<u32>,
    comments: Vec<u32>,
}

/// Writes the world and commits it.
pub fn plant(size: Size, makings: &Makings, mut bulk: Bulk<'_>, progress: &mut Progress) -> Result<(), StoreError> {
    progress.section("preparation");
    let mut world = World::new(size, makings);
    world.add_follows(&mut bulk, progress)?;
    world.add_likes(&mut bulk, progress)?;
    world.add_comments(&mut bulk, progress)?;
    chats::add(size, &mut bulk, progress)?;
    world.add_users(&mut bulk, progress)?;
    world.add_videos(&mut bulk, progress)?;
    progress.section("commit");
    bulk.finish(Reached {
        user: i64::from(size.users),
        video: i64::from(size.videos),
        comment: size.comments.cast_signed(),
        message: size.messages.cast_signed(),
        publish_ms: if size.videos > 0 {
            world.publish_time(size.videos - 1)
        } else {
            0
        },
    })
}

/// Collects rows and hands them on in batches.
struct Batches<'p, T, F> {
    rows: Vec<T>,
    write: F,
    progress: &'p mut Progress,
}

impl<'p, T, F: FnMut(&[T]) -> Result<(), StoreError>> Batches<'p, T, F> {
    fn new(progress: &'p mut Progress, write: F) -> Self {
        Self {
            rows: Vec::with_capacity(BATCH),
            write,
            progress,
        }
    }

    fn push(&mut self, row: T) -> Result<(), StoreError> {
        self.rows.push(row);
        if self.rows.len() == BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        (self.write)(&self.rows)?;
        self.progress.add(self.rows.len());
        self.rows.clear();
        Ok(())
    }
}

impl<'a> World<'a> {
    fn new(size: Size, makings: &'a Makings) -> Self {
        let mut rng = random(size, Part::Ranks);
        let mut shuffled = |count: u32| {
            let mut all: Vec<u32> = (0..count).collect();
            all.shuffle(&mut rng);
            all
        };
        let (fame, popularity, activity) = (shuffled(size.users), shuffled(size.videos), shuffled(size.users));
        let authors = Draw::new(size.users);
        let author = (0..size.videos).map(|_| fame[authors.one(&mut rng) as usize]).collect();
        let (users, videos) = (u64::from(size.users), u64::from(size.videos));
        // Half of the follows are spread evenly: with Zipf alone most users would follow nobody.
        let even = size.follows / 2 / users;
        let rest = size.follows - even * users;
        let others = users - 1 - even;
        let follows = Shares::new(rest, users, lifelike_cap(rest, users, others));
        let favorites = Shares::new(size.likes, users, lifelike_cap(size.likes, users, videos));
        let comments = Shares::new(size.comments, videos, size.comments);
        Self {
            follows: by_rank(&activity, |rank| even + follows.of(rank)),
            favorites: by_rank(&activity, |rank| favorites.of(rank)),
            comments: by_rank(&popularity, |rank| comments.of(rank)),
            followers: vec![0; size.users as usize],
            likes: vec![0; size.videos as usize],
            size,
            makings,
            fame,
            popularity,
            activity,
            author,
        }
    }

    /// Evenly spread: in the order of ids, each at a millisecond of its own.
    fn publish_time(&self, video: u32) -> i64 {
        START_MS + SPAN_MS * (i64::from(video) + 1) / (i64::from(self.size.videos) + 1)
    }

    fn add_follows(&mut self, bulk: &mut Bulk<'_>, progress: &mut Progress) -> Result<(), StoreError> {
        progress.section("follows");
        let mut rng = random(self.size, Part::Follows);
        let mut draw = Draw::new(self.size.users);
        let mut rows = Batches::new(progress, |rows: &[BulkFollow]| bulk.follows(rows));
        let mut followees = Vec::new();
        for user in 0..self.size.users {
            let drawn = draw.distinct(&mut rng, self.follows[user as usize], |rank| {
                self.fame[rank as usize] != user
            });
            followees.clear();
            followees.extend(drawn.iter().map(|rank| self.fame[*rank as usize]));
            followees.sort_unstable();
            for followee in &followees {
                self.followers[*followee as usize] += 1;
                rows.push(BulkFollow {
                    follower_id: user_id(user),
                    followee_id: user_id(*followee),
                    active: true,
                    changed_at: rng.random_range(START_MS..END_MS),
                })?;
            }
        }
        rows.flush()
    }

    fn add_likes(&mut self, bulk: &mut Bulk<'_>, progress: &mut Progress) -> Result<(), StoreError> {
        progress.section("likes");
        let mut rng = random(self.size, Part::Likes);
        let mut draw = Draw::new(self.size.videos);
        let mut rows = Batches::new(progress, |rows: &[BulkFavorite]| bulk.favorites(rows));
        let mut liked = Vec::new();
        for user in 0..self.size.users {
            let drawn = draw.distinct(&mut rng, self.favorites[user as usize], |_| true);
            liked.clear();
            liked.extend(drawn.iter().map(|rank| self.popularity[*rank as usize]));
            liked.sort_unstable();
            for video in &liked {
                self.likes[*video as usize] += 1;
                rows.push(BulkFavorite {
                    user_id: user_id(user),
                    video_id: video_id(*video),
                    active: true,
                    changed_at: rng.random_range(self.publish_time(*video)..END_MS),
                })?;
            }
        }
        rows.flush()
    }

    /// Video by video, the oldest comment first: ids grow with the index that lists them.
    fn add_comments(&self, bulk: &mut Bulk<'_>, progress: &mut Progress) -> Result<(), StoreError> {
        progress.section("comments");
        let mut rng = random(self.size, Part::Comments);
        let draw = Draw::new(self.size.users);
        let mut rows = Batches::new(progress, |rows: &[BulkComment<'_>]| bulk.comments(rows));
        let mut id = 0;
        for (video, count) in (0..).zip(&self.comments) {
            let publish = self.publish_time(video);
            let count = i64::from(*count);
            for number in 1..=count {
                id += 1;
                rows.push(BulkComment {
                    id: CommentId(id),
                    video_id: video_id(video),
                    user_id: user_id(self.activity[draw.one(&mut rng) as usize]),
                    content: one_of(texts::COMMENTS, &mut rng),
                    created_at: publish + ((END_MS - publish) * number / (count + 1)).max(1),
                })?;
            }
        }
        rows.flush()
    }

    fn add_users(&self, bulk: &mut Bulk<'_>, progress: &mut Progress) -> Result<(), StoreError> {
        progress.section("users");
        let mut rng = random(self.size, Part::Users);
        let (mut works, mut favorited) = (vec![0_i64; self.fame.len()], vec![0_i64; self.fame.len()]);
        for (author, likes) in self.author.iter().zip(&self.likes) {
            works[*author as usize] += 1;
            favorited[*author as usize] += i64::from(*likes);
        }
        let mut rows = Batches::new(progress, |rows: &[BulkUser<'_>]| bulk.users(rows));
        for number in 0..self.size.users {
            let user = number as usize;
            rows.push(BulkUser {
                id: user_id(number),
                name: texts::user_name(number + 1),
                password_hash: &self.makings.password_hash,
                signature: one_of(texts::SIGNATURES, &mut rng),
                follow_count: self.follows[user].into(),
                follower_count: self.followers[user].into(),
                total_favorited: favorited[user],
                work_count: works[user],
                favorite_count: self.favorites[user].into(),
                created_at: START_MS - REGISTRATION_MS
                    + REGISTRATION_MS * i64::from(number) / i64::from(self.size.users),
            })?;
        }
        rows.flush()
    }

    fn add_videos(&self, bulk: &mut Bulk<'_>, progress: &mut Progress) -> Result<(), StoreError> {
        progress.section("videos");
        let mut rng = random(self.size, Part::Videos);
        let mut rows = Batches::new(progress, |rows: &[BulkVideo<'_>]| bulk.videos(rows));
        for (number, author) in (0..).zip(&self.author) {
            let video = number as usize;
            rows.push(BulkVideo {
                id: video_id(number),
                author_id: user_id(*author),
                title: texts::title(one_of(texts::SUBJECTS, &mut rng), number + 1),
                media_hash: self.makings.media.choose(&mut rng).map_or("", String::as_str),
                publish_time: self.publish_time(number),
                favorite_count: self.likes[video].into(),
                comment_count: self.comments[video].into(),
            })?;
        }
        rows.flush()
    }
}

/// The random numbers of one part.
pub fn random(size: Size, part: Part) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(size.seed);
    rng.set_stream(part as u64);
    rng
}

/// Shares by rank become shares by index.
fn by_rank(order: &[u32], share: impl Fn(u64) -> u64) -> Vec<u32> {
    let mut shares = vec![0; order.len()];
    for (rank, index) in (1..).zip(order) {
        // At most the number of likes, follows or comments, which the command line bounds far below.
        shares[*index as usize] = u32::try_from(share(rank)).unwrap_or(u32::MAX);
    }
    shares
}

/// Any of the texts.
pub fn one_of(texts: &[&'static str], rng: &mut ChaCha8Rng) -> &'static str {
    texts.choose(rng).copied().unwrap_or_default()
}

/// Indices begin at 0, ids at 1.
pub fn user_id(index: u32) -> UserId {
    UserId(i64::from(index) + 1)
}

fn video_id(index: u32) -> VideoId {
    VideoId(i64::from(index) + 1)
}
