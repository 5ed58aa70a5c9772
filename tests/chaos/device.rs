//! One device of a user: a client that keeps to the protocol whatever happens to its connections, and records what it
//! sends and hears.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::harness::Persona;
use crate::link::{Heard, Link, NoLink};
use crate::mishap::{BackOff, Mishap, Mishaps, hinted};
use crate::outgoing::Outgoing;
use crate::record::{AskedMark, Record, Told};
use crate::stage::{Act, Stage};

/// Messages that a device lets wait before it writes another one.
const PIPELINE: usize = 4;
/// Milliseconds between two acts.
const THINKING: std::ops::Range<u64> = 10..160;
/// Messages of a burst.
const BURST: usize = 6;

/// What a request on the present connection asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// The place of a message.
    Message(usize),
    /// The place of a mark.
    Mark(usize),
    /// What leaves nothing to be recorded.
    Other,
}

/// A device and its memory, which outlives its connections.
pub struct Device<'a> {
    stage: &'a Stage,
    /// In the stage's list.
    place: usize,
    persona: &'a Persona,
    /// Whom this user chats with.
    peers: Vec<i64>,
    random: ChaCha8Rng,
    record: Record,
    outgoing: Outgoing,
    epoch: Option<String>,
    /// The newest message of each peer that was heard of.
    latest: BTreeMap<i64, i64>,
    asked: BTreeMap<String, Asked>,
    back_off: BackOff,
    /// `welcome` came on this connection, with this newest event.
    welcomed: Option<i64>,
    synced: bool,
}

/// The connection is over.
struct Over;

impl<'a> Device<'a> {
    pub fn new(stage: &'a Stage, place: usize, persona: &'a Persona, peers: Vec<i64>, random: ChaCha8Rng) -> Self {
        Self {
            stage,
            place,
            persona,
            peers,
            random,
            record: Record::of(&stage.places[place].name, persona.id),
            outgoing: Outgoing::default(),
            epoch: None,
            latest: BTreeMap::new(),
            asked: BTreeMap::new(),
            back_off: BackOff::new(),
            welcomed: None,
            synced: false,
        }
    }

    /// Chats until it is over.
    pub fn run(mut self) -> Record {
        while self.act() != Act::Over {
            match Link::open(self.stage.site.address()) {
                Ok(link) => {
                    self.record.connects += 1;
                    self.converse(link);
                }
                // A server that is about to stop opens no sockets.
                Err(NoLink::Nobody | NoLink::Status(503)) => {}
                Err(NoLink::Status(status)) => self.wrong(&format!("HTTP {status} instead of a socket")),
            }
            self.outgoing.disconnected();
            self.asked.clear();
            self.back_off.pause(&mut self.random);
        }
        self.record.sent.insert(self.persona.id, self.outgoing.sent);
        self.record
    }

    fn act(&self) -> Act {
        let seq = if self.record.base.is_some() {
            self.record.next() - 1
        } else {
            -1
        };
        self.stage
            .act(self.place, seq, self.outgoing.waiting() + self.asked.len())
    }

    fn wrong(&self, what: &str) {
        self.stage.violation(format!("{}: {what}", self.record.name));
    }

    /// From hello to whatever ends it.
    fn converse(&mut self, mut link: Link) {
        (self.welcomed, self.synced) = (None, false);
        let mut hello = json!({"token": self.persona.token, "client": "chaos"});
        if let Some(epoch) = &self.epoch {
            hello["resume"] = json!({"epoch": epoch, "seq": self.record.next() - 1});
        }
        link.send("hello", &hello);
        let mut mishaps = Mishaps::new(&mut self.random);
        let mut next_act = Instant::now();
        loop {
            let act = self.act();
            if act == Act::Over {
                return;
            }
            if act == Act::Storm
                && let Some(mishap) = mishaps.next(&mut self.random)
            {
                match self.suffer(mishap, link) {
                    Some(back) => link = back,
                    None => return,
                }
            }
            if self.welcomed.is_some() {
                if act == Act::Storm && Instant::now() >= next_act {
                    self.do_something(&mut link);
                    next_act = Instant::now() + Duration::from_millis(self.random.random_range(THINKING));
                }
                self.send_due(&mut link);
            }
            if self.listen(&mut link).is_err() {
                return;
            }
        }
    }

    fn suffer(&mut self, mishap: Mishap, mut link: Link) -> Option<Link> {
        match mishap {
            Mishap::Cut => link.cut(),
            Mishap::Reset => link.reset(),
            Mishap::HalfFrame => {
                self.write();
                let place = self.outgoing.sent.len() - 1;
                let (_, frame) = link.request("message.send", &self.outgoing.parameters(place));
                // Never all of it: then it would be a cut.
                let length = self.random.random_range(1..frame.len());
                link.put(&frame[..length]);
                link.cut();
            }
            Mishap::Burst => {
                (0..BURST).for_each(|_| self.write());
                if self.welcomed.is_some() {
                    self.send_due(&mut link);
                }
                if self.random.random_bool(0.5) {
                    link.cut();
                } else {
                    link.reset();
                }
            }
            Mishap::Stall(time) => {
                link.narrow();
                // The moment is the test's random choice, not a wait for anything.
                std::thread::sleep(time);
                return Some(link);
            }
        }
        None
    }

    fn write(&mut self) {
        let to = self.peers[self.random.random_range(0..self.peers.len())];
        self.outgoing.write(&self.record.name, to, &mut self.random);
    }

