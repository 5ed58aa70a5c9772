//! Compares what everybody recorded with what is stored. Pure: it talks to nobody.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::record::{Record, SentMessage, Told};
use crate::stored::{Message, Pair, Side, Stored};

/// Every disagreement, in words.
pub fn violations(records: &[Record], stored: &Stored) -> Vec<String> {
    let mut found = Vec::new();
    for (user, stream) in &stored.streams {
        let numbers = stream.iter().map(|told| told.seq);
        if !numbers.eq(1..=i64::try_from(stream.len()).unwrap()) {
            found.push(format!("the stream of {user} is not dense"));
        }
    }
    for record in records {
        check_heard(&mut found, record, stored);
    }
    check_messages(&mut found, records, stored);
    check_told_of_messages(&mut found, stored);
    for side in &stored.sides {
        check_side(&mut found, side, records, stored);
    }
    check_others(&mut found, records, stored);
    found
}

/// What a device heard is what is stored, from its beginning to the end.
fn check_heard(found: &mut Vec<String>, record: &Record, stored: &Stored) {
    let (Some(base), Some(stream)) = (record.base, stored.streams.get(&record.user)) else {
        return;
    };
    let name = &record.name;
    let wanted = &stream[usize::try_from(base).unwrap().min(stream.len())..];
    if let Some((heard, wanted)) = record
        .received
        .iter()
        .zip(wanted)
        .find(|(heard, wanted)| heard != wanted)
    {
        found.push(format!("{name} heard {heard:?}, and stored is {wanted:?}"));
    } else if record.received.len() != wanted.len() {
        let (heard, stored) = (record.received.len(), wanted.len());
        found.push(format!("{name} heard {heard} events, and {stored} are stored"));
    }
    let mut times: BTreeMap<i64, i64> = BTreeMap::new();
    for told in record.received.iter().filter(|told| told.t == "message.new") {
        let (number, user) = (|name: &str| told.d[name].as_i64().unwrap_or_default(), record.user);
        let peer = number("from_user_id") + number("to_user_id") - user;
        let before = times.insert(peer, number("create_time"));
        if before >= Some(number("create_time")) {
            found.push(format!("{name} heard {told:?} out of the conversation's order"));
        }
    }
    for (peer, lines) in &record.chats {
        let wrote = |message: &&Message| (message.from, message.to) == (*peer, record.user);
        let wanted = stored.messages.iter().filter(wrote);
        let wanted = wanted.map(|message| (message.id, message.text.as_str(), message.time));
        if !lines
            .iter()
            .map(|line| (line.id, line.text.as_str(), line.time))
            .eq(wanted)
        {
            found.push(format!(
                "{name} polled something else from {peer} than is stored: {lines:?}"
            ));
        }
    }
}

fn check_messages(found: &mut Vec<String>, records: &[Record], stored: &Stored) {
    let mut by_text: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in &stored.messages {
        by_text.entry(&message.text).or_default().push(message);
    }
    for record in records {
        for (from, sent) in &record.sent {
            let mut last: BTreeMap<i64, i64> = BTreeMap::new();
            for sent in sent {
                let rows = by_text.remove(sent.text.as_str()).unwrap_or_default();
                check_message(found, *from, sent, &rows);
                // What goes over REST without an answer may still be under way while the next one is.
                if let (Some(row), Some(_), false) = (rows.first(), &sent.key, sent.overtaken)
                    && last.insert(sent.to, row.time) > Some(row.time)
                {
                    found.push(format!("{sent:?} of {from} is stored before an earlier one"));
                }
            }
        }
    }
    found.extend(by_text.values().flatten().map(|row| format!("{row:?} was never sent")));
}

fn check_message(found: &mut Vec<String>, from: i64, sent: &SentMessage, rows: &[&Message]) {
    let what = format!("{sent:?} of {from}");
    if rows.len() > 1 {
        found.push(format!("{what} is stored {} times", rows.len()));
    }
    let Some(row) = rows.first() else {
        if sent.ack.is_some() {
            found.push(format!("{what} was acknowledged and is lost"));
        }
        return;
    };
    if (row.from, row.to, &row.key) != (from, sent.to, &sent.key) {
        found.push(format!("{what} is stored as {row:?}"));
    }
    if sent.key.is_some() && sent.ack != Some((row.id, row.time)) {
        found.push(format!("{what} is acknowledged otherwise than stored: {row:?}"));
    }
}

/// Each message is told once to each of its users, as it is stored; in the conversation's order.
fn check_told_of_messages(found: &mut Vec<String>, stored: &Stored) {
    for (user, stream) in &stored.streams {
        let told = stream.iter().filter(|told| told.t == "message.new");
        let told = told.map(|told| {
            let mut d = told.d.clone();
            let unread = d.as_object_mut().and_then(|d| d.remove("unread"));
            (d, unread.is_some())
        });
        let mut told: Vec<(Value, bool)> = told.collect();
        let of_user = stored
            .messages
            .iter()
            .filter(|row| row.from == *user || row.to == *user);
        let mut wanted: Vec<(Value, bool)> = of_user.map(|row| (payload(row, *user), row.to == *user)).collect();
        let order = |(d, _): &(Value, bool)| {
            let number = |name: &str| d[name].as_i64().unwrap_or_default();
            (number("from_user_id") + number("to_user_id"), number("create_time"))
        };
        // Stable, by conversation first: within one, the stream's own order must be that of the times.
        told.sort_by_key(|told| order(told).0);
        wanted.sort_by_key(order);
        if let Some((told, wanted)) = told.iter().zip(&wanted).find(|(told, wanted)| told != wanted) {
            found.push(format!(
                "the stream of {user} tells {told:?}, and the rows say {wanted:?}"
            ));
        } else if told.len() != wanted.len() {
            found.push(format!(
                "the stream of {user} tells of {} messages of {}",
                told.len(),
                wanted.len()
            ));
        }
    }
}

