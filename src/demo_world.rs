//! The world that `serve --demo` puts into an empty store: who there is, what they posted, said and liked.
//!
//! Pure data and its types; indices instead of ids, minutes before now instead of times. Owns no database, no clock, no
//! password and no randomness: whoever fills a store from it decides those. Tests hold the data to the contract's limits
//! and to its own promises (no strangers chat, nobody is without a follower).

mod chats;
mod videos;

pub use chats::CHATS;
pub use videos::VIDEOS;

/// A short clip that was drawn for this project (`static/demo/draw.py`): MP4, H.264, 720×1280, without sound, a loop.
/// Deliberately without `Debug`: nobody wants the bytes in a log.
pub struct Clip {
    /// What one sees, as a file name without its ending.
    pub name: &'static str,
    /// The whole file, under 300 kB.
    pub bytes: &'static [u8],
}

/// An account of the demo world; its password is made when the store is filled.
#[derive(Debug)]
pub struct DemoUser {
    /// The user name, 1 to 32 characters, unique (contract 5.2).
    pub name: &'static str,
    /// What the profile says below the name; never empty.
    pub signature: &'static str,
}

/// A video with everything that hangs on it.
#[derive(Debug)]
pub struct DemoVideo {
    /// Index into [`USERS`].
    pub author: usize,
    /// Index into [`CLIPS`]; a clip may be posted by several authors.
    pub clip: usize,
    /// 1 to 50 characters.
    pub title: &'static str,
    /// Age, in minutes before now; no two videos share it.
    pub minutes_ago: u32,
    /// Indices into [`USERS`]: who likes it.
    pub likes: &'static [usize],
    /// The oldest first.
    pub comments: &'static [DemoComment],
}

/// A comment under a video.
#[derive(Debug)]
pub struct DemoComment {
    /// Index into [`USERS`].
    pub user: usize,
    /// Age, in minutes before now; younger than the video.
    pub minutes_ago: u32,
    /// 1 to 200 characters.
    pub content: &'static str,
}

/// A conversation of two users who follow each other.
#[derive(Debug)]
pub struct DemoChat {
    /// Indices into [`USERS`], the smaller one first.
    pub users: [usize; 2],
    /// The oldest first.
    pub messages: &'static [DemoMessage],
}

/// A message of a conversation.
#[derive(Debug)]
pub struct DemoMessage {
    /// Index into [`USERS`], one of the two of the chat; the other one receives it.
    pub from: usize,
    /// Age, in minutes before now. Equal ages are fine: the order of the list decides, and whoever stores it keeps
    /// times of a conversation strictly increasing.
    pub minutes_ago: u32,
    /// 1 to 500 characters.
    pub content: &'static str,
}

macro_rules! clip {
    ($name:literal) => {
        Clip {
            name: $name,
            bytes: include_bytes!(concat!("../static/demo/", $name, ".mp4")),
        }
    };
}

const AURORA: usize = 0;
const BALLOONS: usize = 1;
const BICYCLE: usize = 2;
const DUSK_WAVES: usize = 3;
const KOI_POND: usize = 4;
const LANTERNS: usize = 5;
const NIGHT_TRAIN: usize = 6;
const RAIN_WINDOW: usize = 7;
const SUNFLOWER: usize = 8;
const TEA_STEAM: usize = 9;

/// Every clip; an index into it stands in [`DemoVideo::clip`].
pub static CLIPS: [Clip; 10] = [
    clip!("aurora"),
    clip!("balloons"),
    clip!("bicycle"),
    clip!("dusk-waves"),
    clip!("koi-pond"),
    clip!("lanterns"),
    clip!("night-train"),
    clip!("rain-window"),
    clip!("sunflower"),
    clip!("tea"),
];

const LIN: usize = 0;
const NOAH: usize = 1;
const CHEN: usize = 2;
const ASTRID: usize = 3;
const SORA: usize = 4;
const AMARA: usize = 5;
const ZHOU: usize = 6;
const MATEO: usize = 7;
const PRIYA: usize = 8;
const JONAS: usize = 9;
const LEILA: usize = 10;
const CAT: usize = 11;

