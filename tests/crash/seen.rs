//! Everything the public API shows of a scene, read when nobody changes anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Persona, User};

/// What is shown of one user.
#[derive(Debug, Clone, Default)]
pub struct SeenUser {
    pub favorite_count: i64,
    pub total_favorited: i64,
    pub follow_count: i64,
    pub follower_count: i64,
    /// Videos of the favorite list, in its order.
    pub favorites: Vec<i64>,
    /// Videos that the feed marks as this viewer's favorites.
    pub marked: BTreeSet<i64>,
    pub following: Vec<i64>,
    pub followers: Vec<i64>,
}

/// What is shown of one comment.
#[derive(Debug, Clone)]
pub struct SeenComment {
    pub id: i64,
    pub user: i64,
    pub text: String,
}

/// What is shown of one video.
#[derive(Debug, Clone, Default)]
pub struct SeenVideo {
    pub author: i64,
    pub favorite_count: i64,
    pub comment_count: i64,
    pub comments: Vec<SeenComment>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub users: BTreeMap<i64, SeenUser>,
    pub videos: BTreeMap<i64, SeenVideo>,
    /// What (from, to) wrote, oldest first. As the sender's side shows it; the receiver's is checked to be the same.
    pub messages: BTreeMap<(i64, i64), Vec<String>>,
}

impl Seen {
    /// Reads it through these people's eyes, who are all there are.
    pub fn through(people: &[Persona]) -> Self {
        let mut seen = Self::default();
        for person in people {
            seen.users.insert(person.id, user(person));
        }
        for video in people[0].feed() {
            let comments = people[0].comments_of(&video).into_iter();
            seen.videos.insert(
                video.id,
                SeenVideo {
                    author: video.author.id,
                    favorite_count: video.favorite_count,
                    comment_count: video.comment_count,
                    comments: comments
                        .map(|comment| SeenComment {
                            id: comment.id,
                            user: comment.user.id,
                            text: comment.content,
                        })
                        .collect(),
                },
            );
        }
        for (place, one) in people.iter().enumerate() {
            for other in &people[place + 1..] {
                seen.read_chat(one, other);
            }
        }
        seen
    }

    fn read_chat(&mut self, one: &Persona, other: &Persona) {
        let chat = one.chat(other, &0);
        assert_eq!(chat, other.chat(one, &0), "both sides see one conversation");
        for message in chat {
            let way = (message.from_user_id, message.to_user_id);
            self.messages.entry(way).or_default().push(message.content);
        }
    }
}

fn user(person: &Persona) -> SeenUser {
    let profile = person.profile();
    let ids = |users: Vec<User>| users.into_iter().map(|user| user.id).collect();
    let feed = person.feed().into_iter();
    SeenUser {
        favorite_count: profile.favorite_count,
        total_favorited: profile.total_favorited,
        follow_count: profile.follow_count,
        follower_count: profile.follower_count,
        favorites: person
            .favorites_of(person.id)
            .into_iter()
            .map(|video| video.id)
            .collect(),
        marked: feed.filter(|video| video.is_favorite).map(|video| video.id).collect(),
        following: ids(person.following_of(person.id)),
        followers: ids(person.followers_of(person.id)),
    }
}
