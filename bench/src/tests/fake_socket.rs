//! The socket of the small server: chat and live counters, and what it may be wrong about there.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use actix::{Actor, ActorContext as _, Addr, AsyncContext as _, Handler, StreamHandler};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use serde_json::{Value, json};

use super::fake::{Fake, Lie};

/// One in so many messages is lied about.
const EVERY: usize = 5;

/// What the sockets know.
#[derive(Default)]
pub struct Chats {
    lines: Vec<(i64, Addr<Line>)>,
    /// Durable events of each user, without their numbers.
    events: HashMap<i64, Vec<Value>>,
    /// From, to, text.
    messages: Vec<(i64, i64, String)>,
    /// An event that waits to be swapped with the next one.
    held: HashMap<i64, Value>,
    /// Who asked for news of the feed.
    listeners: Vec<(i64, Addr<Line>)>,
    published: usize,
}

/// A connection.
pub struct Line {
    fake: web::Data<Fake>,
    user: i64,
    watches: Option<(i64, i64)>,
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Push(String);

#[derive(actix::Message)]
#[rtype(result = "()")]
struct PushLater(String, Duration);

/// Opens one.
pub async fn open(
    fake: web::Data<Fake>,
    request: HttpRequest,
    stream: web::Payload,
) -> actix_web::Result<HttpResponse> {
    match fake.lie {
        Lie::NoSocket => Ok(HttpResponse::NotFound().finish()),
        Lie::RefusesSockets => Ok(HttpResponse::TooManyRequests().finish()),
        _ => {
            let line = Line {
                fake,
                user: 0,
                watches: None,
            };
            ws::start(line, &request, stream)
        }
    }
}

impl Actor for Line {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(Duration::from_millis(120), |line, context| {
            let Some((video, shown)) = line.watches else { return };
            let count = line.count(video);
            if count != shown {
                line.watches = Some((video, count));
                let d = json!({"video_id": video, "favorite_count": count, "comment_count": 0});
                context.text(json!({"t": "video.counters", "d": d}).to_string());
            }
        });
    }
}

impl Handler<Push> for Line {
    type Result = ();

    fn handle(&mut self, Push(text): Push, context: &mut Self::Context) {
        context.text(text);
    }
}

impl Handler<PushLater> for Line {
    type Result = ();

    fn handle(&mut self, PushLater(text, after): PushLater, context: &mut Self::Context) {
        context.run_later(after, |_, context| context.text(text));
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Line {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, context: &mut Self::Context) {
        let Ok(ws::Message::Text(text)) = message else {
            context.stop();
            return;
        };
        let request: Value = serde_json::from_str(&text).unwrap();
        let (id, d) = (request["id"].clone(), &request["d"]);
        let ack = match request["t"].as_str().unwrap() {
            "hello" => return self.hello(&id, d, context),
            "message.send" => self.send(d),
            "message.history" => self.history(d["with_user_id"].as_i64().unwrap()),
            "video.watch" => {
                let video = d["video_id"].as_i64().unwrap();
                let count = self.count(video);
                self.watches = Some((video, count));
                json!({"video_id": video, "favorite_count": count, "comment_count": 0, "viewers": 1})
            }
            "feed.watch" => {
                let mut state = self.fake.state.lock().unwrap();
                state.chats.listeners.push((self.user, context.address()));
                json!({"newer": 0})
            }
            other => panic!("{other}"),
        };
        context.text(json!({"t": "ack", "id": id, "d": ack}).to_string());
    }
}

impl Line {
    fn count(&self, video: i64) -> i64 {
        let state = self.fake.state.lock().unwrap();
        let likes = state.likes.iter().filter(|(_, of)| *of == video).count();
        i64::try_from(likes).unwrap() - i64::from(self.fake.lie == Lie::WrongCounters)
    }

