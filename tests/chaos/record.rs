//! What everybody asked for, was told, and heard. Owns no connection.

use std::collections::BTreeMap;

use serde_json::Value;

/// A durable event as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub seq: i64,
    pub t: String,
    pub d: Value,
}

impl Told {
    /// Of a frame or an entry of `/events`; none for what has no `seq`.
    pub fn of(frame: &Value) -> Option<Self> {
        Some(Self {
            seq: frame["seq"].as_i64()?,
            t: frame["t"].as_str()?.to_owned(),
            d: frame["d"].clone(),
        })
    }
}

/// A message that somebody sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    pub to: i64,
    /// Like no other.
    pub text: String,
    /// None over REST.
    pub key: Option<String>,
    /// Message id and time, from the answer over the socket.
    pub ack: Option<(i64, i64)>,
    /// A later one to the same receiver was stored between a refusal of this one and its resend, as it may be.
    pub overtaken: bool,
}

/// A read mark that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedMark {
    pub peer: i64,
    pub message: i64,
    pub acknowledged: bool,
}

/// One line of a chat as the camp's endpoint shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatLine {
    pub id: i64,
    pub text: String,
    pub time: i64,
}

/// Everything one participant did and saw.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub name: String,
    /// Whose device; 0 for visitors, who act for everybody.
    pub user: i64,
    /// The newest event when this device came first; it has heard everything after it. None for those without a stream.
    pub base: Option<i64>,
    pub received: Vec<Told>,
    /// Messages by sender, each in the order they were first sent.
    pub sent: BTreeMap<i64, Vec<SentMessage>>,
    pub marks: Vec<AskedMark>,
    /// Texts of comments.
    pub comments: Vec<String>,
    /// What each peer wrote, as polled.
    pub chats: BTreeMap<i64, Vec<ChatLine>>,
    /// How often the server said that it restarts, and when to come back.
    pub restarts: usize,
    /// How often it connected, resent, and was told that it had been understood before.
    pub connects: usize,
    pub resends: usize,
    pub dups: usize,
}

impl Record {
    pub fn of(name: &str, user: i64) -> Self {
        Self {
            name: name.to_owned(),
            user,
            ..Self::default()
        }
    }

    /// Takes the next event of the stream; what is wrong with it, if anything.
    pub fn take(&mut self, told: Told) -> Option<String> {
        let name = &self.name;
        let next = self.next();
        let wrong = match told.seq {
            seq if seq < next => Some(format!("{name}: event {seq} came again, {next} was due")),
            seq if seq > next => Some(format!("{name}: a hole, event {seq} came and {next} was due")),
            _ => None,
        };
        self.received.push(told);
        wrong
    }

    /// The number of the next event.
    pub fn next(&self) -> i64 {
        self.received.last().map_or(self.base.unwrap_or(0), |told| told.seq) + 1
    }
}
