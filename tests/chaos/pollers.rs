//! Devices without a socket: one that polls `/events`, one that polls the camp's chat endpoint as its app does.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::harness::{Persona, Reply};
use crate::mishap::BackOff;
use crate::record::{ChatLine, Record, Told};
use crate::stage::{Act, Stage};

/// A GET; none where nobody answered, or the answer was "try again".
fn get(stage: &Stage, who: &Persona, target: &str) -> Option<Value> {
    let bearer = format!("Bearer {}", who.token);
    let request = stage
        .site
        .build("GET", target, &[("Authorization", &bearer)], Vec::new());
    understood(stage, target, &stage.site.try_send(request).ok()?)
}

/// What a success says; none for "try again".
pub fn understood(stage: &Stage, shown: &str, reply: &Reply) -> Option<Value> {
    let answer = reply.json();
    match answer["status_code"].as_i64() {
        Some(0) => return Some(answer),
        // Busy, unavailable, too late.
        Some(2001 | 2002 | 1009) => {}
        _ => stage.violation(format!("{shown} was refused for good: {}", reply.text())),
    }
    None
}

/// Follows its user's stream by long poll.
pub fn events(stage: &Stage, place: usize, who: &Persona, mut random: ChaCha8Rng) -> Record {
    let mut record = Record::of(&stage.places[place].name, who.id);
    let mut epoch = String::new();
    let mut back_off = BackOff::new();
    loop {
        let seq = record.base.map_or(-1, |_| record.next() - 1);
        if stage.act(place, seq, 0) == Act::Over {
            return record;
        }
        let target = match record.base {
            None => "/events".to_owned(),
            Some(_) => format!("/events?epoch={epoch}&since={seq}&wait=2"),
        };
        let Some(answer) = get(stage, who, &target) else {
            back_off.pause(&mut random);
            continue;
        };
        back_off.reset();
        record.connects += 1;
        let told = answer["epoch"].as_str().unwrap_or_default();
        if record.base.is_none() {
            (epoch, record.base) = (told.to_owned(), answer["next_seq"].as_i64());
            continue;
        }
        for event in answer["events"].as_array().into_iter().flatten() {
            let wrong = Told::of(event).map_or(Some(format!("{event} is no event")), |told| record.take(told));
            if let Some(wrong) = wrong {
                stage.violation(wrong);
            }
        }
        if told != epoch || answer.get("gap").is_some() || answer["next_seq"].as_i64() != Some(record.next() - 1) {
            stage.violation(format!("{}: {answer} to {target}", record.name));
        }
    }
}

/// Polls its user's conversations by time, and takes what the others write.
pub fn chats(stage: &Stage, place: usize, who: &Persona, peers: &[i64], mut random: ChaCha8Rng) -> Record {
    let mut record = Record::of(&stage.places[place].name, who.id);
    let mut back_off = BackOff::new();
    let mut last: Vec<(i64, i64)> = peers.iter().map(|peer| (*peer, 0)).collect();
    // When it is over it polls once more, for what came since; with patience, but not for ever.
    let mut rounds_left = 20;
    while rounds_left > 0 {
        let over = stage.act(place, -1, 0) == Act::Over;
        rounds_left -= i32::from(over);
        let mut answered = true;
        for (peer, time) in &mut last {
            let token = &who.token;
            let target = format!("/douyin/message/chat/?token={token}&to_user_id={peer}&pre_msg_time={time}");
            let Some(answer) = get(stage, who, &target) else {
                answered = false;
                back_off.pause(&mut random);
                continue;
            };
            back_off.reset();
            record.connects += 1;
            for line in answer["message_list"].as_array().into_iter().flatten() {
                let at = line["create_time"].as_i64().unwrap();
                if at <= *time {
                    stage.violation(format!("{}: {line} after {time}", record.name));
                }
                *time = at;
                if line["from_user_id"].as_i64() == Some(*peer) {
                    record.chats.entry(*peer).or_default().push(ChatLine {
                        id: line["id"].as_i64().unwrap(),
                        text: line["content"].as_str().unwrap().to_owned(),
                        time: at,
                    });
                }
            }
        }
        if over && answered {
            break;
        }
        // The app's second, five times as fast.
        std::thread::sleep(Duration::from_millis(200));
    }
    record
}
