//! How large a seeded world is, and whether such a world is possible.

use super::shape::Pairs;

/// The numbers of a world. Equal sizes, seed included, make equal worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Users, at least 1.
    pub users: u32,
    /// Videos.
    pub videos: u32,
    /// Likes: different pairs of a user and a video.
    pub likes: u64,
    /// Follows: different pairs of two users.
    pub follows: u64,
    /// Comments.
    pub comments: u64,
    /// Messages.
    pub messages: u64,
    /// Which of the worlds of these numbers.
    pub seed: u64,
}

/// Messages of a conversation, on average, where there are people enough.
const MESSAGES_A_CONVERSATION: u64 = 10;

impl Size {
    /// How many follows there are when nobody says: five a user, as far as there are others to follow.
    pub fn usual_follows(users: u32) -> u64 {
        let others = u64::from(users.saturating_sub(1));
        u64::from(users) * others.min(5)
    }

    /// How many comments there are when nobody says: a tenth of the likes.
    pub fn usual_comments(videos: u32, likes: u64) -> u64 {
        if videos == 0 { 0 } else { likes / 10 }
    }

    /// How many messages there are when nobody says: one a user.
    pub fn usual_messages(users: u32) -> u64 {
        if users < 2 { 0 } else { u64::from(users) }
    }

    /// Says what makes this world impossible, if anything does.
    pub fn check(&self) -> Result<(), String> {
        let (users, videos) = (u64::from(self.users), u64::from(self.videos));
        if users == 0 {
            return Err("a world needs a user".to_owned());
        }
        let bounds = [
            (
                "likes",
                self.likes,
                users * videos,
                "every user can like every video once",
            ),
            (
                "follows",
                self.follows,
                users * (users - 1),
                "every user can follow every other once",
            ),
        ];
        for (what, wanted, most, why) in bounds {
            if wanted > most {
                return Err(format!("{wanted} {what} are too many: {why}, which makes {most}"));
            }
        }
        if self.comments > 0 && videos == 0 {
            return Err("comments need a video to stand under: set --videos or --comments 0".to_owned());
        }
        if self.messages > 0 && users < 2 {
            return Err("messages need two users".to_owned());
        }
        Ok(())
    }

    /// Conversations with at least one message.
    pub fn conversations(&self) -> u64 {
        self.messages
            .div_ceil(MESSAGES_A_CONVERSATION)
            .min(Pairs::all(self.users))
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        let people = u64::from(self.users) + u64::from(self.videos);
        people + self.likes + self.follows + self.comments + self.messages + 2 * self.conversations()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size {
        users: 3,
        videos: 2,
        likes: 6,
        follows: 6,
        comments: 1,
        messages: 100,
        seed: 1,
    };

    #[test]
    fn only_possible_worlds_pass() {
        SMALL.check().unwrap();
        let impossible = [
            (Size { likes: 7, ..SMALL }, "which makes 6"),
            (Size { follows: 7, ..SMALL }, "which makes 6"),
            (Size { users: 0, ..SMALL }, "needs a user"),
            (
                Size {
                    videos: 0,
                    likes: 0,
                    ..SMALL
                },
                "--comments 0",
            ),
            (
                Size {
                    users: 1,
                    likes: 0,
                    follows: 0,
                    ..SMALL
                },
                "two users",
            ),
        ];
        for (size, words) in impossible {
            let error = size.check().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_usual_is_possible() {
        for users in [1, 2, 3, 1_000] {
            for (videos, likes) in [(0, 0), (1, 1)] {
                let size = Size {
                    users,
                    videos,
                    likes,
                    follows: Size::usual_follows(users),
                    comments: Size::usual_comments(videos, likes),
                    messages: Size::usual_messages(users),
                    seed: 1,
                };
                size.check().unwrap();
            }
        }
        assert_eq!(SMALL.conversations(), 3, "three pairs are all there are");
        assert_eq!(SMALL.rows(), 3 + 2 + 6 + 6 + 1 + 100 + 6);
    }
}
