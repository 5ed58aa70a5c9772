//! A phase of publishes: those who send them, those who must hear of them, and what is known of each.
//!
//! Owns what a follower is told and whether that is true. Never decides whether the run failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;

use crate::accounts::Account;
use crate::contract::read_status;
use crate::crew::Seat;
use crate::failure::Failure;
use crate::http::{Answer, Connection, Multipart, Target};
use crate::scenarios::deliveries::{DELIVERY, Deliveries, Heard};
use crate::socket::{Session, parse};
use crate::units::{float, float_len, index};

/// A second of one colour, 16 by 16 points, H.264 in MP4: the least that is a video. Made for this file.
const CLIP: &[u8] = include_bytes!("clip.mp4");
/// How long a follower waits in the end for the next of what it was not told: a server may be slow, and the number of newer
/// videos comes once a second at most.
const REST: Duration = Duration::from_secs(5);
/// Publishes under way at once, all of one author: below the eight uploads that Ovation lets one user have.
pub const PUBLISHING: usize = 6;

/// What the two sides of a phase share.
pub struct Scene {
    target: Target,
    author: Arc<Account>,
    run: u32,
    interval: Option<Duration>,
    /// The last number before this phase, and of this phase.
    before: u64,
    said: AtomicU64,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    deliveries: Deliveries,
}

/// What a follower's connection was told in a phase.
#[derive(Default)]
pub struct Told {
    /// A bit for each publish.
    which: Vec<u64>,
    pub count: u64,
    /// The largest number of newer videos.
    pub newer: u64,
    /// Whether it was there to the end, and read.
    pub is_whole: bool,
}

impl Scene {
    /// A phase of a run, whose numbers go on behind those of the one before.
    pub fn new(
        (target, author): (Target, Arc<Account>),
        (run, before): (u32, u64),
        interval: Option<Duration>,
        readers: usize,
    ) -> Self {
        Self {
            target,
            author,
            run,
            interval,
            before,
            said: AtomicU64::new(before),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            deliveries: Deliveries::new(PUBLISHING, readers, interval.is_some()),
        }
    }

