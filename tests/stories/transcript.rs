//! The transcripts in `docs/protocol.md` happen exactly as they are written.
//!
//! The format is defined in the book's section "Transcripts", and [`script`] reads it. This file plays what was read
//! against a real server: requests go out, and every answer and event must be the one that is written, no more and no
//! less. The comparison itself is [`pattern`]'s.

mod pattern;
mod script;

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use self::pattern::{Bindings, fill, fill_text, matches};
use self::script::{Step, Transcript};
use crate::harness::{Kind, Socket, World, on_both_stores};

on_both_stores!(the_books_transcripts_happen);

/// The book.
pub const BOOK: &str = include_str!("../../docs/protocol.md");

fn the_books_transcripts_happen(kind: Kind) {
    let transcripts = script::read(BOOK).unwrap_or_else(|error| panic!("docs/protocol.md: {error}"));
    assert!(!transcripts.is_empty(), "the book has transcripts");
    for transcript in transcripts {
        let world = World::new(kind);
        Player::new(&world).play(&transcript);
    }
}

struct Player<'a> {
    world: &'a World,
    bound: Bindings,
    connections: BTreeMap<char, Connection>,
    answer: Option<Value>,
}

struct Connection {
    socket: Socket,
    /// Events that came while an answer was waited for.
    events: VecDeque<Value>,
    /// Answers that came while an event was waited for.
    answers: VecDeque<Value>,
}

impl<'a> Player<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            bound: Bindings::default(),
            connections: BTreeMap::new(),
            answer: None,
        }
    }

    fn play(&mut self, transcript: &Transcript) {
        for (line, step) in &transcript.steps {
            self.step(step)
                .unwrap_or_else(|why| panic!("docs/protocol.md, line {line}: {why}"));
        }
        for (name, mut connection) in std::mem::take(&mut self.connections) {
            let mut left: Vec<Value> = connection.socket.so_far();
            left.extend(connection.events.into_iter().chain(connection.answers));
            left.retain(|frame| !is_ephemeral(frame));
            assert!(left.is_empty(), "connection {name} has more than is written: {left:?}");
        }
        assert_eq!(self.answer, None, "an answer of REST that is not written");
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Call { method, target, token } => self.call(method, target, token.as_deref()),
            Step::Answer(pattern) => {
                let answer = self.answer.take().ok_or("nothing was asked")?;
                matches(pattern, &answer, &mut self.bound)
            }
            Step::Open(name) => {
                let socket = Socket::connect(self.world);
                let (events, answers) = Default::default();
                self.connections.insert(
                    *name,
                    Connection {
                        socket,
                        events,
                        answers,
                    },
                );
                Ok(())
            }
            Step::Cut(name) => {
                let connection = self.connections.remove(name).ok_or("no such connection")?;
                connection.socket.into_raw().cut();
                Ok(())
            }
            Step::Send(name, pattern) => {
                let frame = fill(pattern, &mut self.bound)?;
                let connection = self.connections.get_mut(name).ok_or("no such connection")?;
                connection.socket.send_text(&frame.to_string());
                Ok(())
            }
            Step::Receive(name, pattern) => {
                let connection = self.connections.get_mut(name).ok_or("no such connection")?;
                connection.expect(pattern, &mut self.bound)
            }
            Step::Closed(name, code, pattern) => {
                let mut connection = self.connections.remove(name).ok_or("no such connection")?;
                let (closed, reason) = connection.socket.expect_close();
                if closed != *code {
                    return Err(format!("closed with {closed} {reason}"));
                }
                matches(pattern, &reason, &mut self.bound)
            }
        }
    }

    fn call(&mut self, method: &str, target: &str, token: Option<&str>) -> Result<(), String> {
        if let Some(answer) = &self.answer {
            return Err(format!("the former answer is not written: {answer}"));
        }
        let target = fill_text(target, &self.bound)?;
        let token = token.map(|name| self.bound.text(name)).transpose()?;
        let bearer = token.map(|token| format!("Bearer {token}"));
        let reply = if target.starts_with("/douyin/") {
            let glue = if target.contains('?') { '&' } else { '?' };
            let token = bearer.as_deref().map_or("", |bearer| &bearer["Bearer ".len()..]);
            self.world
                .request(method, &format!("{target}{glue}token={token}"), &[], Vec::new())
        } else {
            let header = bearer.as_deref().map(|bearer| ("authorization", bearer));
            self.world.request(method, &target, header.as_slice(), Vec::new())
        };
        self.answer = Some(reply.json());
        Ok(())
    }
}

impl Connection {
    /// Answers in their order, durable events in theirs; ephemeral ones that are not written are passed over, since they
    /// may be merged or dropped.
    fn expect(&mut self, pattern: &Value, bound: &mut Bindings) -> Result<(), String> {
        loop {
            let frame = if is_answer(pattern) {
                self.next(is_answer)
            } else {
                self.next(|frame| !is_answer(frame))
            };
            // What is bound in a comparison that fails must not stay.
            let mut attempt = bound.clone();
            match matches(pattern, &frame, &mut attempt) {
                Ok(()) => {
                    *bound = attempt;
                    return Ok(());
                }
                Err(_) if is_ephemeral(&frame) => {}
                Err(why) => return Err(format!("{why}\n  came: {frame}")),
            }
        }
    }

    fn next(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let kept = if wanted(&json!({"id": "1"})) {
            &mut self.answers
        } else {
            &mut self.events
        };
        if let Some(frame) = kept.pop_front() {
            return frame;
        }
        loop {
            let frame = self.socket.frame();
            if wanted(&frame) {
                return frame;
            }
            let other = if is_answer(&frame) {
                &mut self.answers
            } else {
                &mut self.events
            };
            other.push_back(frame);
        }
    }
}

fn is_answer(frame: &Value) -> bool {
    frame.get("id").is_some()
}

/// By the protocol's own rule: no answer, no `seq`, and none of the three that order a connection's start.
fn is_ephemeral(frame: &Value) -> bool {
    let structural = matches!(frame["t"].as_str(), Some("welcome" | "synced" | "gap"));
    !is_answer(frame) && frame.get("seq").is_none() && !structural
}