    fn hello(&mut self, id: &Value, d: &Value, context: &mut ws::WebsocketContext<Self>) {
        let token = d["token"].as_str().and_then(|token| token.strip_prefix("t-"));
        let Some(user) = token.and_then(|user| user.parse().ok()) else {
            context.text(json!({"t": "welcome", "id": id, "d": {}}).to_string());
            return;
        };
        self.user = user;
        let mut state = self.fake.state.lock().unwrap();
        state.chats.lines.push((user, context.address()));
        let events = state.chats.events.entry(user).or_default();
        let d_out = json!({"user_id": user, "epoch": "e", "seq": events.len()});
        context.text(json!({"t": "welcome", "id": id, "d": d_out}).to_string());
        if let Some(seen) = d["resume"]["seq"].as_u64() {
            for (seq, event) in (1_u64..).zip(events.iter()).filter(|(seq, _)| *seq > seen) {
                context.text(numbered(event, seq));
            }
            context.text(json!({"t": "synced", "d": {"seq": events.len()}}).to_string());
        }
    }

    fn send(&mut self, d: &Value) -> Value {
        let mut state = self.fake.state.lock().unwrap();
        let (lie, chats) = (self.fake.lie, &mut state.chats);
        let (to, content) = (d["to_user_id"].as_i64().unwrap(), d["content"].as_str().unwrap());
        chats.messages.push((self.user, to, content.to_owned()));
        let id = chats.messages.len();
        let event = json!({"t": "message.new", "d": {"message_id": id, "from_user_id": self.user, "to_user_id": to,
            "content": content}});
        let is_chosen = id.is_multiple_of(EVERY);
        chats.tell(self.user, event.clone(), false);
        match lie {
            Lie::LosesMessages if is_chosen => {}
            Lie::RepeatsNumbers if is_chosen => chats.tell(to, event, true),
            Lie::SwapsMessages if is_chosen && !chats.held.contains_key(&to) => {
                chats.held.insert(to, event);
            }
            Lie::OtherText if is_chosen => {
                let mut event = event;
                event["d"]["content"] = "something else".into();
                chats.tell(to, event, false);
            }
            _ => {
                chats.tell(to, event, false);
                if let Some(held) = chats.held.remove(&to) {
                    chats.tell(to, held, false);
                }
            }
        }
        json!({"message_id": id, "create_time": id})
    }

    fn history(&self, with: i64) -> Value {
        let state = self.fake.state.lock().unwrap();
        let messages = (1..).zip(&state.chats.messages);
        let mut page: Vec<_> = messages
            .filter(|(_, (from, to, _))| [(self.user, with), (with, self.user)].contains(&(*from, *to)))
            .map(|(id, (from, to, content)): (i64, _)| {
                json!({"id": id, "from_user_id": from, "to_user_id": to, "content": content, "create_time": id})
            })
            .collect();
        page.reverse();
        page.truncate(100);
        json!({"messages": page, "unread": 0})
    }
}

impl Chats {
    /// Tells followers of a publish, wrongly now and then where it is to lie.
    pub fn published(&mut self, lie: Lie, author: i64, title: &str, followers: &HashSet<i64>) {
        self.published += 1;
        let is_chosen = self.published.is_multiple_of(EVERY);
        let title = match lie {
            Lie::OtherTitle if is_chosen => "something else",
            _ => title,
        };
        let video = json!({"id": self.published, "author_id": author, "title": title, "publish_time": 1});
        let text = json!({"t": "feed.new", "d": {"video": video}}).to_string();
        self.listeners.retain(|(_, line)| line.connected());
        let mut lines = self.listeners.iter().filter(|(user, _)| followers.contains(user));
        match lie {
            Lie::SkipsFollower if is_chosen => drop(lines.next()),
            Lie::TellsTwice if is_chosen => {
                if let Some((_, line)) = self.listeners.last() {
                    line.do_send(Push(text.clone()));
                }
            }
            _ => {}
        }
        for (at, (_, line)) in (1..).zip(lines) {
            if lie == Lie::TellsSlowly {
                line.do_send(PushLater(text.clone(), at * Duration::from_millis(500)));
            } else {
                line.do_send(Push(text.clone()));
            }
        }
    }

    fn tell(&mut self, user: i64, event: Value, repeats: bool) {
        let events = self.events.entry(user).or_default();
        events.push(event);
        let seq = events.len() as u64 - u64::from(repeats);
        let text = numbered(&events[events.len() - 1], seq);
        for (_, line) in self.lines.iter().filter(|(of, _)| *of == user) {
            line.do_send(Push(text.clone()));
        }
    }
}

fn numbered(event: &Value, seq: u64) -> String {
    let mut event = event.clone();
    event["seq"] = seq.into();
    event.to_string()
}
