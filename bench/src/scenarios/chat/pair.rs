//! Two users and their conversation: what was sent, acknowledged and received, and what that says of each event.
//!
//! Owns the checks. Never measures by itself: a seat does.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::accounts::{Account, PATIENCE};
use crate::crew::Seat;
use crate::failure::Failure;
use crate::http::Target;
use crate::socket::{Event, Position, Session};
use crate::stats::Window;

/// Bytes of a message.
const LENGTH: usize = 64;
/// Messages of a page of history, the most that there are.
const PAGE: usize = 100;
const ACK: usize = 0;
/// The lane of what the reader gets.
pub const RECEIVE: usize = 1;

/// A message on its way.
struct Sent {
    number: u64,
    due: Instant,
    is_acknowledged: bool,
    is_received: bool,
}

/// Two users and what they know of their conversation. Messages have numbers from 1.
pub struct Pair {
    /// Tells the messages of this run from those of others.
    run: u32,
    author: Arc<Account>,
    pub reader: Arc<Account>,
    author_at: Option<Position>,
    reader_at: Option<Position>,
    /// An open loop's interval, and where in it this pair's turn is.
    pub pace: Option<(Duration, Duration)>,
    rng: ChaCha8Rng,
    pub sent: u64,
    pub acknowledged: u64,
    in_flight: VecDeque<Sent>,
    /// Sent in a round that ended before the ack: it may be there or not.
    unknown: BTreeSet<u64>,
    /// Acknowledged and not received yet.
    missing: BTreeSet<u64>,
    /// The last message that the author's own stream had, and the last one that the reader's had.
    echoed: u64,
    received: u64,
    last_id: i64,
}

struct Line {
    author: Session,
    reader: Session,
}

impl Pair {
    /// Two who have not met in this run.
    pub fn new(run: u32, author: Arc<Account>, reader: Arc<Account>, rng: ChaCha8Rng) -> Self {
        Self {
            run,
            author,
            reader,
            author_at: None,
            reader_at: None,
            pace: None,
            rng,
            sent: 0,
            acknowledged: 0,
            in_flight: VecDeque::new(),
            unknown: BTreeSet::new(),
            missing: BTreeSet::new(),
            echoed: 0,
            received: 0,
            last_id: 0,
        }
    }

    async fn open(&mut self, target: &Target) -> Result<Line, Failure> {
        Ok(Line {
            author: Session::open(target, Some(&self.author), self.author_at.clone()).await?,
            reader: Session::open(target, Some(&self.reader), self.reader_at.clone()).await?,
        })
    }

    fn keep(&mut self, line: &Line) {
        self.author_at.clone_from(&line.author.position);
        self.reader_at.clone_from(&line.reader.position);
    }

    /// One round.
    pub async fn chat(&mut self, target: &Target, seat: &Seat) -> Result<(), Failure> {
        let mut line = seat.enter(self.open(target)).await?;
        let window = seat.ready().await;
        let result = self.turn(&mut line, seat, &window).await;
        self.keep(&line);
        result
    }

    async fn turn(&mut self, line: &mut Line, seat: &Seat, window: &Window) -> Result<(), Failure> {
        let mut due = Instant::now() + self.pace.map_or(Duration::ZERO, |(_, phase)| phase);
        let cutoff = tokio::time::sleep_until(window.cutoff().into());
        tokio::pin!(cutoff);
        loop {
            let is_free = self.pace.is_some() || self.in_flight.is_empty();
            let now = Instant::now();
            if self.pace.is_none() && is_free {
                due = now;
            }
            let is_on = due < window.end;
            if is_on && is_free && now >= due {
                self.send(&mut line.author, due).await?;
                due += self.pace.map_or(Duration::ZERO, |(interval, _)| interval);
                continue;
            }
            if !is_on && self.in_flight.is_empty() {
                return Ok(());
            }
            tokio::select! {
                event = line.author.next() => {
                    let (event, at) = event?;
                    self.of_author(event, at, seat)?;
                }
                event = line.reader.next() => {
                    let (event, at) = event?;
                    self.of_reader(&event, at, seat)?;
                }
                () = seat.pacer().until(due), if is_on && is_free => {}
                () = &mut cutoff => {
                    for sent in &self.in_flight {
                        for (lane, is_done) in [(ACK, sent.is_acknowledged), (RECEIVE, sent.is_received)] {
                            if !is_done {
                                seat.unanswered(lane, sent.due);
                            }
                        }
                    }
                    return Ok(());
                }
            }
        }
    }

