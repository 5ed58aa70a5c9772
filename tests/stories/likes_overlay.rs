//! Likes that are acknowledged and not in the database yet: everybody sees them at once, everywhere, and nobody can tell
//! when they get there (contract 6.1, 6.2, 9).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ovation_schema::{UserId, VideoId};

use crate::harness::crowd::{self, Wish};
use crate::harness::{Kind, Persona, Video, World, at_once, on_both_stores};

on_both_stores!(
    an_unflushed_like_shows_everywhere_to_everybody,
    the_list_is_in_order_while_part_of_it_waits,
    long_lists_are_whole_while_hundreds_wait,
    nobody_ever_sees_a_count_go_down_in_a_storm_of_likes,
);

/// A world that flushes only when it is told to.
fn patient(kind: Kind) -> World {
    World::with(kind, |config| config.flush_interval = Duration::from_mins(1))
}

struct Scene {
    world: World,
    /// The author.
    ann: Persona,
    /// The liker; a friend of ann's who has commented.
    ben: Persona,
    /// A bystander.
    cleo: Persona,
    video: Video,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let world = patient(kind);
        let (ann, ben, cleo) = (world.register("ann"), world.register("ben"), world.register("cleo"));
        let video = ann.publishes("sea");
        ben.comments(&video, "nice");
        ann.follows(&ben);
        ben.follows(&ann);
        Self {
            world,
            ann,
            ben,
            cleo,
            video,
        }
    }

    /// What everybody sees everywhere, whether it is stored or not.
    fn shows(&self, liked: bool) {
        let count = i64::from(liked);
        let guest = self.world.guest();
        for viewer in [&guest, &self.ann, &self.ben, &self.cleo] {
            let own = liked && viewer.id == self.ben.id;
            let works = viewer.works_of(self.ann.id);
            for seen in [&viewer.sees(&self.video), &works[0]] {
                assert_eq!((seen.favorite_count, seen.is_favorite), (count, own), "{}", viewer.name);
                assert_eq!((seen.author.total_favorited, seen.author.favorite_count), (count, 0));
            }
            let favorites = viewer.favorites_of(self.ben.id);
            assert_eq!(favorites.len(), usize::from(liked));
            for seen in favorites {
                assert_eq!(
                    (seen.id, seen.favorite_count, seen.is_favorite),
                    (self.video.id, 1, own)
                );
                assert_eq!(seen.author.total_favorited, 1);
            }
            assert_eq!(viewer.profile_of(self.ann.id).total_favorited, count);
            assert_eq!(viewer.profile_of(self.ben.id).favorite_count, count);
            let comments = viewer.comments_of(&self.video);
            assert_eq!(comments[0].user.favorite_count, count, "in a comment");
            assert_eq!(viewer.followers_of(self.ann.id)[0].favorite_count, count);
            assert_eq!(viewer.following_of(self.ben.id)[0].total_favorited, count);
        }
        assert_eq!(self.ann.friends()[0].user.favorite_count, count);
        assert_eq!(self.ben.friends()[0].user.total_favorited, count);
    }

    /// What the row of the video says.
    fn stored(&self) -> i64 {
        let query = "SELECT id AS a, favorite_count AS b FROM videos";
        crowd::numbers(&mut self.world.connection(), query)[0].1
    }
}

fn an_unflushed_like_shows_everywhere_to_everybody(kind: Kind) {
    let scene = Scene::new(kind);
    let Scene { world, ben, video, .. } = &scene;
    scene.shows(false);
    for liked in [true, false, true] {
        ben.favorite(video.id, if liked { 1 } else { 2 }).done();
        scene.shows(liked);
    }
    assert_eq!(scene.stored(), 0, "all of this was memory and ledger");
    world.flush();
    assert_eq!(scene.stored(), 1);
    scene.shows(true);
    for liked in [false, true, false] {
        ben.favorite(video.id, if liked { 1 } else { 2 }).done();
        scene.shows(liked);
        assert_eq!(scene.stored(), 1);
    }
    world.flush();
    assert_eq!(scene.stored(), 0);
    scene.shows(false);
}

fn ids(videos: &[Video]) -> Vec<i64> {
    videos.iter().map(|video| video.id).collect()
}

