//! Likes: idempotent, exact everywhere, also when everybody likes at once (contract 6.1, 6.2, 9).

use crate::harness::{Kind, Persona, Video, World, at_once, on_both_stores};

on_both_stores!(
    a_like_shows_everywhere_at_once,
    repeats_change_nothing,
    forty_toggles_of_one_person_end_in_one_exact_state,
    fifty_people_like_at_the_same_moment,
    the_list_is_the_owners_and_the_flags_are_the_viewers,
);

/// Every place that tells of a like agrees.
fn agree(fan: &Persona, author: &Persona, video: &Video, liked: bool) {
    let seen = fan.sees(video);
    let listed = fan.favorites_of(fan.id).iter().any(|listed| listed.id == video.id);
    let works = author.works_of(author.id);
    let work = works.iter().find(|work| work.id == video.id).unwrap();
    let counts = [
        seen.favorite_count,
        work.favorite_count,
        author.profile().total_favorited,
        fan.profile().favorite_count,
    ];
    assert_eq!((seen.is_favorite, listed), (liked, liked));
    assert_eq!(counts, [i64::from(liked); 4]);
}

fn a_like_shows_everywhere_at_once(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    agree(&ben, &ann, &video, false);
    ben.favorites(&video);
    agree(&ben, &ann, &video, true);
    ben.unfavorites(&video);
    agree(&ben, &ann, &video, false);
    ann.favorites(&video);
    agree(&ann, &ann, &video, true);
}

fn repeats_change_nothing(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    ben.unfavorites(&video);
    agree(&ben, &ann, &video, false);
    for _ in 0..3 {
        ben.favorites(&video);
        agree(&ben, &ann, &video, true);
    }
    for _ in 0..3 {
        ben.unfavorites(&video);
        agree(&ben, &ann, &video, false);
    }
}

fn forty_toggles_of_one_person_end_in_one_exact_state(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ann.publishes("sea");
    for _ in 0..3 {
        at_once(40, |number| {
            ben.favorite(video.id, 1 + i64::from(number % 2 == 1)).done();
        });
        let liked = ben.sees(&video).is_favorite;
        agree(&ben, &ann, &video, liked);
    }
    ben.unfavorites(&video);
    agree(&ben, &ann, &video, false);
}

fn fifty_people_like_at_the_same_moment(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let videos = [ann.publishes("sea"), ann.publishes("sky")];
    let fans: Vec<Persona> = (0..50).map(|number| world.register(&format!("fan{number}"))).collect();
    at_once(50, |number| {
        // In both orders, so that two rows are wanted crosswise.
        let order = if number % 2 == 0 { [0, 1] } else { [1, 0] };
        for at in order {
            fans[number].favorites(&videos[at]);
        }
    });
    for video in &videos {
        assert_eq!(world.guest().sees(video).favorite_count, 50);
    }
    assert_eq!(ann.profile().total_favorited, 100);
    at_once(50, |number| {
        if number % 5 == 0 {
            fans[number].unfavorites(&videos[0]);
        }
    });
    assert_eq!(world.guest().sees(&videos[0]).favorite_count, 40);
    assert_eq!(world.guest().sees(&videos[1]).favorite_count, 50);
    assert_eq!(ann.profile().total_favorited, 90);
    for (number, fan) in fans.iter().enumerate() {
        let expected = if number % 5 == 0 { 1 } else { 2 };
        assert_eq!(fan.profile().favorite_count, expected);
        assert_eq!(fan.favorites_of(fan.id).len(), usize::try_from(expected).unwrap());
    }
}

fn the_list_is_the_owners_and_the_flags_are_the_viewers(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben, cleo) = (world.register("ann"), world.register("ben"), world.register("cleo"));
    let (sea, sky) = (ann.publishes("sea"), ann.publishes("sky"));
    ben.favorites(&sky);
    ben.favorites(&sea);
    cleo.favorites(&sky);
    cleo.follows(&ann);

    let of_ben = cleo.favorites_of(ben.id);
    let shown: Vec<(i64, bool, bool)> = of_ben
        .iter()
        .map(|video| (video.id, video.is_favorite, video.author.is_follow))
        .collect();
    assert_eq!(
        shown,
        [(sea.id, false, true), (sky.id, true, true)],
        "latest like first, the viewer's flags"
    );
    let of_ben = world.guest().favorites_of(ben.id);
    assert!(of_ben.len() == 2 && of_ben.iter().all(|video| !video.is_favorite && !video.author.is_follow));
    let own = ben.get("/douyin/favorite/list/", &[("user_id", &0)]).success();
    assert_eq!(
        own["video_list"].as_array().unwrap().len(),
        2,
        "without a user_id: one's own"
    );

    for kind in 0..=3 {
        if kind != 1 && kind != 2 {
            ben.favorite(sea.id, kind).refused();
        }
    }
    ben.favorite(99, 1).refused();
    world.guest().favorite(sea.id, 2).refused();
    assert_eq!(ben.sees(&sea).favorite_count, 1);
}
