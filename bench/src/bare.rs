//! The bare server: the least that the same libraries can do, to measure others against.
//!
//! Owns six answers: a JSON of 110 bytes, an empty POST, a feed of thirty that is serialised for every request, a socket
//! that echoes, one whose texts all others get and one that only answers pings. No store, no token, no log. Runs as a child process of the bench, on
//! loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use actix::{Actor, ActorContext as _, AsyncContext as _, StreamHandler};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use actix_web_actors::ws;
use anyhow::Context as _;
use serde::Serialize;

/// Where the short JSON is.
pub const GET: &str = "/get";
/// Where the empty POST is.
pub const POST: &str = "/post";
/// Where the feed is.
pub const FEED: &str = "/feed";
/// Where the echo is.
pub const ECHO: &str = "/echo";
/// Where the idle socket is.
pub const IDLE: &str = "/idle";

/// Where the socket is whose texts all others get.
pub const FAN: &str = "/fan";

/// 110 bytes.
pub const SHORT: &str = "{\"status_code\":0,\"status_msg\":\"\",\"pad\":\"00123456789012345678901234567890123456789012345678901234567890123456\"}";

/// Bytes of a feed whose texts are short, and the most that one is made long.
const SMALLEST: usize = 11_600;
const SIZE_MAX: usize = 1 << 20;

/// A user of the feed.
#[derive(Serialize)]
struct User {
    id: i64,
    name: &'static str,
    follow_count: i64,
    follower_count: i64,
    is_follow: bool,
    avatar: String,
    background_image: String,
    signature: String,
    total_favorited: i64,
    work_count: i64,
    favorite_count: i64,
}

#[derive(Serialize)]
struct Video {
    id: i64,
    author: User,
    play_url: String,
    cover_url: String,
    favorite_count: i64,
    comment_count: i64,
    is_favorite: bool,
    title: String,
}

#[derive(Serialize)]
struct Feed {
    status_code: i64,
    status_msg: &'static str,
    video_list: Vec<Video>,
    next_time: i64,
}

impl Feed {
    /// Thirty videos that take about so many bytes together, at least 11,600: what lacks is spread over the texts.
    fn of_size(bytes: usize) -> Self {
        let lacking = bytes.min(SIZE_MAX).saturating_sub(SMALLEST) / (30 * 6);
        let more = "x".repeat(lacking);
        let picture = more
            .get("http://".len()..)
            .map_or(String::new(), |rest| format!("http://{rest}"));
        let video = |id: i64| Video {
            id,
            author: User {
                id: id + 1_000,
                name: "user1000",
                follow_count: 5,
                follower_count: 20,
                is_follow: false,
                avatar: picture.clone(),
                background_image: picture.clone(),
                signature: more.clone(),
                total_favorited: 100,
                work_count: 1,
                favorite_count: 10,
            },
            play_url: format!("http://127.0.0.1:8080/v/{id:08x}{more}.mp4"),
            cover_url: format!("http://127.0.0.1:8080/c/{id:08x}{more}.jpg"),
            favorite_count: 100,
            comment_count: 10,
            is_favorite: false,
            title: more.clone(),
        };
        Self {
            status_code: 0,
            status_msg: "",
            video_list: (1..=30).map(video).collect(),
            next_time: 1_700_000_000_123,
        }
    }
}

/// A socket that sends back what it gets.
struct Echo;

impl Actor for Echo {
    type Context = ws::WebsocketContext<Self>;
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Echo {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, context: &mut Self::Context) {
        match message {
            Ok(ws::Message::Text(text)) => context.text(text),
            Ok(ws::Message::Binary(bytes)) => context.binary(bytes),
            Ok(ws::Message::Ping(payload)) => context.pong(&payload),
            Ok(ws::Message::Pong(_) | ws::Message::Continuation(_) | ws::Message::Nop) => {}
            Ok(ws::Message::Close(_)) | Err(_) => context.stop(),
        }
    }
}

/// A socket that does nothing but stay.
struct Idle;

impl Actor for Idle {
    type Context = ws::WebsocketContext<Self>;
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Idle {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, context: &mut Self::Context) {
        match message {
            Ok(ws::Message::Ping(payload)) => context.pong(&payload),
            Ok(ws::Message::Close(_)) | Err(_) => context.stop(),
            Ok(_) => {}
        }
    }
}

/// A text for everybody.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Said(bytestring::ByteString);

/// Everybody who is there.
type Hall = std::sync::Arc<std::sync::Mutex<Vec<actix::Addr<Fan>>>>;

/// A socket whose texts all others get.
struct Fan(Hall);

impl Fan {
    fn hall(&self) -> std::sync::MutexGuard<'_, Vec<actix::Addr<Self>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Actor for Fan {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.hall().push(context.address());
    }

    fn stopped(&mut self, context: &mut Self::Context) {
        let own = context.address();
        self.hall().retain(|address| *address != own);
    }
}