    /// How many publishes were sent, and how many of them were acknowledged.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.sent.load(Ordering::Acquire),
            self.acknowledged.load(Ordering::Acquire),
        )
    }

    /// The largest number that was used.
    pub fn last(&self) -> u64 {
        self.said.load(Ordering::Acquire)
    }

    fn title(&self, number: u64) -> String {
        format!("bench-{:08x}-{number:010}", self.run)
    }

    /// One of those who publish for the author: the next once everybody heard of the last, or at its time.
    pub async fn publish(&self, seat: &Seat, turn: u64) {
        let window = seat.ready().await;
        let mut connection = Connection::new(self.target.clone());
        let share = self.interval.map(|interval| interval.div_f64(float_len(PUBLISHING)));
        let mut due = Instant::now() + share.map_or(Duration::ZERO, |share| share.mul_f64(float(turn)));
        let token = percent_decode_str(&self.author.token).decode_utf8_lossy();
        for number in (self.before + turn + 1..).step_by(PUBLISHING) {
            if due >= window.end {
                break;
            }
            seat.pacer().until(due).await;
            self.said.fetch_max(number, Ordering::AcqRel);
            self.sent.fetch_add(1, Ordering::AcqRel);
            self.deliveries.begin(number, due);
            let mut form = Multipart::default();
            form.text("token", &token);
            form.text("title", &self.title(number));
            form.file("data", "clip.mp4", "video/mp4", CLIP);
            let limit = window.cutoff().saturating_duration_since(Instant::now());
            let posted = connection
                .post_parts_within(limit, "/douyin/publish/action/", &form)
                .await;
            let posted = posted.and_then(Answer::ok).and_then(read_status);
            let done = connection.take_answered_at().unwrap_or_else(Instant::now);
            self.deliveries.sent(seat, number, due, posted.as_ref().map(|()| done));
            if posted.is_err() {
                break;
            }
            self.acknowledged.fetch_add(1, Ordering::AcqRel);
            due = if let Some(interval) = self.interval {
                due + interval
            } else {
                self.deliveries.wait(seat, &window, number).await;
                Instant::now()
            };
        }
        let mine = |number| (number - self.before - 1) % PUBLISHING as u64 == turn;
        self.deliveries.leave(seat, &window, mine).await;
    }

    /// A follower, who reads or does not.
    pub async fn follow(&self, seat: &Seat, account: &Account, reads: bool) -> Told {
        let mut told = Told::default();
        match self.attend(seat, account, reads, &mut told).await {
            Ok(()) => told.is_whole = reads,
            Err(failure) => seat.failure(DELIVERY, &failure),
        }
        told
    }

    async fn attend(&self, seat: &Seat, account: &Account, reads: bool, told: &mut Told) -> Result<(), Failure> {
        let opening = async {
            let mut session = Session::open(&self.target, Some(account), None).await?;
            let request = "{\"t\":\"feed.watch\",\"id\":\"1\",\"d\":{}}";
            session.ask(request, 1, |_| Ok(())).await?;
            Ok::<_, Failure>(session)
        };
        let mut session = seat.enter(opening).await?;
        let window = seat.ready().await;
        if !reads {
            tokio::time::sleep_until(window.end.into()).await;
            return Ok(());
        }
        let mut place = 0;
        let listening = async {
            loop {
                self.listen(&mut session, seat, told, &mut place).await?;
            }
        };
        self.deliveries.until_over(listening).await?;
        // A slow server is no untrue one: whoever lacks something has a while yet.
        while !self.is_complete(told) {
            let next = self.listen(&mut session, seat, told, &mut place);
            match tokio::time::timeout(REST, next).await {
                Ok(heard) => heard?,
                // What is lacking is found by whoever counts.
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// One frame.
    async fn listen(
        &self,
        session: &mut Session,
        seat: &Seat,
        told: &mut Told,
        place: &mut usize,
    ) -> Result<(), Failure> {
        let (text, at) = session.text().await?;
        match self.deliveries.heard(place, text, |text| self.read(text))? {
            Heard::Number(number) => {
                if !told.note(number - self.before) {
                    return Err(Failure::Untrue(format!("publish {number} was told twice")));
                }
                self.deliveries.arrived(seat, number, at);
            }
            Heard::Count(newer) => {
                let most = self.sent.load(Ordering::Acquire);
                if newer > most {
                    return Err(Failure::Untrue(format!(
                        "{newer} newer videos, of {most} that were sent"
                    )));
                }
                told.newer = told.newer.max(newer);
            }
            Heard::Nothing => {}
        }
        Ok(())
    }

    /// What a frame says.
    fn read(&self, text: &str) -> Result<Heard, Failure> {
        let event = parse(text)?;
        if event.t != "feed.new" {
            return Ok(Heard::Nothing);
        }
        let Some(video) = event.d.video else {
            let neither = || Failure::shape(&"neither a video nor a number", text.as_bytes());
            return event.d.newer.map(Heard::Count).ok_or_else(neither);
        };
        let number = video.title.rsplit('-').next().and_then(|number| number.parse().ok());
        let known = self.before + 1..=self.said.load(Ordering::Acquire);
        match number.filter(|number| known.contains(number) && video.title == self.title(*number)) {
            Some(number) if video.author_id == self.author.id => Ok(Heard::Number(number)),
            _ => Err(Failure::Untrue(format!(
                "a video that nobody published: {:?} of user {}",
                video.title, video.author_id
            ))),
        }
    }

    /// Whether somebody was told enough: of every publish, or in an open loop of how many there are.
    pub fn is_complete(&self, told: &Told) -> bool {
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        told.count >= acknowledged || (self.interval.is_some() && told.newer >= acknowledged)
    }
}

impl Told {
    /// Notes a publish, counted from 1 in each phase. `false` for one that was told before.
    fn note(&mut self, number: u64) -> bool {
        let (word, bit) = (index(float(number / 64)), 1_u64 << (number % 64));
        if self.which.len() <= word {
            self.which.resize(word + 1, 0);
        }
        let Some(bits) = self.which.get_mut(word).filter(|bits| **bits & bit == 0) else {
            return false;
        };
        *bits |= bit;
        self.count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(interval: Option<Duration>) -> Scene {
        let account = Account {
            id: 7,
            name: String::new(),
            token: String::new(),
            password: String::new(),
        };
        let target = Target::local(([127, 0, 0, 1], 1).into());
        let scene = Scene::new((target, Arc::new(account)), (9, 100), interval, 1);
        scene.said.store(103, Ordering::Release);
        scene.acknowledged.store(3, Ordering::Release);
        scene
    }

    #[test]
    fn each_publish_is_told_once() {
        let mut told = Told::default();
        assert!([1, 64, 2, 1_000].into_iter().all(|number| told.note(number)));
        assert!(!told.note(64) && !told.note(1));
        assert_eq!(told.count, 4);
    }

    #[test]
    fn a_number_is_enough_only_where_news_may_be_dropped() {
        let mut told = Told {
            newer: 3,
            ..Told::default()
        };
        assert!(!scene(None).is_complete(&told) && scene(Some(Duration::from_secs(1))).is_complete(&told));
        (1..=3).for_each(|number| assert!(told.note(number)));
        assert!(scene(None).is_complete(&told));
    }

    #[test]
    fn only_what_this_phase_published_is_believed() {
        let scene = scene(None);
        let news = |title: &str, author: i64| {
            format!(r#"{{"t":"feed.new","d":{{"video":{{"id":1,"author_id":{author},"title":"{title}"}}}}}}"#)
        };
        let heard = scene.read(&news("bench-00000009-0000000102", 7)).unwrap();
        assert_eq!(heard, Heard::Number(102));
        for (title, author) in [
            ("bench-00000009-0000000102", 8),
            ("bench-00000009-0000000100", 7),
            ("bench-00000009-0000000104", 7),
            ("bench-00000008-0000000102", 7),
            ("sea", 7),
        ] {
            assert!(scene.read(&news(title, author)).is_err(), "{title} {author}");
        }
        let newer = scene.read(r#"{"t":"feed.new","d":{"newer":2}}"#).unwrap();
        assert_eq!(newer, Heard::Count(2));
        assert!(scene.read(r#"{"t":"feed.new","d":{}}"#).is_err());
        assert_eq!(scene.read(r#"{"t":"pong","d":{}}"#).unwrap(), Heard::Nothing);
    }
}
