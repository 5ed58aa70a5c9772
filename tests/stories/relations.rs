//! Follows and friends (contract 7.1–7.3).

use crate::harness::{Kind, Persona, User, World, at_once, on_both_stores};

on_both_stores!(
    a_follow_shows_on_both_sides_at_once,
    repeats_selves_and_strangers,
    lists_carry_the_viewers_flags,
    crossing_follows_neither_deadlock_nor_lose_a_side,
    many_followers_at_once_are_counted_exactly,
    friends_are_mutual_and_show_the_last_message,
);

fn ids(users: &[User]) -> Vec<i64> {
    users.iter().map(|user| user.id).collect()
}

/// The counts of a person are the lengths of the lists.
fn counts(person: &Persona) -> (usize, usize) {
    let profile = person.profile();
    let lists = (
        person.following_of(person.id).len(),
        person.followers_of(person.id).len(),
    );
    let counts = (profile.follow_count, profile.follower_count);
    assert_eq!(
        counts,
        (i64::try_from(lists.0).unwrap(), i64::try_from(lists.1).unwrap())
    );
    lists
}

fn a_follow_shows_on_both_sides_at_once(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.follows(&ben);
    assert_eq!(ids(&ann.following_of(ann.id)), [ben.id]);
    assert_eq!(ids(&ben.followers_of(ben.id)), [ann.id]);
    assert_eq!((counts(&ann), counts(&ben)), ((1, 0), (0, 1)));
    assert!(ann.profile_of(ben.id).is_follow && !ben.profile_of(ann.id).is_follow);
    ann.unfollows(&ben);
    assert_eq!((counts(&ann), counts(&ben)), ((0, 0), (0, 0)));
    assert!(!ann.profile_of(ben.id).is_follow);
}

fn repeats_selves_and_strangers(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ann.unfollows(&ben);
    for _ in 0..3 {
        ann.follows(&ben);
        assert_eq!((counts(&ann), counts(&ben)), ((1, 0), (0, 1)));
    }
    for action in [1, 2] {
        ann.relate(ann.id, action).refused();
        ann.relate(99, action).refused();
        world.guest().relate(ben.id, action).refused();
    }
    for action in [0, 3, -1, 4_294_967_297] {
        ann.relate(ben.id, action).refused();
    }
    assert_eq!((counts(&ann), counts(&ben)), ((1, 0), (0, 1)));
    for _ in 0..3 {
        ann.unfollows(&ben);
        assert_eq!((counts(&ann), counts(&ben)), ((0, 0), (0, 0)));
    }
}

fn lists_carry_the_viewers_flags(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben, cleo) = (world.register("ann"), world.register("ben"), world.register("cleo"));
    ann.follows(&ben);
    ann.follows(&cleo);
    ben.follows(&cleo);
    let flags = |viewer: &Persona, of: &Persona| -> Vec<(i64, bool)> {
        let users = viewer.following_of(of.id);
        users.iter().map(|user| (user.id, user.is_follow)).collect()
    };
    assert_eq!(
        flags(&ann, &ann),
        [(cleo.id, true), (ben.id, true)],
        "newest first; in one's own list all"
    );
    assert_eq!(
        flags(&ben, &ann),
        [(cleo.id, true), (ben.id, false)],
        "the viewer's, and not oneself"
    );
    assert_eq!(flags(&world.guest(), &ann), [(cleo.id, false), (ben.id, false)]);
    let back: Vec<(i64, bool)> = cleo
        .followers_of(cleo.id)
        .iter()
        .map(|user| (user.id, user.is_follow))
        .collect();
    assert_eq!(back, [(ben.id, false), (ann.id, false)], "only those followed back");
    assert_eq!(
        ann.followers_of(cleo.id)[0],
        ann.profile_of(ben.id),
        "complete and live"
    );
}

fn crossing_follows_neither_deadlock_nor_lose_a_side(kind: Kind) {
    let world = World::new(kind);
    let people = [world.register("ann"), world.register("ben")];
    at_once(4, |thread| {
        let (one, other) = (&people[thread % 2], &people[1 - thread % 2]);
        for _ in 0..15 {
            one.follows(other);
            one.unfollows(other);
        }
        one.follows(other);
    });
    // Both threads of a person end with a follow, but the slower one may still have undone the faster one's last.
    people[0].follows(&people[1]);
    people[1].follows(&people[0]);
    assert_eq!((counts(&people[0]), counts(&people[1])), ((1, 1), (1, 1)));
    people[0].unfollows(&people[1]);
    assert_eq!((counts(&people[0]), counts(&people[1])), ((0, 1), (1, 0)));
}

fn many_followers_at_once_are_counted_exactly(kind: Kind) {
    let world = World::new(kind);
    let people: Vec<Persona> = (0..12)
        .map(|number| world.register(&format!("person{number}")))
        .collect();
    at_once(12, |number| {
        for step in 1..12 {
            people[number].follows(&people[(number + step) % 12]);
        }
    });
    for person in &people {
        assert_eq!(counts(person), (11, 11));
        assert_eq!(person.friends().len(), 11);
    }
}

fn friends_are_mutual_and_show_the_last_message(kind: Kind) {
    let world = World::new(kind);
    let [ann, ben, cleo, dan] = ["ann", "ben", "cleo", "dan"].map(|name| world.register(name));
    for friend in [&ben, &cleo] {
        ann.follows(friend);
        friend.follows(&ann);
    }
    ann.follows(&dan);
    dan.tells(&ann, "not a friend");
    let shown = |person: &Persona| -> Vec<(i64, String, i64)> {
        let friends = person.friends();
        friends
            .into_iter()
            .map(|friend| (friend.user.id, friend.message, friend.msg_type))
            .collect()
    };
    let mut fresh = shown(&ann);
    fresh.sort();
    assert_eq!(fresh, [(ben.id, String::new(), 0), (cleo.id, String::new(), 0)]);

    ben.tells(&ann, "hi ann");
    assert_eq!(
        shown(&ann)[0],
        (ben.id, "hi ann".into(), 0),
        "received; the latest talk first"
    );
    assert_eq!(shown(&ben), [(ann.id, "hi ann".into(), 1)], "sent");
    ann.tells(&cleo, "hi cleo");
    assert_eq!(
        shown(&ann),
        [(cleo.id, "hi cleo".into(), 1), (ben.id, "hi ann".into(), 0)]
    );
    assert_eq!(shown(&cleo), [(ann.id, "hi cleo".into(), 0)]);
    assert!(ann.friends().iter().all(|friend| friend.user.is_follow));

    ben.unfollows(&ann);
    assert_eq!(shown(&ann), [(cleo.id, "hi cleo".into(), 1)]);
    assert_eq!(shown(&ben), []);
    world
        .guest()
        .get("/douyin/relation/friend/list/", &[("user_id", &ann.id)])
        .refused();
}
