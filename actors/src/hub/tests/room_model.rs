//! Whatever happens to a room, in the end everybody in it knows what is true.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::hub::RoomSeat;

const VIDEO: VideoId = VideoId(7);

#[derive(Debug, Clone)]
enum Step {
    Join,
    Leave(usize),
    /// So many likes by others.
    Likes(u8),
    /// One like less.
    Unlike,
    Comment,
    /// Everything is brought into the store; the overlay forgets it at once or later.
    Flush(bool),
    Away(bool),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Join),
        2 => any::<usize>().prop_map(Step::Leave),
        3 => (1u8..3).prop_map(Step::Likes),
        3 => Just(Step::Unlike),
        2 => Just(Step::Comment),
        1 => any::<bool>().prop_map(Step::Flush),
        1 => any::<bool>().prop_map(Step::Away),
        3 => (0u64..50).prop_map(Step::Wait),
        3 => (0u64..600).prop_map(Step::Wait),
    ]
}

/// Somebody who watches, and what they know.
struct Listener {
    seat: RoomSeat,
    outbox: Arc<Outbox>,
    counts: (i64, i64),
    viewers: usize,
}

impl Listener {
    fn listen(&mut self) {
        for text in heard(&self.outbox) {
            let frame: Value = serde_json::from_str(&text).unwrap();
            let number = |name: &str| frame["d"][name].as_i64().unwrap();
            match frame["t"].as_str().unwrap() {
                "video.counters" => self.counts = (number("favorite_count"), number("comment_count")),
                "video.viewers" => self.viewers = usize::try_from(number("viewers")).unwrap(),
                other => panic!("{other}"),
            }
        }
    }
}

/// The room's surroundings, and the truth.
struct Model {
    world: World,
    listeners: Vec<Listener>,
    likes: i64,
    comments: i64,
    flushed: i64,
}

impl Model {
    fn new() -> Self {
        let world = World::new();
        world.store.set(|state| {
            state.videos.insert(VIDEO, (0, 0));
        });
        Self {
            world,
            listeners: Vec::new(),
            likes: 0,
            comments: 0,
            flushed: 0,
        }
    }

    async fn join(&mut self) {
        let outbox = outbox();
        if let Ok((seat, counts)) = self.world.hub.watch_video(VIDEO, Arc::clone(&outbox)).await {
            assert_eq!(counts.favorite_count, self.likes, "likes are exact at any time");
            self.listeners.push(Listener {
                seat,
                outbox,
                counts: (counts.favorite_count, counts.comment_count),
                viewers: counts.viewers,
            });
        }
    }

    async fn play(&mut self, step: Step) {
        let world = &mut self.world;
        match step {
            Step::Join => self.join().await,
            Step::Leave(at) if !self.listeners.is_empty() => {
                let at = at % self.listeners.len();
                drop(self.listeners.swap_remove(at).seat);
            }
            Step::Likes(likes) => {
                for _ in 0..likes {
                    world.like(7);
                }
                self.likes += i64::from(likes);
            }
            Step::Unlike if self.likes > 0 => {
                world.change(7, false);
                self.likes -= 1;
            }
            // Nobody is there, or nothing to take back.
            Step::Leave(_) | Step::Unlike => {}
            Step::Comment => {
                self.comments += 1;
                let comments = self.comments;
                world.store.set(|state| {
                    state.videos.entry(VIDEO).or_default().1 = comments;
                });
                world.hub.commented(VIDEO, None);
            }
            Step::Flush(forget) => {
                self.flushed = world.position;
                let likes = self.likes;
                world.store.set(|state| {
                    state.videos.entry(VIDEO).or_default().0 = likes;
                    state.mark = self.flushed;
                });
                if forget {
                    world.overlay.forget_through(self.flushed);
                }
            }
            Step::Away(away) => world.store.set(|state| state.away = away),
            Step::Wait(ms) => pass(ms).await,
        }
    }

    async fn end(mut self) {
        self.world.store.set(|state| state.away = false);
        pass(11_000).await;
        let viewers = self.listeners.len();
        for listener in &mut self.listeners {
            listener.listen();
            assert_eq!(listener.counts, (self.likes, self.comments));
            assert_eq!(listener.viewers, viewers);
        }
        self.listeners.clear();
        self.world.assert_empty();
    }
}

proptest! {
    #[test]
    fn in_the_end_everybody_knows(steps in prop::collection::vec(step(), 0..80)) {
        run(async {
            let mut model = Model::new();
            for step in steps {
                model.play(step).await;
            }
            model.end().await;
        });
    }
}