    fn do_something(&mut self, link: &mut Link) {
        match self.random.random_range(0..100) {
            0..70 if self.outgoing.waiting() < PIPELINE => self.write(),
            70..85 => self.mark(link),
            85..90 => {
                let video = self.stage.videos[self.random.random_range(0..self.stage.videos.len())];
                let d = json!({"video_id": video, "on": self.random.random_bool(0.7)});
                self.asked.insert(link.send("favorite.set", &d), Asked::Other);
            }
            90..95 => self.send_again(link),
            _ => {
                let peer = self.peers[self.random.random_range(0..self.peers.len())];
                self.asked.insert(
                    link.send("typing", &json!({"to_user_id": peer, "on": true})),
                    Asked::Other,
                );
            }
        }
    }

    fn mark(&mut self, link: &mut Link) {
        let peer = self.peers[self.random.random_range(0..self.peers.len())];
        let Some(message) = self.latest.get(&peer).copied() else {
            return;
        };
        let place = self.record.marks.len();
        self.record.marks.push(AskedMark {
            peer,
            message,
            acknowledged: false,
        });
        let id = link.send("message.read", &json!({"with_user_id": peer, "message_id": message}));
        self.asked.insert(id, Asked::Mark(place));
    }

    /// One that was acknowledged, as a client does that has lost its memory of it.
    fn send_again(&mut self, link: &mut Link) {
        if self.outgoing.sent.is_empty() {
            return;
        }
        let place = self.random.random_range(0..self.outgoing.sent.len());
        if self.outgoing.sent[place].ack.is_some() {
            let id = link.send("message.send", &self.outgoing.parameters(place));
            self.asked.insert(id, Asked::Message(place));
        }
    }

    fn send_due(&mut self, link: &mut Link) {
        while let Some((place, again)) = self.outgoing.next() {
            self.record.resends += usize::from(again);
            let id = link.send("message.send", &self.outgoing.parameters(place));
            self.asked.insert(id, Asked::Message(place));
        }
    }

    /// Takes what has come, and waits for it a moment if there is nothing.
    fn listen(&mut self, link: &mut Link) -> Result<(), Over> {
        let mut patience = Duration::from_millis(10);
        for _ in 0..100 {
            match link.hear(patience) {
                Heard::Message(message) => self.hear(message),
                Heard::Nothing => return Ok(()),
                Heard::Gone => return Err(Over),
                Heard::Closed(code, reason) => {
                    self.closed(code, &reason);
                    return Err(Over);
                }
            }
            patience = Duration::ZERO;
        }
        Ok(())
    }

    fn closed(&mut self, code: u16, reason: &Value) {
        match (code, reason["retry_after"].as_f64()) {
            // The moment is the server's wish.
            (3001, Some(seconds)) => {
                self.record.restarts += 1;
                std::thread::sleep(hinted(seconds));
            }
            // The database was away at the hello; the device was slow.
            (3002 | 3008, _) => {}
            _ => self.wrong(&format!("closed with {code} {reason}")),
        }
    }

    fn hear(&mut self, mut message: Value) {
        match message["t"].as_str().unwrap_or_default() {
            "welcome" => self.welcome(&message["d"]),
            "synced" => {
                let seq = message["d"]["seq"].as_i64();
                if seq != Some(self.record.next() - 1)
                    || seq < self.welcomed
                    || std::mem::replace(&mut self.synced, true)
                {
                    self.wrong(&format!("{message} before event {}", self.record.next()));
                }
            }
            "ack" | "err" => self.answered(&mut message),
            "typing" => {}
            _ => match Told::of(&message) {
                Some(told) if self.welcomed.is_some() => self.told(told),
                _ => self.wrong(&format!("{message} is unexpected")),
            },
        }
    }

    fn welcome(&mut self, d: &Value) {
        self.back_off.reset();
        let (Some(epoch), Some(seq)) = (d["epoch"].as_str(), d["seq"].as_i64()) else {
            return self.wrong(&format!("welcome {d}"));
        };
        self.welcomed = Some(seq);
        if let Some(known) = &self.epoch {
            let missing = seq + 1 - self.record.next();
            if known != epoch || missing < 0 || d["replay"].as_i64() != Some(missing) {
                self.wrong(&format!("resumed {known} at {} with {d}", self.record.next() - 1));
            }
        } else {
            self.epoch = Some(epoch.to_owned());
            self.record.base = Some(seq);
        }
    }

    fn told(&mut self, told: Told) {
        if told.t == "message.new"
            && let (Some(from), Some(id)) = (told.d["from_user_id"].as_i64(), told.d["message_id"].as_i64())
            && from != self.persona.id
        {
            self.latest.insert(from, id);
        }
        if let Some(wrong) = self.record.take(told) {
            self.stage.violation(wrong);
        }
    }

    fn answered(&mut self, answer: &mut Value) {
        let id = answer["id"].as_str().unwrap_or_default();
        let asked = self.asked.remove(id);
        if answer["t"] == "ack" {
            self.stage.acknowledge();
            match asked {
                Some(Asked::Message(place)) => {
                    self.record.dups += usize::from(answer["d"]["dup"] == true);
                    if let Some(wrong) = self.outgoing.acknowledged(place, &answer["d"]) {
                        self.wrong(&wrong);
                    }
                }
                Some(Asked::Mark(place)) => self.record.marks[place].acknowledged = true,
                Some(Asked::Other) => {}
                None => self.wrong(&format!("nobody asked for {answer}")),
            }
        } else if answer["code"] == "try_later" {
            if let Some(Asked::Message(place)) = asked {
                let pause = answer["retry_after"].as_f64().map_or(Duration::ZERO, hinted);
                self.outgoing.refused(place, pause);
            }
        } else {
            self.wrong(&format!("{asked:?} was refused for good: {answer}"));
        }
    }
}
