//! kill -9 in the middle of everything: whatever was acknowledged is there, and every count is exact.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::life_cycle::Ground;
use crate::harness::clip::{self, Multipart};
use crate::harness::{Kind, Params, Persona, at_once, eventually, on_both_stores};

on_both_stores!(everything_acknowledged_survives_a_kill);

/// What one thread was told is done, before the connection broke.
#[derive(Default)]
struct Acknowledged {
    comments: Vec<String>,
    messages: Vec<String>,
    titles: Vec<String>,
    liked: Option<bool>,
    followed: Option<bool>,
}

/// One call; `None` when the server is gone.
fn told(person: &Persona, path: &str, params: Params<'_>) -> Option<()> {
    let mut all = params.to_vec();
    all.push(("token", &person.token));
    let target = format!("{path}?{}", crate::harness::site::encoded(&all));
    let site = person.site();
    let reply = site.try_send(site.build("POST", &target, &[], Vec::new())).ok()?;
    reply.success();
    Some(())
}

fn publish(person: &Persona, title: &str) -> Option<()> {
    let body = Multipart::default()
        .field("token", &person.token)
        .field("title", title)
        .file(&clip::distinct());
    let site = person.site();
    let headers = [("content-type", &*Multipart::content_type())];
    let reply = site
        .try_send(site.build("POST", "/douyin/publish/action/", &headers, body.end()))
        .ok()?;
    reply.done();
    Some(())
}

/// Acts until the server is gone.
fn act(person: &Persona, star: &Persona, video: i64, acts: &AtomicUsize) -> Acknowledged {
    let mut done = Acknowledged::default();
    for number in 0.. {
        let text = format!("{} {number}", person.name);
        let on = number % 2 == 0;
        let action = if on { 1 } else { 2 };
        let all = (|| {
            told(
                person,
                "/douyin/comment/action/",
                &[("video_id", &video), ("action_type", &1), ("comment_text", &text)],
            )?;
            done.comments.push(text.clone());
            done.liked = None;
            told(
                person,
                "/douyin/favorite/action/",
                &[("video_id", &video), ("action_type", &action)],
            )?;
            done.liked = Some(on);
            done.followed = None;
            told(
                person,
                "/douyin/relation/action/",
                &[("to_user_id", &star.id), ("action_type", &action)],
            )?;
            done.followed = Some(on);
            let params: Params<'_> = &[("to_user_id", &star.id), ("action_type", &1), ("content", &text)];
            told(person, "/douyin/message/action/", params)?;
            done.messages.push(text.clone());
            publish(person, &text)?;
            done.titles.push(text.clone());
            Some(())
        })();
        if all.is_none() {
            break;
        }
        acts.fetch_add(1, Ordering::Relaxed);
    }
    done
}

fn everything_acknowledged_survives_a_kill(kind: Kind) {
    let ground = Ground::new(kind);
    let mut process = ground.serve();
    let star = process.site.register("star");
    let video = star.publishes("sea");
    let people: Vec<Persona> = (0..4)
        .map(|number| process.site.register(&format!("person{number}")))
        .collect();
    let acts = AtomicUsize::new(0);
    let mut results = at_once(5, |number| {
        if number == 4 {
            eventually("some work is done", Duration::from_mins(1), || {
                (acts.load(Ordering::Relaxed) >= 20).then_some(())
            });
            process.signal("KILL");
            return Acknowledged::default();
        }
        act(&people[number], &star, video.id, &acts)
    });
    results.pop();
    process.ended(Duration::from_secs(5));
    assert!(results.iter().map(|done| done.comments.len()).sum::<usize>() >= 20);

    let again = ground.serve();
    star.site().moved_to(again.site.address());
    let comments: Vec<String> = star
        .comments_of(&video)
        .into_iter()
        .map(|comment| comment.content)
        .collect();
    let followers: Vec<i64> = star.followers_of(star.id).iter().map(|user| user.id).collect();
    let mut likes = 0;
    for (person, done) in people.iter().zip(&results) {
        for text in &done.comments {
            assert!(comments.contains(text), "a lost comment: {text}");
        }
        let chat: Vec<String> = person
            .chat(&star, &0)
            .into_iter()
            .map(|message| message.content)
            .collect();
        for text in &done.messages {
            assert!(chat.contains(text), "a lost message: {text}");
        }
        let works = person.works_of(person.id);
        for title in &done.titles {
            let work = works.iter().find(|work| work.title == *title);
            let work = work.unwrap_or_else(|| panic!("a lost video: {title}"));
            assert_eq!(person.site().get(&work.play_url).status, 200, "its file as well");
        }
        assert_eq!(person.profile().work_count, i64::try_from(works.len()).unwrap());
        let favorites = person.favorites_of(person.id);
        let likes_it = favorites.iter().any(|favorite| favorite.id == video.id);
        likes += i64::from(likes_it);
        assert_eq!(person.profile().favorite_count, i64::from(likes_it));
        assert!(
            done.liked.is_none_or(|state| state == likes_it),
            "a lost like or unlike"
        );
        let followed = followers.contains(&person.id);
        assert!(
            done.followed.is_none_or(|state| state == followed),
            "a lost follow or unfollow"
        );
        assert_eq!(person.profile().follow_count, i64::from(followed));
    }
    let seen = star.works_of(star.id).remove(0);
    assert_eq!(seen.favorite_count, likes);
    assert_eq!(star.profile().total_favorited, likes);
    assert_eq!(seen.comment_count, i64::try_from(comments.len()).unwrap());
    assert_eq!(star.profile().follower_count, i64::try_from(followers.len()).unwrap());

    // Unfinished uploads and files without a row are swept.
    let listed: usize = people
        .iter()
        .map(|person| person.works_of(person.id).len())
        .sum::<usize>()
        + 1;
    let stored = walk(ground.folder.path())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "mp4"))
        .count();
    assert_eq!(stored, listed, "one file for each video, none without");
    star.publishes("and on it goes");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}
