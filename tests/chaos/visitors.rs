//! Those who act over REST beside the devices, so that every kind of event occurs and both ways in are one system.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::harness::Persona;
use crate::harness::site::{Params, encoded};
use crate::mishap::BackOff;
use crate::pollers::understood;
use crate::record::{Record, SentMessage};
use crate::stage::{Act, Stage};

/// Acts for random people until it is over.
pub fn run(stage: &Stage, place: usize, people: &[Persona], mut random: ChaCha8Rng) -> Record {
    let mut record = Record::of(&stage.places[place].name, 0);
    let mut back_off = BackOff::new();
    loop {
        match stage.act(place, -1, 0) {
            Act::Over => return record,
            Act::Silence => std::thread::sleep(Duration::from_millis(10)),
            Act::Storm => {
                let who = &people[random.random_range(0..people.len())];
                if act(stage, &mut record, who, &mut random) {
                    stage.acknowledge();
                    back_off.reset();
                } else {
                    back_off.pause(&mut random);
                }
                // The moment is the test's random choice, not a wait for anything.
                std::thread::sleep(Duration::from_millis(random.random_range(20..200)));
            }
        }
    }
}

/// Whether it was acknowledged.
fn act(stage: &Stage, record: &mut Record, who: &Persona, random: &mut ChaCha8Rng) -> bool {
    let video = stage.videos[random.random_range(0..stage.videos.len())];
    let user = stage.users[random.random_range(0..stage.users.len())];
    let on = if random.random_bool(0.7) { 1 } else { 2 };
    match random.random_range(0..100) {
        0..25 => ask(stage, who, "favorite", &[("video_id", &video), ("action_type", &on)]),
        25..50 => {
            let text = format!("{}-{}", record.name, record.comments.len());
            record.comments.push(text.clone());
            let params: Params<'_> = &[("video_id", &video), ("action_type", &1), ("comment_text", &text)];
            ask(stage, who, "comment", params)
        }
        _ if user == who.id => false,
        50..70 => ask(stage, who, "relation", &[("to_user_id", &user), ("action_type", &on)]),
        _ => write(stage, record, who, user),
    }
}

/// Without a key: whoever is not answered does not know, and must not send it again.
fn write(stage: &Stage, record: &mut Record, who: &Persona, to: i64) -> bool {
    let count: usize = record.sent.values().map(Vec::len).sum();
    let text = format!("{}-m{count}", record.name);
    let sent = record.sent.entry(who.id).or_default();
    sent.push(SentMessage {
        to,
        text: text.clone(),
        key: None,
        ack: None,
        overtaken: false,
    });
    let params: Params<'_> = &[("to_user_id", &to), ("action_type", &1), ("content", &text)];
    let done = ask(stage, who, "message", params);
    if done && let Some(sent) = sent.last_mut() {
        // Over REST nobody is told which one it is.
        sent.ack = Some((0, 0));
    }
    done
}

fn ask(stage: &Stage, who: &Persona, noun: &str, params: Params<'_>) -> bool {
    let shown = format!("{noun} {}", encoded(params));
    let mut all = params.to_vec();
    all.push(("token", &who.token));
    let target = format!("/douyin/{noun}/action/?{}", encoded(&all));
    let request = stage.site.build("POST", &target, &[], Vec::new());
    let reply = stage.site.try_send(request);
    reply.is_ok_and(|reply| understood(stage, &shown, &reply).is_some())
}
