//! The transcripts in `docs/protocol.md` happen exactly as they are written.
//!
//! The format is defined in the book's section "Transcripts", and [`script`] reads it. This file plays what was read
//! against a real server: requests go out, and every answer and event must be the one that is written, no more and no
//! less. The comparison itself is [`pattern`]'s.

mod pattern;
mod script;

use std::collections::BTreeMap;

use serde_json::Value;

use self::pattern::{Bindings, fill, fill_text, matches};
use self::script::{Step, Transcript};
use crate::harness::clip::{CLIP, Multipart};
use crate::harness::{Kind, Socket, World, on_both_stores};

on_both_stores!(the_books_transcripts_happen, a_transcript_that_is_not_so_is_found);

/// The book.
pub const BOOK: &str = include_str!("../../docs/protocol.md");

fn the_books_transcripts_happen(kind: Kind) {
    let transcripts = script::read(BOOK).unwrap_or_else(|error| panic!("docs/protocol.md: {error}"));
    assert!(!transcripts.is_empty(), "the book has transcripts");
    for transcript in transcripts {
        let world = World::new(kind);
        let played = Player::new(&world).play(&transcript);
        played.unwrap_or_else(|why| panic!("docs/protocol.md, {why}"));
    }
}

/// What is true passes, and each way of being wrong is found with its line.
fn a_transcript_that_is_not_so_is_found(kind: Kind) {
    const TRUE: [&str; 4] = [
        "R> POST /douyin/user/register/?username=ann&password=123456",
        r#"R< {"status_code":0,"status_msg":"","user_id":<id:ann>,"token":"<token:ann>"}"#,
        "R> POST /douyin/relation/action/?to_user_id=<id:ann>&action_type=1 as <token:ann>",
        r#"R< {"status_code":<count>,"status_msg":"<text>"}"#,
    ];
    let play = |lines: [&str; 4]| {
        let book = format!("```transcript\n{}\n```\n", lines.join("\n"));
        let transcripts = script::read(&book).unwrap();
        Player::new(&World::new(kind)).play(&transcripts[0])
    };
    play(TRUE).unwrap();
    for (line, wrong, place) in [
        (
            1,
            r#"R< {"status_code":0,"status_msg":"","user_id":<id:ann>}"#,
            "line 3: ",
        ),
        (2, "R> GET /douyin/user/?user_id=<id:ben> as <token:ann>", "line 4: "),
        (3, r#"R< {"status_code":0,"status_msg":"<text>"}"#, "line 5: "),
        (3, "# nothing", "the last answer"),
    ] {
        let mut lines = TRUE;
        lines[line] = wrong;
        let why = play(lines).unwrap_err();
        assert!(why.starts_with(place), "{wrong}: {why}");
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
    /// What came while something of another sort was waited for.
    kept: Vec<Value>,
}

/// Each sort comes in its own order; between them none is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// Has an `id`.
    Answer,
    /// Has a `seq`, or says how a stream begins.
    Durable,
    /// Everything else; may be merged or dropped.
    Ephemeral,
}

fn sort(frame: &Value) -> Sort {
    if frame.get("id").is_some() {
        Sort::Answer
    } else if frame.get("seq").is_some() || matches!(frame["t"].as_str(), Some("synced" | "gap")) {
        Sort::Durable
    } else {
        Sort::Ephemeral
    }
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

    fn play(&mut self, transcript: &Transcript) -> Result<(), String> {
        for (line, step) in &transcript.steps {
            self.step(step).map_err(|why| format!("line {line}: {why}"))?;
        }
        for (name, mut connection) in std::mem::take(&mut self.connections) {
            let mut left = connection.socket.so_far();
            left.append(&mut connection.kept);
            left.retain(|frame| sort(frame) != Sort::Ephemeral);
            if !left.is_empty() {
                return Err(format!("connection {name} has more than is written: {left:?}"));
            }
        }
        match self.answer.take() {
            Some(answer) => Err(format!("the last answer is not written: {answer}")),
            None => Ok(()),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Call { method, target, token } => self.call(method, target, token.as_deref()),
            Step::Upload { target, token } => self.upload(target, token),
            Step::Answer(pattern) => {
                let answer = self.answer.take().ok_or("nothing was asked")?;
                matches(pattern, &answer, &mut self.bound)
            }
            Step::Open(name) => {
                let socket = Socket::connect(self.world);
                let kept = Vec::new();
                self.connections.insert(*name, Connection { socket, kept });
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

    fn upload(&mut self, target: &str, token: &str) -> Result<(), String> {
        let body = Multipart::default()
            .field("token", &self.bound.text(token)?)
            .field("title", "clip")
            .file(CLIP);
        let kind = Multipart::content_type();
        let reply = self
            .world
            .request("POST", target, &[("content-type", &kind)], body.end());
        self.answer = Some(reply.json());
        Ok(())
    }
}

impl Connection {
    /// Ephemeral events that are not written are passed over.
    fn expect(&mut self, pattern: &Value, bound: &mut Bindings) -> Result<(), String> {
        loop {
            let frame = self.next(sort(pattern));
            // What is bound in a comparison that fails must not stay.
            let mut attempt = bound.clone();
            match matches(pattern, &frame, &mut attempt) {
                Ok(()) => {
                    *bound = attempt;
                    return Ok(());
                }
                Err(_) if sort(&frame) == Sort::Ephemeral => {}
                Err(why) => return Err(format!("{why}\n  came: {frame}")),
            }
        }
    }

    fn next(&mut self, wanted: Sort) -> Value {
        if let Some(at) = self.kept.iter().position(|frame| sort(frame) == wanted) {
            return self.kept.remove(at);
        }
        loop {
            let frame = self.socket.frame();
            if sort(&frame) == wanted {
                return frame;
            }
            self.kept.push(frame);
        }
    }
}

#[test]
fn the_books_transcripts_can_be_read() {
    let transcripts = script::read(BOOK).unwrap();
    let steps: usize = transcripts.iter().map(|transcript| transcript.steps.len()).sum();
    assert!(transcripts.len() >= 4 && steps > 80, "{} {steps}", transcripts.len());
}
