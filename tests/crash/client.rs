//! One client: a user who likes, follows, comments and messages as fast as the server answers, and writes down both what
//! it asks and what it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use crate::harness::Persona;
use crate::harness::site::{Params, encoded};
use crate::record::{Fact, Record, SentComment, SentMessage};

/// More comments than this are deleted again, so that reading them back stays quick.
const COMMENTS: usize = 12;

/// The answer to a request.
enum Told {
    Done(Map<String, Value>),
    /// "Try again": nothing is known of what was asked.
    Again,
    /// No answer: the server is gone.
    Gone,
}

/// A client and whom and what it acts upon.
pub struct Client<'a> {
    pub persona: &'a Persona,
    pub record: &'a mut Record,
    /// The first is the one everybody likes.
    pub videos: &'a [i64],
    /// Everybody else.
    pub users: &'a [i64],
    /// Counts every acknowledgement, of all clients.
    pub acknowledged: &'a AtomicUsize,
}

impl Client<'_> {
    /// Acts until the server is gone.
    pub fn act(mut self, mut random: ChaCha8Rng) {
        while let Some(acknowledged) = self.act_once(&mut random) {
            if acknowledged {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            } else {
                // Told to come again: a client that does so at once would only measure how fast it is sent away.
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// Whether it was acknowledged; `None` when the server is gone.
    fn act_once(&mut self, random: &mut ChaCha8Rng) -> Option<bool> {
        let told = match random.random_range(0..100) {
            0..25 => self.like(self.videos[0], random),
            25..55 => self.like(self.videos[random.random_range(0..self.videos.len())], random),
            55..70 => self.follow(self.users[random.random_range(0..self.users.len())], random),
            70..85 => self.message(self.users[random.random_range(0..self.users.len().min(2))]),
            _ if self.record.comments.len() > random.random_range(0..COMMENTS) => self.uncomment(random),
            _ => self.comment(self.videos[random.random_range(0..self.videos.len())]),
        };
        match told {
            Told::Done(_) => Some(true),
            Told::Again => Some(false),
            Told::Gone => None,
        }
    }

    fn like(&mut self, video: i64, random: &mut ChaCha8Rng) -> Told {
        let mut fact = *self.record.likes.get(&video).unwrap_or(&Fact::known(false));
        let on = wish(fact, random);
        fact.asked(on);
        self.record.likes.insert(video, fact);
        let told = self.ask("favorite", &[("video_id", &video), ("action_type", &action(on))]);
        if let Told::Done(_) = told {
            self.record.likes.insert(video, Fact::known(on));
        }
        told
    }

    fn follow(&mut self, user: i64, random: &mut ChaCha8Rng) -> Told {
        let mut fact = *self.record.follows.get(&user).unwrap_or(&Fact::known(false));
        let on = wish(fact, random);
        fact.asked(on);
        self.record.follows.insert(user, fact);
        let told = self.ask("relation", &[("to_user_id", &user), ("action_type", &action(on))]);
        if let Told::Done(_) = told {
            self.record.follows.insert(user, Fact::known(on));
        }
        told
    }

    fn comment(&mut self, video: i64) -> Told {
        let text = self.record.next_text();
        let mut there = Fact::known(false);
        there.asked(true);
        let place = self.record.comments.len();
        self.record.comments.push(SentComment {
            video,
            text: text.clone(),
            id: None,
            there,
        });
        let params: Params<'_> = &[("video_id", &video), ("action_type", &1), ("comment_text", &text)];
        let told = self.ask("comment", params);
        if let Told::Done(payload) = &told {
            let sent = &mut self.record.comments[place];
            sent.id = payload["comment"]["id"].as_i64();
            sent.there = Fact::known(true);
        }
        told
    }

    /// Deletes one whose id is known and that is not known to be gone, or comments where there is none.
    fn uncomment(&mut self, random: &mut ChaCha8Rng) -> Told {
        let known: Vec<usize> = (0..self.record.comments.len())
            .filter(|place| self.record.comments[*place].there == Fact::known(true))
            .collect();
        if known.is_empty() {
            return self.comment(self.videos[0]);
        }
        let place = known[random.random_range(0..known.len())];
        let sent = &mut self.record.comments[place];
        sent.there.asked(false);
        let (video, id) = (sent.video, sent.id.expect("an acknowledged comment has an id"));
        let told = self.ask(
            "comment",
            &[("video_id", &video), ("action_type", &2), ("comment_id", &id)],
        );
        if let Told::Done(_) = told {
            // A text that is in no record may not be seen.
            self.record.comments.swap_remove(place);
        }
        told
    }

    fn message(&mut self, to: i64) -> Told {
        let text = self.record.next_text();
        let mut there = Fact::known(false);
        there.asked(true);
        self.record.messages.push(SentMessage {
            to,
            text: text.clone(),
            there,
        });
        let told = self.ask(
            "message",
            &[("to_user_id", &to), ("action_type", &1), ("content", &text)],
        );
        if let (Told::Done(_), Some(sent)) = (&told, self.record.messages.last_mut()) {
            sent.there = Fact::known(true);
        }
        told
    }

    fn ask(&mut self, noun: &str, params: Params<'_>) -> Told {
        let shown = format!("{noun} {}", encoded(params));
        self.record.note(|| format!("asks {shown}"));
        let mut all = params.to_vec();
        all.push(("token", &self.persona.token));
        let site = self.persona.site();
        let target = format!("/douyin/{noun}/action/?{}", encoded(&all));
        let Ok(reply) = site.try_send(site.build("POST", &target, &[], Vec::new())) else {
            self.record.note(|| format!("gone {shown}"));
            return Told::Gone;
        };
        let (code, text) = (reply.json()["status_code"].as_i64(), reply.text().to_owned());
        self.record.note(|| format!("told {shown} {code:?}"));
        if code == Some(0) {
            return Told::Done(reply.success());
        }
        if !text.contains("again") {
            self.record.refusals.push(format!("{shown}: {text}"));
        }
        Told::Again
    }
}

/// Mostly the change, sometimes what is already so, which must count once.
fn wish(fact: Fact, random: &mut ChaCha8Rng) -> bool {
    let likely = fact.allows(false);
    if random.random_bool(0.85) { likely } else { !likely }
}

fn action(on: bool) -> i64 {
    if on { 1 } else { 2 }
}