/// The event about a message in one user's stream, without what it says of unread ones.
fn payload(row: &Message, user: i64) -> Value {
    let mut d = json!({
        "message_id": row.id, "from_user_id": row.from, "to_user_id": row.to,
        "content": row.text, "create_time": row.time,
    });
    if let (Some(key), true) = (&row.key, row.from == user) {
        d["key"] = json!(key);
    }
    d
}

/// A read mark is one that was asked for, at or past each that was acknowledged, and the last one told of; unread is what
/// the rows past it say, and what was told last.
fn check_side(found: &mut Vec<String>, side: &Side, records: &[Record], stored: &Stored) {
    let Side { user, peer, .. } = *side;
    let time_of = |id: i64| {
        stored
            .messages
            .iter()
            .find(|row| row.id == id)
            .map_or(0, |row| row.time)
    };
    let of_user = records.iter().filter(|record| record.user == user);
    let marks: Vec<_> = of_user
        .flat_map(|record| &record.marks)
        .filter(|mark| mark.peer == peer)
        .collect();
    let asked = side.read_id == 0 || marks.iter().any(|mark| mark.message == side.read_id);
    let reached = marks.iter().filter(|mark| mark.acknowledged);
    if !asked
        || time_of(side.read_id) != side.read_time
        || reached.map(|mark| time_of(mark.message)).max() > Some(side.read_time)
    {
        found.push(format!("{side:?} has another mark than was asked for: {marks:?}"));
    }
    let unread = stored.messages.iter();
    let unread = unread
        .filter(|row| (row.from, row.to) == (peer, user) && row.time > side.read_time)
        .count();
    if i64::try_from(unread) != Ok(side.unread) {
        found.push(format!("{side:?}: {unread} messages are unread"));
    }
    let stream = stored.streams.get(&user).map(Vec::as_slice).unwrap_or_default();
    let own = |told: &&Told, name: &str, with: &str| told.d[name] == user && told.d[with] == peer;
    let last_mark = stream
        .iter()
        .rfind(|told| told.t == "message.read" && own(told, "user_id", "with_user_id"));
    if last_mark.map_or(0, |told| told.d["message_id"].as_i64().unwrap_or(-1)) != side.read_id {
        found.push(format!("{side:?}, and the last one told of is {last_mark:?}"));
    }
    let counts = |told: &&Told| match told.t.as_str() {
        "message.read" => own(told, "user_id", "with_user_id"),
        "message.new" => own(told, "to_user_id", "from_user_id"),
        _ => false,
    };
    let last = stream.iter().rfind(counts);
    if last.map_or(0, |told| told.d["unread"].as_i64().unwrap_or(-1)) != side.unread {
        found.push(format!("{side:?}, and the last count told is in {last:?}"));
    }
}

/// Follows, comments and likes are told once each, and comments were made.
fn check_others(found: &mut Vec<String>, records: &[Record], stored: &Stored) {
    let all = || {
        stored
            .streams
            .iter()
            .flat_map(|(user, stream)| stream.iter().map(move |told| (*user, told)))
    };
    let number = |told: &Told, name: &str| told.d[name].as_i64().unwrap_or_default();
    let of = |kind: &'static str| all().filter(move |(_, told)| told.t == kind);
    let made: BTreeSet<&String> = records.iter().flat_map(|record| &record.comments).collect();
    for comment in stored.comments.iter().filter(|comment| !made.contains(&comment.text)) {
        found.push(format!("{comment:?} was never made"));
    }
    let mut compare = |what: &str, mut told: Vec<Pair>, mut rows: Vec<Pair>| {
        told.sort();
        rows.sort();
        if told != rows {
            found.push(format!("{what}: told of {told:?}, and stored are {rows:?}"));
        }
    };
    let follows = of("follow.new").map(|(user, told)| Pair {
        one: number(told, "user_id"),
        other: user,
    });
    compare("follows", follows.collect(), stored.follows.clone());
    let comments = of("comment.new").map(|(user, told)| Pair {
        one: number(told, "comment_id"),
        other: user,
    });
    let foreign = stored.comments.iter().filter(|comment| comment.user != comment.author);
    let foreign = foreign.map(|comment| Pair {
        one: comment.id,
        other: comment.author,
    });
    compare("comments", comments.collect(), foreign.collect());
    let sum = |pairs: Vec<Pair>| {
        let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
        for pair in pairs {
            *sums.entry(pair.one).or_default() += pair.other;
        }
        sums.into_iter().map(|(one, other)| Pair { one, other }).collect()
    };
    let likes = of("favorite.new").map(|(_, told)| Pair {
        one: number(told, "video_id"),
        other: number(told, "count"),
    });
    let noticed = stored.noticed.iter().map(|pair| Pair {
        one: pair.one,
        other: 1,
    });
    compare("likes", sum(likes.collect()), sum(noticed.collect()));
}

#[cfg(test)]
mod tests;
