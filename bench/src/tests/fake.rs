//! A small server in memory that speaks the contract, and lies about one thing when it is told to.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use super::fake_socket::{self, Chats};
use crate::http::Target;

/// Videos: two full pages and a short one.
const VIDEOS: i64 = 65;

/// What it is wrong about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    None,
    /// The profile of somebody else.
    OtherUser,
    /// The right id with a wrong name.
    WrongName,
    /// A list is null.
    NullList,
    /// A page in the middle is short from the start.
    ShortPage,
    /// A page gets short later on.
    ShorterPage,
    /// The order of a page changes later on.
    OtherOrder,
    /// `next_time` goes forward.
    TimeForward,
    /// A business error now and then.
    StatusCode,
    /// HTTP 500 now and then.
    ServerError,
    /// A body cut short now and then, with its right length.
    CutJson,
    /// Hangs up now and then.
    HangsUp,
    /// Acknowledges and forgets one like in twenty.
    Forgets,
    /// Counts one like in twenty twice.
    CountsTwice,
    /// Shows a count that never moves.
    FrozenCount,
    /// Shows nobody's own likes.
    NoFlags,
    /// Gives guests a flag.
    GuestFlag,
    /// Logs everybody in as user 1.
    OtherLogin,
    /// Has no socket.
    NoSocket,
    /// Has one and lets nobody in.
    RefusesSockets,
    /// Acknowledges messages that never arrive.
    LosesMessages,
    /// Swaps two messages now and then.
    SwapsMessages,
    /// Gives two events one number now and then.
    RepeatsNumbers,
    /// Delivers another text now and then.
    OtherText,
    /// Shows watchers one like too few.
    WrongCounters,
    /// Leaves a follower out when it tells of a publish.
    SkipsFollower,
    /// Tells a follower of a publish twice.
    TellsTwice,
    /// Tells of a publish under another title.
    OtherTitle,
    /// Tells followers half a second after each other, which is slow and no lie.
    TellsSlowly,
    /// Acknowledges publishes and keeps none.
    LosesPublishes,
}

#[derive(Default)]
pub struct State {
    pub chats: Chats,
    names: Vec<String>,
    pub likes: HashSet<(i64, i64)>,
    /// Who follows whom.
    pub follows: HashSet<(i64, i64)>,
    /// Videos that were published, by their author.
    works: HashMap<i64, i64>,
    extra: HashMap<i64, i64>,
    asked: u64,
    wishes: u64,
    pages: u64,
}

pub struct Fake {
    pub lie: Lie,
    pub state: Mutex<State>,
}

type Query = web::Query<HashMap<String, String>>;

/// A running fake; stopped by its handle.
pub fn start(lie: Lie) -> (Target, ServerHandle) {
    let fake = web::Data::new(Fake {
        lie,
        state: Mutex::new(State {
            // The first users like something before anybody looks.
            likes: HashSet::from([(1, 65), (1, 40), (2, 64)]),
            ..State::default()
        }),
    });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(fake.clone())
            .route("/ws", web::get().to(fake_socket::open))
            .route("/douyin/user/register/", web::post().to(register))
            .route("/douyin/user/login/", web::post().to(login))
            .route("/douyin/relation/friend/list/", web::get().to(friends))
            .route("/douyin/user/", web::get().to(user))
            .route("/douyin/feed/", web::get().to(feed))
            .route("/douyin/favorite/list/", web::get().to(liked))
            .route("/douyin/favorite/action/", web::post().to(favorite))
            .route("/douyin/relation/action/", web::post().to(follow))
            .route("/douyin/publish/action/", web::post().to(publish))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix::spawn(server);
    (Target::local(address), handle)
}

fn number(query: &Query, name: &str) -> i64 {
    query.get(name).and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn viewer(query: &Query) -> i64 {
    query
        .get("token")
        .and_then(|token| token.strip_prefix("t-")?.parse().ok())
        .unwrap_or_default()
}

fn refused() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status_code": 7, "status_msg": "no", "token": ""}))
}

