//! What a request costs the database: a fixed number of statements, whatever the length of the answer.

use crate::harness::clip::CLIP;
use crate::harness::{Kind, Persona, Reply, World, on_both_stores};

on_both_stores!(
    a_feed_page_costs_the_same_for_3_and_30_videos,
    lists_cost_the_same_for_3_and_20_entries,
    an_endpoint_is_a_handful_of_statements,
    what_is_hot_costs_nothing,
);

fn crowd(world: &World, count: usize) -> Vec<Persona> {
    (0..count)
        .map(|number| world.register(&format!("person{number}")))
        .collect()
}

fn a_feed_page_costs_the_same_for_3_and_30_videos(kind: Kind) {
    let world = World::new(kind);
    let people = crowd(&world, 10);
    let viewer = &people[0];
    let costs = || {
        world.server().rows().clear();
        let (as_guest, videos) = world.statements_of(|| world.feed());
        world.server().rows().clear();
        let (as_viewer, _) = world.statements_of(|| viewer.feed());
        (videos.len(), as_guest, as_viewer)
    };
    for person in &people[..3] {
        person.uploads("clip", CLIP).done();
    }
    let few = costs();
    for number in 3..30 {
        people[number % 10].uploads("clip", CLIP).done();
    }
    for video in viewer.feed() {
        viewer.favorites(&video);
    }
    for person in &people[1..] {
        viewer.follows(person);
    }
    let many = costs();
    assert_eq!((few.0, many.0), (3, 30));
    for (_, as_guest, as_viewer) in [few, many] {
        assert_eq!(
            as_guest, 2,
            "a guest's cold page: the places, the videos with their authors"
        );
        assert!(
            (5..=6).contains(&as_viewer),
            "a viewer's: also follows, favorites, the mark, and the token now and then; {as_viewer}"
        );
    }
}

fn what_is_hot_costs_nothing(kind: Kind) {
    let world = World::new(kind);
    let people = crowd(&world, 10);
    for number in 0..60 {
        people[number % 10].uploads("clip", CLIP).done();
    }
    let (viewer, other) = (&people[0], &people[1]);
    viewer.follows(other);
    let look = || {
        let first = viewer.page(&"");
        viewer.favorites(&first.videos[3]);
        viewer.page(&first.next_time);
        viewer.profile_of(other.id);
        viewer.profile();
    };
    look();
    let cost = (0..5).map(|_| world.statements_of(look).0).min().unwrap();
    assert_eq!(
        cost, 0,
        "also with a like in between; the token is looked at once a second"
    );
    world.guest().page(&"");
    assert_eq!(world.statements_of(|| world.guest().page(&"")).0, 0);
    let (video, guest) = (viewer.feed()[0].id, world.guest());
    let refusals: [&dyn Fn() -> Reply; 3] = [&|| guest.uncomment(video, 1), &|| guest.comment(video, "nice"), &|| {
        guest.relate(other.id, 1)
    }];
    for refusal in refusals {
        refusal().refused();
        let cost = world.statements_of(|| world.feed()).0;
        assert_eq!(cost, 0, "who has no token takes nothing out of memory");
    }

    other.comments(&viewer.feed()[0], "nice");
    let (cost, _) = world.statements_of(|| world.feed());
    assert_eq!(cost, 1, "the row that has changed");
}

fn lists_cost_the_same_for_3_and_20_entries(kind: Kind) {
    // No flush of its likes among what is counted.
    let world = World::with(kind, |config| config.flush_interval = std::time::Duration::from_mins(1));
    let people = crowd(&world, 21);
    let (ann, others) = people.split_first().unwrap();
    let video = ann.publishes("sea");
    let grow = |range: std::ops::Range<usize>| {
        for other in &others[range] {
            other.comments(&video, "nice");
            other.follows(ann);
            ann.follows(other);
            other.tells(ann, "hello");
            other.uploads("clip", CLIP).done();
            let theirs = &other.works_of(other.id)[0];
            ann.favorites(theirs);
        }
    };
    let costs = || -> Vec<(usize, u64)> {
        let measure = |work: &dyn Fn() -> usize| {
            let (cost, length) = world.statements_of(work);
            (length, cost)
        };
        vec![
            measure(&|| ann.comments_of(&video).len()),
            measure(&|| ann.followers_of(ann.id).len()),
            measure(&|| ann.following_of(ann.id).len()),
            measure(&|| ann.friends().len()),
            measure(&|| ann.favorites_of(ann.id).len()),
            measure(&|| others[0].favorites_of(ann.id).len()),
        ]
    };
    grow(0..3);
    let few = costs();
    grow(3..20);
    let many = costs();
    assert!(few.iter().all(|(length, _)| *length == 3) && many.iter().all(|(length, _)| *length == 20));
    let cost = |measured: &[(usize, u64)]| measured.iter().map(|(_, cost)| *cost).collect::<Vec<_>>();
    assert_eq!(cost(&few), cost(&many));
}

fn an_endpoint_is_a_handful_of_statements(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    ben.publishes("sea");
    let (cost, _) = world.statements_of(|| ann.profile_of(ben.id));
    assert!((1..=3).contains(&cost), "a profile: {cost}");
    let (cost, _) = world.statements_of(|| ann.chat(&ben, &0));
    assert!((1..=4).contains(&cost), "a chat: {cost}");
}