const fn user(name: &'static str, signature: &'static str) -> DemoUser {
    DemoUser { name, signature }
}

/// Every account, in the order of registration.
pub static USERS: [DemoUser; 12] = [
    user("林小满", "喜欢清晨的光，和一杯热茶 🍵"),
    user("Noah Okafor", "Slow mornings, long rides."),
    user("陈一舟", "在路上，顺便拍一点海。"),
    user("Astrid Lund", "Awake when the sky is."),
    user("sora_tanaka", "Rain, koi, night trains. Mostly in that order."),
    user("Amara Diallo", "I plant things. Some of them bloom 🌻"),
    user("周星河", "抬头看星星的人 ✨"),
    user("mateo.rides", "Two wheels, one camera, no plan."),
    user("Priya Nair", "Paper, light and patience."),
    user("Jonas Weber", "Balloon pilot. Yes, really. 🎈"),
    user("Leïla Haddad", "Tea first, then everything else."),
    user("阿橘和她的猫", "猫说了算 🐱"),
];

/// Who follows whom: the follower, then everyone this user follows (indices into [`USERS`]), in the order it happened.
pub static FOLLOWS: [(usize, &[usize]); 12] = [
    (LIN, &[CHEN, LEILA, CAT, SORA, ZHOU]),
    (NOAH, &[MATEO, JONAS, ASTRID]),
    (CHEN, &[LIN, ZHOU, ASTRID, MATEO]),
    (ASTRID, &[ZHOU, JONAS, NOAH]),
    (SORA, &[LEILA, LIN, PRIYA, NOAH, CAT]),
    (AMARA, &[PRIYA, LEILA, JONAS]),
    (ZHOU, &[ASTRID, CHEN, LIN]),
    (MATEO, &[NOAH, AMARA, CHEN, JONAS]),
    (PRIYA, &[AMARA, SORA, ASTRID, LIN]),
    (JONAS, &[ASTRID, NOAH]),
    (LEILA, &[SORA, LIN, AMARA]),
    (CAT, &[LIN, SORA, AMARA, ZHOU, LEILA]),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ops::RangeInclusive;

    use super::*;

    /// Whether `user` follows `other`.
    fn follows(user: usize, other: usize) -> bool {
        FOLLOWS
            .iter()
            .any(|(follower, followed)| *follower == user && followed.contains(&other))
    }

    fn assert_text(text: &str, characters: RangeInclusive<usize>) {
        assert!(
            characters.contains(&text.chars().count()),
            "{text:?} has not {characters:?} characters"
        );
        assert_eq!(text, text.trim());
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }

    fn assert_distinct(indices: &[usize], below: usize) {
        assert!(indices.iter().all(|index| *index < below), "{indices:?}");
        assert_eq!(
            indices.iter().collect::<HashSet<_>>().len(),
            indices.len(),
            "{indices:?}"
        );
    }

    /// Written oldest first, so ids grow with time: each age is below the one before, or equal where that is allowed.
    fn assert_in_order(ages: impl Iterator<Item = u32>, equal: bool) {
        let ages: Vec<_> = ages.collect();
        assert!(
            ages.windows(2)
                .all(|pair| pair[0] > pair[1] || equal && pair[0] == pair[1]),
            "{ages:?}"
        );
    }

    #[test]
    fn clips_are_small_mp4_files_that_start_playing_at_once() {
        let mut total = 0;
        for clip in &CLIPS {
            let at = |kind: &[u8]| clip.bytes.windows(4).position(|window| window == kind);
            assert_eq!(at(b"ftyp"), Some(4), "{}", clip.name);
            assert!(
                at(b"moov") < at(b"mdat"),
                "{}: the index must stand before the media",
                clip.name
            );
            assert!(clip.bytes.len() < 300_000, "{}", clip.name);
            total += clip.bytes.len();
        }
        assert!(total < 2_700_000, "the binary carries all of them: {total}");
        let contents: HashSet<_> = CLIPS.iter().map(|clip| clip.bytes).collect();
        assert_eq!(contents.len(), CLIPS.len());
    }

    #[test]
    fn the_names_of_indices_are_right() {
        let clips = [
            (AURORA, "aurora"),
            (BALLOONS, "balloons"),
            (BICYCLE, "bicycle"),
            (DUSK_WAVES, "dusk-waves"),
            (KOI_POND, "koi-pond"),
            (LANTERNS, "lanterns"),
            (NIGHT_TRAIN, "night-train"),
            (RAIN_WINDOW, "rain-window"),
            (SUNFLOWER, "sunflower"),
            (TEA_STEAM, "tea"),
        ];
        assert!(clips.iter().all(|(index, name)| CLIPS[*index].name == *name));
        let users = [
            (LIN, "林"),
            (NOAH, "Noah"),
            (CHEN, "陈"),
            (ASTRID, "Astrid"),
            (SORA, "sora"),
            (AMARA, "Amara"),
        ];
        assert!(users.iter().all(|(index, start)| USERS[*index].name.starts_with(start)));
        let users = [
            (ZHOU, "周"),
            (MATEO, "mateo"),
            (PRIYA, "Priya"),
            (JONAS, "Jonas"),
            (LEILA, "Leïla"),
            (CAT, "阿橘"),
        ];
        assert!(users.iter().all(|(index, start)| USERS[*index].name.starts_with(start)));
    }

    #[test]
    fn users_have_names_of_their_own_and_something_to_say() {
        for user in &USERS {
            assert_text(user.name, 1..=32);
            assert_text(user.signature, 1..=100);
        }
        assert_eq!(
            USERS.iter().map(|user| user.name).collect::<HashSet<_>>().len(),
            USERS.len()
        );
    }

    #[test]
    fn nobody_follows_themselves_and_nobody_is_without_a_follower() {
        let followers: Vec<_> = FOLLOWS.iter().map(|(follower, _)| *follower).collect();
        assert_distinct(&followers, USERS.len());
        for (follower, followed) in &FOLLOWS {
            assert_distinct(followed, USERS.len());
            assert!(!followed.contains(follower), "{follower}");
        }
        for (index, user) in USERS.iter().enumerate() {
            let followed = (0..USERS.len()).any(|other| follows(other, index));
            assert!(followed, "nobody follows {}", user.name);
        }
    }

    #[test]
    fn videos_show_every_clip_and_respect_the_limits() {
        assert_in_order(VIDEOS.iter().map(|video| video.minutes_ago), false);
        for video in &VIDEOS {
            assert!(
                video.author < USERS.len() && video.clip < CLIPS.len(),
                "{}",
                video.title
            );
            assert_text(video.title, 1..=50);
            assert_distinct(video.likes, USERS.len());
        }
        let shown: HashSet<_> = VIDEOS.iter().map(|video| video.clip).collect();
        assert_eq!(shown.len(), CLIPS.len());
        let likes: HashSet<_> = VIDEOS.iter().map(|video| video.likes.len()).collect();
        assert!(likes.len() >= 5, "likes should be uneven: {likes:?}");
    }

    #[test]
    fn comments_are_younger_than_their_video_and_in_order() {
        for video in &VIDEOS {
            assert_in_order(video.comments.iter().map(|comment| comment.minutes_ago), false);
            for comment in video.comments {
                assert!(
                    comment.user < USERS.len() && comment.minutes_ago < video.minutes_ago,
                    "{}",
                    comment.content
                );
                assert_text(comment.content, 1..=200);
            }
        }
    }

    #[test]
    fn only_friends_chat_and_both_of_them_do() {
        let pairs: HashSet<_> = CHATS.iter().map(|chat| chat.users).collect();
        assert_eq!(pairs.len(), CHATS.len());
        for chat in &CHATS {
            let [a, b] = chat.users;
            assert!(a < b && b < USERS.len());
            assert!(
                follows(a, b) && follows(b, a),
                "{} and {}",
                USERS[a].name,
                USERS[b].name
            );
            assert_in_order(chat.messages.iter().map(|message| message.minutes_ago), true);
            let senders: HashSet<_> = chat.messages.iter().map(|message| message.from).collect();
            assert_eq!(senders, HashSet::from(chat.users));
            for message in chat.messages {
                assert_text(message.content, 1..=500);
            }
        }
    }
}