impl actix::Handler<Said> for Fan {
    type Result = ();

    fn handle(&mut self, Said(text): Said, context: &mut Self::Context) {
        context.text(text);
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Fan {
    fn handle(&mut self, message: Result<ws::Message, ws::ProtocolError>, context: &mut Self::Context) {
        match message {
            Ok(ws::Message::Text(text)) => {
                for address in self.hall().iter() {
                    address.do_send(Said(text.clone()));
                }
            }
            Ok(ws::Message::Ping(payload)) => context.pong(&payload),
            Ok(ws::Message::Close(_)) | Err(_) => context.stop(),
            Ok(_) => {}
        }
    }
}

async fn fan(hall: web::Data<Hall>, request: HttpRequest, stream: web::Payload) -> actix_web::Result<HttpResponse> {
    ws::start(Fan(Hall::clone(&hall)), &request, stream)
}

async fn short() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(SHORT)
}

/// The feeds of the sizes that were asked for.
type Feeds = std::sync::Mutex<std::collections::BTreeMap<usize, std::sync::Arc<Feed>>>;

/// `GET /feed?BYTES`.
async fn feed(feeds: web::Data<Feeds>, request: HttpRequest) -> HttpResponse {
    let size = request.query_string().parse().unwrap_or(SMALLEST).min(SIZE_MAX);
    let feed = {
        let mut feeds = feeds.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let feed = feeds
            .entry(size)
            .or_insert_with(|| std::sync::Arc::new(Feed::of_size(size)));
        std::sync::Arc::clone(feed)
    };
    HttpResponse::Ok().json(&*feed)
}

async fn echo(request: HttpRequest, stream: web::Payload) -> actix_web::Result<HttpResponse> {
    ws::start(Echo, &request, stream)
}

async fn idle(request: HttpRequest, stream: web::Payload) -> actix_web::Result<HttpResponse> {
    ws::start(Idle, &request, stream)
}

/// Serves on a free port of loopback, says its address on standard output, and ends with its standard input: whoever
/// started it may be killed, and nothing may be left.
pub async fn serve(workers: Option<usize>) -> anyhow::Result<()> {
    let data = web::Data::new(Feeds::default());
    let hall = web::Data::new(Hall::default());
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(hall.clone())
            .route(GET, web::get().to(short))
            .route(POST, web::post().to(HttpResponse::Ok))
            .route(FEED, web::get().to(feed))
            .route(ECHO, web::get().to(echo))
            .route(IDLE, web::get().to(idle))
            .route(FAN, web::get().to(fan))
    })
    .max_connections(20_000)
    .keep_alive(std::time::Duration::from_mins(5));
    if let Some(workers) = workers {
        server = server.workers(workers);
    }
    let server = server.bind(("127.0.0.1", 0)).context("no port for the bare server")?;
    for address in server.addrs() {
        let mut out = std::io::stdout();
        writeln!(out, "{address}")?;
        out.flush()?;
    }
    std::thread::spawn(|| {
        // Ends at the end of the file, which is the end of the parent.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    server.run().await.context("the bare server failed")
}

/// The bare server as a child process. Dropped, it ends.
pub struct Bare {
    program: std::path::PathBuf,
    child: Child,
    address: SocketAddr,
}

impl Bare {
    /// Starts it from the bench's own program.
    pub fn start(program: &Path, workers: Option<usize>) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg("bare");
        if let Some(workers) = workers {
            command.args(["--workers", &workers.to_string()]);
        }
        let mut child = command
            // Ctrl-C is for the bench, which ends its children itself.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be started", program.display()))?;
        let mut line = String::new();
        let out = child.stdout.take().context("the bare server has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let address = line.trim().parse();
        // Made first, so that the child ends also when it said nonsense.
        let bare = Self {
            program: program.to_owned(),
            child,
            address: address.as_ref().copied().unwrap_or_else(|_| ([127, 0, 0, 1], 0).into()),
        };
        address.context("the bare server did not say where it listens")?;
        Ok(bare)
    }

    /// Another one, whose memory nobody has used yet.
    pub fn fresh(&self) -> anyhow::Result<Self> {
        Self::start(&self.program, None)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_have_the_sizes_that_they_are_called_by() {
        assert_eq!(SHORT.len(), 110);
        crate::contract::read_status(SHORT.as_bytes()).unwrap();
        for size in [SMALLEST, 20_500] {
            let body = serde_json::to_vec(&Feed::of_size(size)).unwrap();
            assert!(body.len().abs_diff(size) < 400, "{size}: {}", body.len());
            assert_eq!(crate::contract::read_feed(&body).unwrap().videos.len(), 30);
        }
    }
}