    async fn send(&mut self, author: &mut Session, due: Instant) -> Result<(), Failure> {
        self.sent += 1;
        let (number, key): (_, u128) = (self.sent, self.rng.random());
        let request = format!(
            "{{\"t\":\"message.send\",\"id\":\"{number}\",\"d\":{{\"to_user_id\":{},\"content\":\"{}\",\"key\":\"{key:032x}\"}}}}",
            self.reader.id,
            text(self.run, number)
        );
        self.in_flight.push_back(Sent {
            number,
            due,
            is_acknowledged: false,
            is_received: false,
        });
        author.send(&request).await
    }

    fn of_author(&mut self, event: Event, at: Instant, seat: &Seat) -> Result<(), Failure> {
        if let Some(number) = event.answers() {
            let event = event.ok()?;
            let Some(id) = event.d.message_id.filter(|id| *id > self.last_id) else {
                return Err(Failure::Untrue(format!(
                    "message {number} has the id {:?} after {}",
                    event.d.message_id, self.last_id
                )));
            };
            self.last_id = id;
            let Some(message) = self.in_flight.iter_mut().find(|sent| sent.number == number) else {
                return Err(Failure::Untrue(format!("message {number} was acknowledged twice")));
            };
            if std::mem::replace(&mut message.is_acknowledged, true) {
                return Err(Failure::Untrue(format!("message {number} was acknowledged twice")));
            }
            self.acknowledged += 1;
            let due = message.due;
            if !message.is_received {
                self.missing.insert(number);
            }
            seat.success(ACK, self.at(at, due), due, at);
            self.retire();
            return Ok(());
        }
        if let Some(number) = self.message(&event)? {
            self.echoed = self.follows(self.echoed, number)?;
        }
        Ok(())
    }

    fn of_reader(&mut self, event: &Event, at: Instant, seat: &Seat) -> Result<(), Failure> {
        let Some(number) = self.message(event)? else {
            return Ok(());
        };
        self.received = self.follows(self.received, number)?;
        self.missing.remove(&number);
        if let Some(sent) = self.in_flight.iter_mut().find(|sent| sent.number == number) {
            sent.is_received = true;
            let due = sent.due;
            seat.success(RECEIVE, self.at(at, due), due, at);
        }
        self.retire();
        Ok(())
    }

    /// What decides whether an operation lies in the window.
    fn at(&self, done: Instant, due: Instant) -> Instant {
        if self.pace.is_some() { due } else { done }
    }

    fn retire(&mut self) {
        while self
            .in_flight
            .front()
            .is_some_and(|sent| sent.is_acknowledged && sent.is_received)
        {
            self.in_flight.pop_front();
        }
    }

    /// The number of a message of this pair and run, whose text must be the one that was sent.
    fn message(&self, event: &Event) -> Result<Option<u64>, Failure> {
        let (Some(content), "message.new") = (&event.d.content, event.t.as_str()) else {
            return Ok(None);
        };
        if (event.d.from_user_id, event.d.to_user_id) != (Some(self.author.id), Some(self.reader.id)) {
            return Err(Failure::Untrue(format!(
                "a message from {:?} to {:?} among those of {} to {}",
                event.d.from_user_id, event.d.to_user_id, self.author.id, self.reader.id
            )));
        }
        let number = number(self.run, content);
        match number.filter(|number| *number <= self.sent) {
            Some(number) => Ok(Some(number)),
            None => Err(Failure::Untrue(format!("a message that nobody sent: {content:?}"))),
        }
    }

    /// Whether a message may come after another one: the next one, but for those that may not be there at all.
    fn follows(&self, last: u64, number: u64) -> Result<u64, Failure> {
        if number > last && (last + 1..number).all(|skipped| self.unknown.contains(&skipped)) {
            return Ok(number);
        }
        Err(Failure::Untrue(format!(
            "message {number} follows message {last} in the conversation of {} and {}",
            self.author.id, self.reader.id
        )))
    }

