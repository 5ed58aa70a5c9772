//! Everybody does everything at once: every wish is granted, nobody deadlocks, and every count is exact afterwards.

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::harness::clip::CLIP;
use crate::harness::{Kind, Persona, World, at_once, on_both_stores};

on_both_stores!(all_actions_at_once_are_granted_and_counted_exactly);

const PEOPLE: usize = 5;
const THREADS: usize = 15;
const ACTS: usize = 25;

fn all_actions_at_once_are_granted_and_counted_exactly(kind: Kind) {
    let world = World::new(kind);
    let people: Vec<Persona> = (0..PEOPLE)
        .map(|number| world.register(&format!("person{number}")))
        .collect();
    let videos: Vec<i64> = people.iter().map(|person| person.publishes("first").id).collect();
    at_once(THREADS, |thread| {
        let mut random = StdRng::seed_from_u64(thread as u64);
        let me = &people[thread % PEOPLE];
        let mut own_comments = Vec::new();
        for act in 0..ACTS {
            let video = videos[random.random_range(0..PEOPLE)];
            let other = &people[(thread + random.random_range(1..PEOPLE)) % PEOPLE];
            let on_or_off = random.random_range(1..=2);
            match random.random_range(0..8) {
                0 => me.uploads(&format!("{thread}/{act}"), CLIP).done(),
                1 | 2 => me.favorite(video, on_or_off).done(),
                3 | 4 => me.relate(other.id, on_or_off).done(),
                5 => me.tells(other, &format!("{thread}/{act}")),
                6 => {
                    let comment = me.comment(video, &format!("{thread}/{act}")).success();
                    own_comments.push((video, comment["comment"]["id"].as_i64().unwrap()));
                }
                _ => {
                    if let Some((video, comment)) = own_comments.pop() {
                        me.uncomment(video, comment).success();
                    }
                }
            }
        }
    });

    for person in &people {
        let profile = person.profile();
        let works = person.works_of(person.id);
        let received: i64 = works.iter().map(|work| work.favorite_count).sum();
        let lists = [
            works.len(),
            person.favorites_of(person.id).len(),
            person.following_of(person.id).len(),
            person.followers_of(person.id).len(),
        ];
        let counts = [
            profile.work_count,
            profile.favorite_count,
            profile.follow_count,
            profile.follower_count,
        ];
        assert_eq!(counts, lists.map(|length| i64::try_from(length).unwrap()));
        assert_eq!(profile.total_favorited, received);
        for work in works {
            let comments = person.comments_of(&work).len();
            assert_eq!(work.comment_count, i64::try_from(comments).unwrap());
            let fans = people
                .iter()
                .filter(|fan| fan.favorites_of(fan.id).iter().any(|liked| liked.id == work.id))
                .count();
            assert_eq!(work.favorite_count, i64::try_from(fans).unwrap());
        }
    }
}
