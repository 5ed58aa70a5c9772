//! Request ids, the access log and panics, through a whole application on the test's own thread.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, Once};

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::{App, Error, HttpResponse, web};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use crate::net::{install_panic_hook, track_requests};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The events, each a JSON object.
    fn events(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt().json().with_writer(self.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn panics(path: web::Path<usize>) -> HttpResponse {
    let text = "secret text of a user";
    let at = path.into_inner();
    HttpResponse::Ok().body(text[at..].to_owned())
}

async fn app() -> impl Service<actix_http::Request, Response = ServiceResponse<impl MessageBody>, Error = Error> {
    init_service(
        App::new()
            .wrap(from_fn(track_requests))
            .route("/ok", web::to(async || "fine"))
            .route("/panics/{at}", web::to(panics)),
    )
    .await
}

fn id(response: &ServiceResponse<impl MessageBody>) -> String {
    response
        .headers()
        .get("x-request-id")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

#[actix_web::test]
async fn one_event_a_request_without_its_secrets() {
    let log = Log::default();
    let _guard = log.start();
    let app = app().await;
    let request = TestRequest::post()
        .uri("/ok?token=tok1&password=pass2")
        .peer_addr("192.0.2.7:1234".parse().unwrap())
        .insert_header(("Authorization", "Bearer tok3"))
        .set_payload("content=text4");
    let response = app.call(request.to_request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let id = id(&response);
    assert!(
        id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );

    let events = log.events();
    assert_eq!(events.len(), 1, "{}", log.text());
    let fields = &events[0]["fields"];
    assert_eq!(fields["request_id"], id.as_str());
    assert_eq!(fields["method"], "POST");
    assert_eq!(fields["path"], "/ok");
    assert_eq!(fields["status"], 200);
    assert_eq!(fields["peer"], "192.0.2.7");
    assert!(fields["ms"].is_u64());
    for secret in ["tok1", "pass2", "tok3", "text4"] {
        assert!(!log.text().contains(secret), "{secret} in {}", log.text());
    }
}

#[actix_web::test]
async fn sane_ids_are_kept_and_others_replaced() {
    let app = app().await;
    let long = "a".repeat(65);
    for (given, kept) in [
        ("abc-1_2.3", true),
        ("", false),
        ("a b", false),
        ("a\"b", false),
        (&long, false),
    ] {
        let request = TestRequest::get().uri("/ok").insert_header(("X-Request-Id", given));
        let response = app.call(request.to_request()).await.unwrap();
        assert_eq!(id(&response) == given, kept, "{given}");
    }
}

#[actix_web::test]
async fn paths_are_bounded_and_escaped() {
    let log = Log::default();
    let _guard = log.start();
    let app = app().await;
    let path = format!("/{}%0aforged", "x".repeat(5000));
    app.call(TestRequest::get().uri(&path).to_request()).await.unwrap();
    assert!(log.text().len() < 1000);
    assert_eq!(log.events()[0]["fields"]["status"], 404);
}

/// The hook is the process's; where a test does not listen to the log, it prints as before.
fn hook_once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(install_panic_hook);
}

#[actix_web::test]
async fn a_panic_is_a_500_that_says_nothing_and_a_log_that_says_where() {
    hook_once();
    let log = Log::default();
    let listening = log.start();
    let app = app().await;
    let request = TestRequest::get()
        .uri("/panics/999")
        .insert_header(("X-Request-Id", "r-1"));
    let result = app.call(request.to_request()).await;
    // From here on a failed assertion must be printed, not logged.
    drop(listening);
    // The error becomes a response where the server would make one of it.
    let error = result.err().expect("an error");
    let response = error.error_response();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.headers().get("x-request-id").unwrap(), "r-1");
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status_code"], 5000);
    assert_eq!(body["status_msg"], "something went wrong on our side");

    let events = log.events();
    assert_eq!(events.len(), 3, "hook, guard, access: {}", log.text());
    assert!(
        events[0]["fields"]["location"]
            .as_str()
            .unwrap()
            .contains("requests.rs:"),
        "{}",
        log.text()
    );
    assert_eq!(events[0]["span"]["request_id"], "r-1");
    assert_eq!(events[1]["fields"]["request_id"], "r-1");
    assert_eq!(events[2]["fields"]["status"], 500);
    assert_eq!(events[2]["level"], "ERROR");
    assert!(!log.text().contains("secret text"), "{}", log.text());
}

#[actix_web::test]
async fn after_a_panic_the_worker_serves_on() {
    let app = app().await;
    for _ in 0..3 {
        assert!(
            app.call(TestRequest::get().uri("/panics/999").to_request())
                .await
                .is_err()
        );
    }
    let response = app
        .call(TestRequest::get().uri("/panics/7").to_request())
        .await
        .unwrap();
    assert_eq!(read_body(response).await, "text of a user");
}

/// The dispatcher keeps room for it in every connection's task, for as long as the connection lives.
#[actix_web::test]
async fn a_connection_has_little_room_for_a_request() {
    let app = app().await;
    let call = app.call(TestRequest::get().uri("/ok").to_request());
    let size = size_of_val(&call);
    assert!(size <= 256, "{size} bytes");
    assert_eq!(call.await.unwrap().status(), StatusCode::OK);
}

#[actix_web::test]
async fn a_client_that_gives_up_leaves_a_line() {
    let log = Log::default();
    let _guard = log.start();
    let app = init_service(
        App::new()
            .wrap(from_fn(track_requests))
            .route("/wait", web::to(std::future::pending::<HttpResponse>)),
    )
    .await;
    let call = Box::pin(app.call(TestRequest::get().uri("/wait").to_request()));
    assert!(futures_util::FutureExt::now_or_never(call).is_none());
    let events = log.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["fields"]["message"], "given up by the client");
}