    /// Whatever was sent in the round that ended, and never acknowledged.
    pub fn give_up(&mut self) {
        let unknown = self.in_flight.drain(..).filter(|sent| !sent.is_acknowledged);
        self.unknown.extend(unknown.map(|sent| sent.number));
    }

    /// After all rounds: resumes, reads the history, and compares.
    pub async fn settle(&mut self, target: &Target) -> Result<(), Failure> {
        let mut line = self.open(target).await?;
        let result = self.replay(&mut line).await;
        self.keep(&line);
        result?;
        if !self.missing.is_empty() {
            return Err(Failure::Untrue(format!(
                "acknowledged and never received: {:?}",
                self.missing
            )));
        }
        let request = format!(
            "{{\"t\":\"message.history\",\"id\":\"1\",\"d\":{{\"with_user_id\":{},\"limit\":{PAGE}}}}}",
            self.author.id
        );
        let page = line.reader.ask(&request, 1, |_| Ok(())).await?;
        let texts = page.d.messages.iter().take(PAGE);
        let mut numbers: Vec<_> = texts
            .map_while(|message| number(self.run, &message.content).filter(|_| message.from_user_id == self.author.id))
            .collect();
        if (numbers.len() as u64) < self.acknowledged.min(PAGE as u64) {
            return Err(Failure::Untrue(format!(
                "the history has {} messages of {} acknowledged ones",
                numbers.len(),
                self.acknowledged
            )));
        }
        numbers.reverse();
        let mut last = numbers.first().map_or(0, |first| first.saturating_sub(1));
        for number in numbers {
            last = self.follows(last, number)?;
        }
        if last != self.received {
            return Err(Failure::Untrue(format!(
                "the history ends with message {last}, and message {} was received",
                self.received
            )));
        }
        Ok(())
    }

    /// Reads what both streams have missed.
    async fn replay(&mut self, line: &mut Line) -> Result<(), Failure> {
        if self.author_at.is_none() || self.reader_at.is_none() {
            return Err(Failure::Untrue("the pair never got a connection".to_owned()));
        }
        let reading = async {
            loop {
                let (event, _) = line.author.next().await?;
                if event.t == "synced" {
                    break;
                }
                if let Some(number) = self.message(&event)? {
                    self.echoed = self.follows(self.echoed, number)?;
                }
            }
            loop {
                let (event, _) = line.reader.next().await?;
                if event.t == "synced" {
                    break;
                }
                if let Some(number) = self.message(&event)? {
                    self.received = self.follows(self.received, number)?;
                    self.missing.remove(&number);
                }
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }
}

/// The text of a message: the run, its number, and letters up to the length.
fn text(run: u32, number: u64) -> String {
    format!("{:x<LENGTH$}", format!("{run:08x} {number:010} "))
}

/// The number of a text of this run.
fn number(run: u32, content: &str) -> Option<u64> {
    let number = content.get(9..19)?.parse().ok()?;
    (content == text(run, number)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::stream;

    #[test]
    fn texts_have_their_length_and_their_number() {
        assert_eq!(text(7, 12).len(), LENGTH);
        assert_eq!(number(7, &text(7, 12)), Some(12));
        assert_eq!(number(8, &text(7, 12)), None);
        assert_eq!(number(7, &text(7, 12).replace('x', "y")), None);
    }

    #[test]
    fn only_what_may_be_lost_is_skipped() {
        let account = |id| {
            Arc::new(Account {
                id,
                name: String::new(),
                token: String::new(),
                password: String::new(),
            })
        };
        let mut pair = Pair::new(1, account(1), account(2), stream(1, 0));
        assert_eq!(pair.follows(1, 2).unwrap(), 2);
        for wrong in [(1, 3), (2, 2), (2, 1)] {
            assert!(pair.follows(wrong.0, wrong.1).is_err(), "{wrong:?}");
        }
        pair.unknown.insert(2);
        assert_eq!(pair.follows(1, 3).unwrap(), 3);
    }
}
