//! Compares what the clients recorded with what a server shows. Pure: it talks to nobody.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Fact, Record};
use crate::seen::{Seen, SeenComment, SeenUser};

/// Every disagreement, in words; none when nothing was lost and nothing counted twice.
pub fn violations(records: &[Record], seen: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    for record in records {
        let Some(user) = seen.users.get(&record.user) else {
            found.push(format!("user {} is gone", record.user));
            continue;
        };
        let name = record.user;
        check_set(&mut found, &format!("likes of {name}"), &record.likes, &user.favorites);
        check_set(
            &mut found,
            &format!("follows of {name}"),
            &record.follows,
            &user.following,
        );
        check_messages(&mut found, record, seen);
        let refusals = record.refusals.iter();
        found.extend(refusals.map(|refusal| format!("user {name} was refused for good: {refusal}")));
    }
    check_comments(&mut found, records, seen);
    check_counts(&mut found, seen);
    found
}

/// From now on, what was seen is certain: it was shown to somebody.
pub fn settle(records: &mut [Record], seen: &Seen) {
    for record in records {
        let user = &seen.users[&record.user];
        record.refusals.clear();
        for (video, fact) in &mut record.likes {
            *fact = Fact::known(user.favorites.contains(video));
        }
        for (other, fact) in &mut record.follows {
            *fact = Fact::known(user.following.contains(other));
        }
        record.comments.retain_mut(|sent| {
            let comments = &seen.videos[&sent.video].comments;
            let found = comments.iter().find(|comment| comment.text == sent.text);
            sent.id = found.map(|comment| comment.id);
            sent.there = Fact::known(found.is_some());
            found.is_some()
        });
        record.messages.retain_mut(|sent| {
            let there = seen.messages.get(&(record.user, sent.to));
            let there = there.is_some_and(|texts| texts.contains(&sent.text));
            sent.there = Fact::known(there);
            there
        });
    }
}

fn check_set(found: &mut Vec<String>, what: &str, facts: &BTreeMap<i64, Fact>, shown: &[i64]) {
    let distinct: BTreeSet<i64> = shown.iter().copied().collect();
    if distinct.len() != shown.len() {
        found.push(format!("{what}: something is listed twice in {shown:?}"));
    }
    for (target, fact) in facts {
        let there = distinct.contains(target);
        if !fact.allows(there) {
            let (wanted, got) = if there { ("off", "on") } else { ("on", "off") };
            found.push(format!("{what}: {target} was acknowledged {wanted} and is {got}"));
        }
    }
    for target in distinct.iter().filter(|target| !facts.contains_key(target)) {
        found.push(format!("{what}: nobody ever asked for {target}"));
    }
}

fn check_messages(found: &mut Vec<String>, record: &Record, seen: &Seen) {
    let mut sent: BTreeMap<i64, Vec<(&str, Fact)>> = BTreeMap::new();
    for message in &record.messages {
        sent.entry(message.to).or_default().push((&message.text, message.there));
    }
    let ways = seen.messages.iter().filter(|((from, _), _)| *from == record.user);
    for ((_, to), texts) in ways {
        let known = sent.get(to).map(Vec::as_slice).unwrap_or_default();
        for text in texts.iter().filter(|text| known.iter().all(|(sent, _)| sent != *text)) {
            found.push(format!("message {text:?} to {to}: it should not be there"));
        }
    }
    for (to, messages) in sent {
        let what = format!("messages from {} to {to}", record.user);
        let nothing = Vec::new();
        let texts = seen.messages.get(&(record.user, to)).unwrap_or(&nothing);
        let mut last = None;
        for (text, fact) in messages {
            let places: Vec<usize> = (0..texts.len()).filter(|place| texts[*place] == text).collect();
            if places.len() > 1 {
                found.push(format!("{what}: {text:?} is there {} times", places.len()));
            }
            if !fact.allows(!places.is_empty()) {
                found.push(format!("{what}: {text:?} was acknowledged and is lost"));
            }
            let place = places.first().copied();
            if place.is_some() && place < last {
                found.push(format!("{what}: {text:?} is out of order"));
            }
            last = place.or(last);
        }
    }
}