async fn register(fake: web::Data<Fake>, query: Query) -> HttpResponse {
    let mut state = fake.state.lock().unwrap();
    let name = query["username"].clone();
    if state.names.contains(&name) {
        return refused();
    }
    state.names.push(name);
    let id = state.names.len();
    HttpResponse::Ok().json(json!({"status_code": 0, "user_id": id, "token": format!("t-{id}")}))
}

async fn login(fake: web::Data<Fake>, query: Query) -> HttpResponse {
    let state = fake.state.lock().unwrap();
    let Some(at) = state.names.iter().position(|name| *name == query["username"]) else {
        return refused();
    };
    let id = if fake.lie == Lie::OtherLogin { 1 } else { at + 1 };
    HttpResponse::Ok().json(json!({"status_code": 0, "user_id": id, "token": format!("t-{id}")}))
}

async fn friends(query: Query) -> HttpResponse {
    if viewer(&query) == 0 {
        refused()
    } else {
        HttpResponse::Ok().json(json!({"status_code": 0, "user_list": []}))
    }
}

fn profile(id: i64, name: &str) -> Value {
    json!({"id": id, "name": name, "follow_count": 0, "follower_count": 0, "is_follow": false, "avatar": "",
        "background_image": "", "signature": "", "total_favorited": 0, "work_count": 0, "favorite_count": 0})
}

/// What goes wrong now and then, whatever was asked.
fn troubled(fake: &Fake, answer: &Value) -> HttpResponse {
    let mut state = fake.state.lock().unwrap();
    state.asked += 1;
    let text = answer.to_string();
    if !state.asked.is_multiple_of(20) {
        return HttpResponse::Ok().body(text);
    }
    match fake.lie {
        Lie::StatusCode => refused(),
        Lie::ServerError => HttpResponse::InternalServerError().body("<html>oops</html>"),
        Lie::CutJson => HttpResponse::Ok().body(text[..text.len() - 3].to_owned()),
        // A length that never comes: the connection breaks.
        Lie::HangsUp => HttpResponse::Ok()
            .no_chunking(10_000)
            .streaming(futures_util::stream::once(async move {
                Err::<web::Bytes, _>(std::io::Error::other("hangs up"))
            })),
        _ => HttpResponse::Ok().body(text),
    }
}

async fn user(fake: web::Data<Fake>, query: Query) -> HttpResponse {
    let id = number(&query, "user_id");
    let (name, works) = {
        let state = fake.state.lock().unwrap();
        let name = usize::try_from(id - 1).ok().and_then(|at| state.names.get(at).cloned());
        (name, state.works.get(&id).copied().unwrap_or_default())
    };
    let Some(name) = name else { return refused() };
    let mut shown = match fake.lie {
        Lie::OtherUser => profile(id + 1, &name),
        Lie::WrongName => profile(id, "somebody"),
        _ => profile(id, &name),
    };
    shown["work_count"] = works.into();
    troubled(&fake, &json!({"status_code": 0, "user": shown}))
}

async fn feed(fake: web::Data<Fake>, query: Query) -> HttpResponse {
    let (viewer, latest) = (viewer(&query), number(&query, "latest_time"));
    let answer = page(&fake, viewer, latest);
    troubled(&fake, &answer)
}

fn video(lie: Lie, state: &State, viewer: i64, id: i64) -> Value {
    let count = state.likes.iter().filter(|(_, video)| *video == id).count();
    let mut count = i64::try_from(count).unwrap() + state.extra.get(&id).copied().unwrap_or_default();
    let mut liked = state.likes.contains(&(viewer, id));
    match lie {
        Lie::FrozenCount => count = 5,
        Lie::NoFlags => liked = false,
        Lie::GuestFlag if viewer == 0 => (count, liked) = (count + 1, true),
        _ => {}
    }
    json!({"id": id, "author": profile(1_000, "author"), "play_url": "http://h/v", "cover_url": "http://h/c",
        "favorite_count": count, "comment_count": 0, "is_favorite": liked, "title": ""})
}