fn the_list_is_in_order_while_part_of_it_waits(kind: Kind) {
    let world = patient(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let made = crowd::videos(&world, ann.id, 7);
    let id = |number: usize| made[number - 1].0;
    let favorite = |number: usize, action| ben.favorite(id(number), action).done();
    let listed = |wanted: &[usize]| {
        let wanted: Vec<i64> = wanted.iter().map(|number| id(*number)).collect();
        for viewer in [&ben, &ann, &world.guest()] {
            let list = viewer.favorites_of(ben.id);
            assert_eq!(ids(&list), wanted, "as {:?} sees it", viewer.name);
            let own = viewer.id == ben.id;
            assert!(
                list.iter()
                    .all(|video| video.favorite_count == 1 && video.is_favorite == own)
            );
        }
        assert_eq!(ben.profile().favorite_count, i64::try_from(wanted.len()).unwrap());
    };
    for number in 1..=5 {
        favorite(number, 1);
    }
    world.flush();
    listed(&[5, 4, 3, 2, 1]);
    favorite(6, 1);
    favorite(4, 2);
    favorite(2, 2);
    listed(&[6, 5, 3, 1]);
    favorite(2, 1);
    favorite(7, 1);
    favorite(7, 2);
    listed(&[2, 6, 5, 3, 1]);
    world.flush();
    listed(&[2, 6, 5, 3, 1]);
    favorite(1, 2);
    favorite(1, 1);
    listed(&[1, 2, 6, 5, 3]);
    world.flush();
    listed(&[1, 2, 6, 5, 3]);
}

fn long_lists_are_whole_while_hundreds_wait(kind: Kind) {
    let world = patient(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let made = crowd::videos(&world, ann.id, 650);
    let fan = UserId(ben.id);
    let wish = |range: std::ops::Range<usize>, on: bool| {
        // One after the other, so that each has a place of its own in the order.
        let wishes: Vec<Wish> = made[range].iter().map(|video| (fan, *video, on)).collect();
        crowd::like(&world, &wishes);
    };
    let listed = |wanted: &[VideoId]| {
        let wanted: Vec<i64> = wanted.iter().rev().map(|video| video.0).collect();
        assert_eq!(ids(&ann.favorites_of(ben.id)), wanted);
        assert_eq!(ids(&ben.favorites_of(ben.id)), wanted);
        assert_eq!(ben.profile().favorite_count, i64::try_from(wanted.len()).unwrap());
    };
    wish(0..250, true);
    listed(&made[..250]);
    world.flush();
    // The next ones must not share a millisecond with those: only then is their order the clock's.
    std::thread::sleep(Duration::from_millis(5));
    wish(250..450, true);
    listed(&made[..450]);
    wish(0..50, false);
    listed(&made[50..450]);
    wish(450..451, true);
    listed(&made[50..451]);
    wish(451..650, true);
    listed(&made[50..650]);
    world.flush();
    listed(&made[50..650]);
    wish(50..300, false);
    listed(&made[300..650]);
}

fn nobody_ever_sees_a_count_go_down_in_a_storm_of_likes(kind: Kind) {
    const FANS: usize = 3_000;
    let world = World::with(kind, |config| {
        config.flush_interval = Duration::from_millis(100);
        // What is flushed is forgotten after 4.1 s, so within the storm.
        config.db_acquire_timeout = Duration::from_millis(100);
        config.db_statement_timeout = Duration::from_secs(1);
    });
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let (sea, sky) = (ann.publishes("sea"), ann.publishes("sky"));
    ben.favorites(&sea);
    let fans = crowd::people(&world, FANS);
    let over = AtomicBool::new(false);
    let looks = at_once(5, |number| {
        if number == 0 {
            for fans in fans.chunks(20) {
                let wishes: Vec<Wish> = fans
                    .iter()
                    .flat_map(|fan| [(*fan, VideoId(sea.id), true), (*fan, VideoId(sky.id), true)])
                    .collect();
                crowd::like(&world, &wishes);
                std::thread::sleep(Duration::from_millis(40));
            }
            over.store(true, Ordering::SeqCst);
            return 1;
        }
        if number == 2 {
            return recount(&world, &over);
        }
        watch(&world, &ann, &ben, &sea, number, &over)
    });
    assert!(looks.iter().all(|looks| *looks > 0), "{looks:?}");
    let fans = i64::try_from(FANS).unwrap();
    let counts = || {
        let works = world.guest().works_of(ann.id);
        let counts: Vec<i64> = works.iter().map(|video| video.favorite_count).collect();
        (counts, ann.profile().total_favorited)
    };
    assert_eq!(counts(), (vec![fans, fans + 1], 2 * fans + 1));
    world.flush();
    assert_eq!(counts(), (vec![fans, fans + 1], 2 * fans + 1));
    assert_eq!(ovation_schema::verify::recount(&mut world.connection()).unwrap(), []);
}

/// Has the running server recount until the storm is over: rows and counters agree at every moment.
fn recount(world: &World, over: &AtomicBool) -> usize {
    let mut looks = 0;
    while !over.load(Ordering::SeqCst) {
        let found = ovation::control::ask_to_verify(world.data_dir()).unwrap();
        assert!(found.is_empty(), "{found:?}");
        looks += 1;
        std::thread::sleep(Duration::from_millis(300));
    }
    looks
}

/// Looks until the storm is over; how often it looked.
fn watch(world: &World, ann: &Persona, ben: &Persona, sea: &Video, number: usize, over: &AtomicBool) -> usize {
    let viewer = if number == 1 { &world.guest() } else { ben };
    let (mut last, mut last_total, mut looks) = (0, 0, 0);
    while !over.load(Ordering::SeqCst) {
        looks += 1;
        let seen = viewer.sees(sea);
        assert!(seen.favorite_count >= last, "{last}, then {}", seen.favorite_count);
        assert_eq!(seen.is_favorite, viewer.id == ben.id, "it never flickers");
        let works = viewer.works_of(ann.id);
        let sum: i64 = works.iter().map(|work| work.favorite_count).sum();
        let total = works[0].author.total_favorited;
        assert_eq!(sum, total, "one answer is of one piece");
        assert!(works[1].favorite_count >= seen.favorite_count && total >= last_total);
        last = works[1].favorite_count;
        last_total = viewer.profile_of(ann.id).total_favorited;
        assert!(last_total >= total, "{total}, then {last_total}");
        assert_eq!(viewer.favorites_of(ben.id).len(), 1);
        assert_eq!(viewer.profile_of(ben.id).favorite_count, 1);
    }
    looks
}
