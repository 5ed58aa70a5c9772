//! Worlds that a command filled: the demo, and a seeded one. Both must look as if people had made them by hand.

use std::time::Duration;

use super::life_cycle::Ground;
use crate::harness::process::{self, Process};
use crate::harness::{Kind, Persona, Site, User, eventually, on_both_stores};

on_both_stores!(
    the_demo_world_is_whole_and_its_people_can_log_in,
    a_seeded_world_is_exact_and_the_same_every_time,
);

/// Every count a visitor sees is the length of the list it stands for.
fn is_exact(viewer: &Persona, user: &User) {
    let works = viewer.works_of(user.id);
    let lists = [
        works.len(),
        viewer.favorites_of(user.id).len(),
        viewer.following_of(user.id).len(),
        viewer.followers_of(user.id).len(),
    ];
    let counts = [
        user.work_count,
        user.favorite_count,
        user.follow_count,
        user.follower_count,
    ];
    assert_eq!(counts, lists.map(|length| i64::try_from(length).unwrap()), "{user:?}");
    let received: i64 = works.iter().map(|work| work.favorite_count).sum();
    assert_eq!(user.total_favorited, received, "{user:?}");
    for work in works {
        let comments = viewer.comments_of(&work).len();
        assert_eq!(work.comment_count, i64::try_from(comments).unwrap());
    }
}

/// Everybody with an id from 1 up.
fn everybody(site: &Site) -> Vec<User> {
    let guest = site.guest();
    let profiles = (1..).map_while(|id| {
        let reply = guest.get("/douyin/user/", &[("user_id", &id)]);
        reply.text().contains("\"status_code\":0").then(|| guest.profile_of(id))
    });
    profiles.collect()
}

fn the_demo_world_is_whole_and_its_people_can_log_in(kind: Kind) {
    let ground = Ground::new(kind);
    let demo = Process::serve_with(ground.folder.path(), ground.url(), &["--demo"]);
    let password = eventually("the password is printed", Duration::from_secs(10), || {
        let log = demo.log();
        let rest = log.split("password  ").nth(1)?;
        Some(rest.split_whitespace().next()?.to_owned())
    });
    let people = everybody(&demo.site);
    assert!(people.len() >= 12, "a dozen users: {}", people.len());
    let feed = demo.site.feed();
    assert!(feed.len() >= 6, "at least six clips: {}", feed.len());
    for video in &feed {
        let clip = demo.site.get(&video.play_url);
        assert!(clip.status == 200 && clip.body.len() < 300_000 && clip.body[4..8] == *b"ftyp");
        let cover = demo.site.get(&video.cover_url);
        assert_eq!((cover.status, cover.header("content-type")), (200, Some("image/jpeg")));
    }
    let mut talks = 0;
    for user in &people {
        let login = demo.site.call(
            "POST",
            "/douyin/user/login/",
            &[("username", &user.name), ("password", &password)],
        );
        let person = Persona::welcomed(&demo.site, &user.name, &login);
        is_exact(&person, user);
        talks += person
            .friends()
            .iter()
            .filter(|friend| !friend.message.is_empty())
            .count();
    }
    assert!(talks >= 2, "a few chats");
    assert!(
        feed.iter()
            .any(|video| video.comment_count > 0 && video.favorite_count > 0)
    );
    let before: Vec<i64> = feed.iter().map(|video| video.id).collect();
    drop(demo);
    let again = Process::serve_with(ground.folder.path(), ground.url(), &["--demo"]);
    let after: Vec<i64> = again.site.feed().iter().map(|video| video.id).collect();
    assert_eq!(before, after, "only an empty store is filled");
}

fn a_seeded_world_is_exact_and_the_same_every_time(kind: Kind) {
    let looks = [0, 1].map(|_| {
        let ground = Ground::new(kind);
        let seed = [
            "seed", "--users", "60", "--videos", "40", "--likes", "400", "--seed", "7",
        ];
        let output = process::run(&ground.arguments(&seed));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let process = ground.serve();
        let people = everybody(&process.site);
        assert_eq!(people.len(), 60);
        assert_eq!(people.iter().map(|user| user.work_count).sum::<i64>(), 40);
        assert_eq!(people.iter().map(|user| user.favorite_count).sum::<i64>(), 400);
        let guest = process.site.guest();
        for user in people.iter().step_by(3) {
            is_exact(&guest, user);
        }
        let (mut scrolled, mut cursor) = (Vec::new(), String::new());
        for _ in 0..3 {
            let page = guest.page(&cursor);
            scrolled.extend(
                page.videos
                    .iter()
                    .map(|video| (video.id, video.author.id, video.favorite_count)),
            );
            cursor = page.next_time.to_string();
            if page.videos.is_empty() {
                break;
            }
        }
        assert_eq!(
            scrolled.len(),
            40,
            "all of it can be scrolled through, without a repetition"
        );
        // A new user goes on where the seed ended.
        assert_eq!(process.site.register("ann").id, 61);
        let names: Vec<String> = people.into_iter().map(|user| user.name).collect();
        (scrolled, names)
    });
    assert_eq!(looks[0], looks[1], "one seed, one world");
}