fn page(fake: &Fake, viewer: i64, latest: i64) -> Value {
    let mut state = fake.state.lock().unwrap();
    state.pages += 1;
    let later = state.pages > 12;
    let top = match latest {
        0 => VIDEOS,
        _ if fake.lie == Lie::TimeForward => 2_000_099 - latest,
        _ => latest - 1_000_001,
    };
    let length = match fake.lie {
        Lie::ShortPage if (31..=60).contains(&top) => 29,
        Lie::ShorterPage if later => 29,
        _ => 30,
    };
    let mut ids: Vec<_> = (1..=top).rev().take(length).collect();
    let last = ids.last().copied();
    if fake.lie == Lie::OtherOrder && later && ids.len() > 1 {
        ids.swap(0, 1);
    }
    let shown: Vec<_> = ids.into_iter().map(|id| video(fake.lie, &state, viewer, id)).collect();
    let mut next_time = last.map_or(1_000_000 + VIDEOS + 1, |id| 1_000_000 + id);
    if fake.lie == Lie::TimeForward {
        next_time = 2_000_100 - last.unwrap_or_default();
    }
    let shown = if fake.lie == Lie::NullList {
        Value::Null
    } else {
        shown.into()
    };
    json!({"status_code": 0, "video_list": shown, "next_time": next_time})
}

async fn liked(fake: web::Data<Fake>, query: Query) -> HttpResponse {
    let (state, user) = (fake.state.lock().unwrap(), number(&query, "user_id"));
    let videos = state.likes.iter().filter(|(of, _)| *of == user);
    let list: Vec<_> = videos
        .map(|(_, id)| video(Lie::None, &state, viewer(&query), *id))
        .collect();
    HttpResponse::Ok().json(json!({"status_code": 0, "video_list": list}))
}

async fn follow(fake: web::Data<Fake>, query: Query) -> HttpResponse {
    let pair = (viewer(&query), number(&query, "to_user_id"));
    if pair.0 == 0 || pair.0 == pair.1 || number(&query, "action_type") != 1 {
        return refused();
    }
    fake.state.lock().unwrap().follows.insert(pair);
    HttpResponse::Ok().json(json!({"status_code": 0}))
}

/// A field of a form of parts.
fn part<'a>(form: &'a str, name: &str) -> &'a str {
    let (_, rest) = form.split_once(&format!("name=\"{name}\"\r\n\r\n")).unwrap();
    rest.split_once("\r\n").unwrap().0
}

async fn publish(fake: web::Data<Fake>, form: web::Bytes) -> HttpResponse {
    let form = String::from_utf8_lossy(&form);
    assert!(form.contains("filename=") && form.contains("ftypisom"), "a clip");
    let author = part(&form, "token").strip_prefix("t-").unwrap().parse().unwrap();
    let mut state = fake.state.lock().unwrap();
    if fake.lie != Lie::LosesPublishes {
        *state.works.entry(author).or_default() += 1;
    }
    let followers = state.follows.iter().filter(|(_, of)| *of == author);
    let followers = followers.map(|(follower, _)| *follower).collect();
    let title = part(&form, "title");
    state.chats.published(fake.lie, author, title, &followers);
    HttpResponse::Ok().json(json!({"status_code": 0}))
}

async fn favorite(fake: web::Data<Fake>, query: Query) -> HttpResponse {
    let (pair, on) = (
        (viewer(&query), number(&query, "video_id")),
        number(&query, "action_type") == 1,
    );
    if pair.0 == 0 {
        return refused();
    }
    {
        let mut state = fake.state.lock().unwrap();
        // Counted apart from other requests: writes come in step with reads, and could miss every moment of theirs.
        state.wishes += 1;
        let moment = state.wishes % 4 == 2;
        if !(fake.lie == Lie::Forgets && moment) {
            if on {
                state.likes.insert(pair);
            } else {
                state.likes.remove(&pair);
            }
        }
        if fake.lie == Lie::CountsTwice && moment {
            *state.extra.entry(pair.1).or_default() += 1;
        }
    }
    troubled(&fake, &json!({"status_code": 0}))
}