fn check_comments(found: &mut Vec<String>, records: &[Record], seen: &Seen) {
    let mut shown: BTreeMap<(i64, i64, &str), Vec<&SeenComment>> = BTreeMap::new();
    for (video, content) in &seen.videos {
        for comment in &content.comments {
            let key = (comment.user, *video, comment.text.as_str());
            shown.entry(key).or_default().push(comment);
        }
    }
    for record in records {
        for sent in &record.comments {
            let what = format!("comment {:?} on video {}", sent.text, sent.video);
            let there = shown
                .remove(&(record.user, sent.video, sent.text.as_str()))
                .unwrap_or_default();
            if there.len() > 1 {
                found.push(format!("{what}: it is there {} times", there.len()));
            }
            if !sent.there.allows(!there.is_empty()) {
                found.push(format!("{what}: it was acknowledged and is lost"));
            }
            if let (Some(id), Some(comment)) = (sent.id, there.first())
                && comment.id != id
            {
                found.push(format!("{what}: its id was {id} and is {}", comment.id));
            }
        }
    }
    for (_, video, text) in shown.keys() {
        found.push(format!("comment {text:?} on video {video}: it should not be there"));
    }
}

fn check_counts(found: &mut Vec<String>, seen: &Seen) {
    let mut check = |what: String, count: i64, listed: usize| {
        if usize::try_from(count) != Ok(listed) {
            found.push(format!("{what} is {count}, and the lists say {listed}"));
        }
    };
    let listing = |list: fn(&SeenUser) -> &[i64], id: i64| {
        let users = seen.users.values();
        users.filter(|user| list(user).contains(&id)).count()
    };
    for (id, video) in &seen.videos {
        let likers = listing(|user| &user.favorites, *id);
        check(format!("favorite_count of video {id}"), video.favorite_count, likers);
        let marks = seen.users.values().filter(|user| user.marked.contains(id)).count();
        check(
            format!("favorite_count of video {id} against is_favorite"),
            video.favorite_count,
            marks,
        );
        check(
            format!("comment_count of video {id}"),
            video.comment_count,
            video.comments.len(),
        );
    }
    for (id, user) in &seen.users {
        check(
            format!("favorite_count of user {id}"),
            user.favorite_count,
            user.favorites.len(),
        );
        check(
            format!("follow_count of user {id}"),
            user.follow_count,
            user.following.len(),
        );
        check(
            format!("follower_count of user {id}"),
            user.follower_count,
            user.followers.len(),
        );
        let followers = listing(|user| &user.following, *id);
        check(
            format!("follower_count of user {id} against follow lists"),
            user.follower_count,
            followers,
        );
        let works = seen.videos.iter().filter(|(_, video)| video.author == *id);
        let likes = works.map(|(work, _)| listing(|user| &user.favorites, *work)).sum();
        check(format!("total_favorited of user {id}"), user.total_favorited, likes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SentComment, SentMessage};
    use crate::seen::SeenVideo;

    /// User 1 likes and commented video 9 of user 2, follows user 2 and wrote to them twice.
    fn agreeing() -> (Record, Seen) {
        let mut record = Record::of(1, None);
        record.likes.insert(9, Fact::known(true));
        record.follows.insert(2, Fact::known(true));
        record.comments.push(SentComment {
            video: 9,
            text: "nice".to_owned(),
            id: Some(5),
            there: Fact::known(true),
        });
        for text in ["first", "second"] {
            record.messages.push(SentMessage {
                to: 2,
                text: text.to_owned(),
                there: Fact::known(true),
            });
        }
        let mut seen = Seen::default();
        let liker = SeenUser {
            favorite_count: 1,
            follow_count: 1,
            favorites: vec![9],
            marked: [9].into(),
            following: vec![2],
            ..SeenUser::default()
        };
        let author = SeenUser {
            total_favorited: 1,
            follower_count: 1,
            followers: vec![1],
            ..SeenUser::default()
        };
        seen.users = [(1, liker), (2, author)].into();
        let comment = SeenComment {
            id: 5,
            user: 1,
            text: "nice".to_owned(),
        };
        let video = SeenVideo {
            author: 2,
            favorite_count: 1,
            comment_count: 1,
            comments: vec![comment],
        };
        seen.videos.insert(9, video);
        seen.messages
            .insert((1, 2), vec!["first".to_owned(), "second".to_owned()]);
        (record, seen)
    }

    fn found(change: impl FnOnce(&mut Record, &mut Seen)) -> Vec<String> {
        let (mut record, mut seen) = agreeing();
        change(&mut record, &mut seen);
        violations(&[record], &seen)
    }

    /// The change is found, and said in these words.
    fn assert_found(words: &str, change: impl FnOnce(&mut Record, &mut Seen)) {
        let found = found(change);
        assert!(
            found.iter().any(|violation| violation.contains(words)),
            "{words:?} is not among {found:#?}"
        );
    }

    fn video(seen: &mut Seen) -> &mut SeenVideo {
        seen.videos.get_mut(&9).unwrap()
    }

    fn user(seen: &mut Seen, id: i64) -> &mut SeenUser {
        seen.users.get_mut(&id).unwrap()
    }

    fn unlike(seen: &mut Seen) {
        video(seen).favorite_count = 0;
        user(seen, 2).total_favorited = 0;
        *user(seen, 1) = SeenUser {
            follow_count: 1,
            following: vec![2],
            ..SeenUser::default()
        };
    }

    #[test]
    fn agreement_is_silent() {
        assert_eq!(found(|_, _| {}), Vec::<String>::new());
    }

    #[test]
    fn what_was_lost_is_found() {
        assert_found("9 was acknowledged on and is off", |_, seen| unlike(seen));
        assert_found("9 was acknowledged off and is on", |record, _| {
            record.likes.insert(9, Fact::known(false));
        });
        assert_found("2 was acknowledged on and is off", |_, seen| {
            user(seen, 1).following.clear();
        });
        assert_found("\"nice\" on video 9: it was acknowledged and is lost", |_, seen| {
            video(seen).comments.clear();
        });
        assert_found("\"second\" was acknowledged and is lost", |_, seen| {
            seen.messages.get_mut(&(1, 2)).unwrap().pop();
        });
        assert_found("user 1 is gone", |_, seen| {
            seen.users.remove(&1);
        });
    }

    #[test]
    fn what_was_doubled_is_found() {
        assert_found("favorite_count of video 9 is 2", |_, seen| {
            video(seen).favorite_count = 2;
        });
        assert_found("total_favorited of user 2 is 2", |_, seen| {
            user(seen, 2).total_favorited = 2;
        });
        assert_found("favorite_count of user 1 is 2", |_, seen| {
            user(seen, 1).favorite_count = 2;
        });
        assert_found("listed twice", |_, seen| user(seen, 1).favorites.push(9));
        assert_found("follow_count of user 1 is 2", |_, seen| {
            user(seen, 1).follow_count = 2;
        });
        assert_found("follower_count of user 2 is 2", |_, seen| {
            user(seen, 2).follower_count = 2;
        });
        assert_found("comment_count of video 9 is 2", |_, seen| {
            video(seen).comment_count = 2;
        });
        assert_found("\"nice\" on video 9: it is there 2 times", |_, seen| {
            let again = video(seen).comments[0].clone();
            video(seen).comments.push(again);
        });
        assert_found("\"first\" is there 2 times", |_, seen| {
            seen.messages.get_mut(&(1, 2)).unwrap().push("first".to_owned());
        });
    }

    #[test]
    fn what_nobody_asked_for_is_found() {
        assert_found("nobody ever asked for 9", |record, _| record.likes.clear());
        assert_found("nobody ever asked for 2", |record, _| record.follows.clear());
        assert_found("\"nice\" on video 9: it should not be there", |record, _| {
            record.comments.clear();
        });
        assert_found("\"first\" to 2: it should not be there", |record, _| {
            record.messages.remove(0);
        });
        assert_found("out of order", |_, seen| {
            seen.messages.get_mut(&(1, 2)).unwrap().reverse();
        });
        assert_found("refused for good", |record, _| {
            record.refusals.push("token is invalid".to_owned());
        });
    }

    #[test]
    fn what_was_in_flight_may_be_either_once() {
        let asked = |record: &mut Record| record.likes.get_mut(&9).unwrap().asked(false);
        let none = Vec::<String>::new();
        assert_eq!(found(|record, _| asked(record)), none);
        let undone = |record: &mut Record, seen: &mut Seen| {
            asked(record);
            unlike(seen);
        };
        assert_eq!(found(undone), none);

        // Once it was shown, it is certain.
        let (mut record, mut seen) = agreeing();
        undone(&mut record, &mut seen);
        let mut records = [record];
        settle(&mut records, &seen);
        assert_eq!(violations(&records, &seen), none);
        let (_, liked) = agreeing();
        assert_ne!(violations(&records, &liked), none);
    }
}
