//! Where parameters arrive, what wins, and what is refused.

use std::collections::HashMap;
use std::time::Duration;

use actix_multipart::Multipart;
use actix_web::error::PayloadError;
use actix_web::test::TestRequest;
use actix_web::web::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;

use super::*;
use crate::net::BodyDeadline;

const FORM: &str = "application/x-www-form-urlencoded";

async fn extract(request: TestRequest, body: impl Into<Bytes>) -> Result<Params, ApiError> {
    let (request, mut payload) = request.set_payload(body).to_http_parts();
    Params::from_request(&request, &mut payload).await
}

fn post(query: &str) -> TestRequest {
    TestRequest::post().uri(&format!("/x?{query}"))
}

fn typed(query: &str, content_type: &str) -> TestRequest {
    post(query).insert_header(("Content-Type", content_type.to_owned()))
}

fn from_query(query: &str) -> Result<Params, ApiError> {
    Params::from_query(&post(query).to_http_request())
}

fn message(result: Result<impl Sized, ApiError>) -> String {
    match result {
        Err(ApiError::Invalid(message)) => message.into_owned(),
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("accepted"),
    }
}

#[actix_web::test]
async fn query_wins_and_the_first_of_equal_names_counts() {
    let params = extract(typed("a=1&a=2&b=q", FORM), "b=f&c=3&c=4&unknown")
        .await
        .unwrap();
    assert_eq!(params.text("a").unwrap(), Some("1"));
    assert_eq!(params.text("b").unwrap(), Some("q"));
    assert_eq!(params.text("c").unwrap(), Some("3"));
    assert_eq!(params.text("unknown").unwrap(), Some(""));
    assert_eq!(params.text("d").unwrap(), None);
}

#[actix_web::test]
async fn content_types_of_every_known_client() {
    for content_type in [
        FORM,
        "application/x-www-form-urlencoded; charset=UTF-8",
        "POST",
        "",
        "text/plain",
    ] {
        let params = extract(typed("a=1", content_type), "b=x+%2B%E4%BD%A0").await.unwrap();
        assert_eq!(params.text("b").unwrap(), Some("x +你"), "{content_type}");
    }
    for content_type in [
        FORM,
        "POST",
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "application/json",
    ] {
        let params = extract(typed("a=1", content_type), "").await.unwrap();
        assert_eq!(params.text("a").unwrap(), Some("1"), "{content_type}");
    }
    let junk = extract(typed("a=1", "POST"), vec![b'b', b'=', 0xff]).await.unwrap();
    assert_eq!(junk.text("b").unwrap(), None);
}

#[actix_web::test]
async fn an_empty_value_hides_no_other() {
    let params = extract(typed("token=&a=&b=&b=%ff&c=&c=", FORM), "token=t&a=1")
        .await
        .unwrap();
    assert_eq!(params.token().unwrap(), Some("t"));
    assert_eq!(params.text("a").unwrap(), Some("1"));
    assert!(params.text("b").is_err(), "broken is not empty");
    assert_eq!(params.text("c").unwrap(), Some(""));
}

#[actix_web::test]
async fn a_get_is_served_by_its_query_alone() {
    let request = TestRequest::get().uri("/x?a=1").insert_header(("Content-Type", FORM));
    let params = extract(request, "a=2&b=3").await.unwrap();
    assert_eq!(params.text("a").unwrap(), Some("1"));
    assert_eq!(params.text("b").unwrap(), None);
    let large = extract(TestRequest::get().uri("/x"), vec![b'a'; 64 * 1024 + 1]).await;
    assert!(matches!(large, Err(ApiError::TooLarge(_))));
}

fn multipart(parts: &[(&str, &str)], end: &str) -> String {
    let parts: String = parts.iter().fold(String::new(), |all, (disposition, value)| {
        format!("{all}--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n")
    });
    parts + end
}

#[actix_web::test]
async fn multipart_texts_are_read_and_files_skipped() {
    let body = multipart(
        &[
            ("name=\"a\"", "from the form"),
            ("name=\"f\"; filename=\"x.mp4\"", "\0\u{1}binary"),
            ("name=\"b\"", "line 1\r\nline 2 &=%41+"),
        ],
        "--B--\r\n",
    );
    let params = extract(typed("a=q", "multipart/form-data; boundary=B"), body)
        .await
        .unwrap();
    assert_eq!(params.text("a").unwrap(), Some("q"));
    assert_eq!(params.text("b").unwrap(), Some("line 1\r\nline 2 &=%41+"));
    assert_eq!(params.text("f").unwrap(), None);
}

#[actix_web::test]
async fn a_multipart_cut_anywhere_is_malformed_or_complete() {
    let body = multipart(&[("name=\"a\"", "value"), ("name=\"b\"", "other")], "--B--\r\n");
    for at in 1..body.len() - 4 {
        let cut = extract(typed("", "multipart/form-data; boundary=B"), body[..at].to_owned()).await;
        assert!(
            matches!(cut, Err(ApiError::Malformed(_))),
            "cut at {at}: {:?}",
            cut.err()
        );
    }
    let no_boundary = extract(typed("", "multipart/form-data"), body).await;
    assert!(matches!(no_boundary, Err(ApiError::Malformed(_))));
}

#[actix_web::test]
async fn a_multipart_of_exactly_the_bound_is_read() {
    let shell = multipart(&[("name=\"a\"", "")], "--B--\r\n").len();
    let value = "x".repeat(64 * 1024 - shell);
    let body = multipart(&[("name=\"a\"", &value)], "--B--\r\n");
    let params = extract(typed("", "multipart/form-data; boundary=B"), body.clone())
        .await
        .unwrap();
    assert_eq!(params.text("a").unwrap(), Some(value.as_str()));
    let over = extract(typed("", "multipart/form-data; boundary=B"), body + "\n").await;
    assert!(matches!(over, Err(ApiError::TooLarge(_))));
}

#[actix_web::test]
async fn flat_json_is_read_and_the_rest_refused_by_name() {
    let json = r#"{"id":7,"e":1e6,"big":9007199254740993.0,"t":"x","t":"y","on":true,"n":null,"o":{"a":[1]},"l":[],"z":"\u0000"}"#;
    let params = extract(typed("", "application/json; charset=utf-8"), json)
        .await
        .unwrap();
    assert_eq!(params.id("id").unwrap(), Some(7));
    assert_eq!(params.id("e").unwrap(), Some(1_000_000));
    assert_eq!(params.text("t").unwrap(), Some("x"));
    assert_eq!(params.text("on").unwrap(), Some("true"));
    assert_eq!(params.text("n").unwrap(), None);
    for broken in ["o", "l", "z"] {
        assert!(message(params.text(broken)).starts_with(broken));
    }
    for body in [
        "[1]",
        "{\"a\":1",
        "{\"a\":1}x",
        "nonsense",
        "\"text\"",
        &"[".repeat(5000),
        &"{\"a\":".repeat(5000),
    ] {
        let refused = extract(typed("", "application/json"), body.to_owned()).await;
        assert!(matches!(refused, Err(ApiError::Malformed(_))), "{body:.20}");
    }
}

#[actix_web::test]
async fn too_many_parameters_are_refused_in_every_form() {
    let query = "a=1&".repeat(10_000);
    assert!(message(from_query(&query)).contains("256"));
    assert!(from_query(&"a=1&".repeat(256)).is_ok());
    assert!(message(extract(typed("", FORM), "a=1&".repeat(10_000)).await).contains("256"));
    let members = (0..300).map(|n| format!("\"p{n}\":1")).collect::<Vec<_>>().join(",");
    assert!(message(extract(typed("", "application/json"), format!("{{{members}}}")).await).contains("256"));
    let parts = multipart(&[("name=\"a\"; filename=\"f\"", ""); 300], "--B--\r\n");
    assert!(message(extract(typed("", "multipart/form-data; boundary=B"), parts).await).contains("256"));
    let half = extract(typed(&"a=1&".repeat(200), FORM), "b=1&".repeat(100)).await;
    assert!(message(half).contains("256"));
    assert!(message(from_query(&format!("{}=1", "n".repeat(257)))).contains("too long"));
}

#[test]
fn broken_bytes_are_refused_only_where_used() {
    let params = from_query("a=%ff&b=x%00y&c=fine&%ff=1&d=%zz%").unwrap();
    assert!(message(params.text("a")).starts_with("a "));
    assert!(message(params.text("b")).starts_with("b "));
    assert_eq!(params.text("c").unwrap(), Some("fine"));
    assert_eq!(params.text("d").unwrap(), Some("%zz%"));
    assert!(message(params.id("a")).starts_with("a "));
}

#[test]
fn texts_count_characters_and_refuse_controls() {
    let name = "你😀é".repeat(10) + "ab";
    let escaped = percent_encode(name.as_bytes(), NON_ALPHANUMERIC);
    let params = from_query(&format!("u={escaped}&v={escaped}%0a&e=&w=x%1bx")).unwrap();
    assert_eq!(params.required_text("u", 1..=32, Controls::None).unwrap(), name);
    assert!(message(params.required_text("v", 1..=32, Controls::Lines)).contains("32"));
    assert!(params.required_text("v", 1..=33, Controls::Lines).is_ok());
    assert!(message(params.required_text("v", 1..=33, Controls::None)).contains("control"));
    assert!(message(params.required_text("w", 1..=33, Controls::Lines)).contains("control"));
    assert!(message(params.required_text("e", 1..=32, Controls::None)).contains("empty"));
    assert!(message(params.required_text("gone", 1..=32, Controls::None)).contains("missing"));
    assert_eq!(params.optional_text("gone", 5, Controls::None).unwrap(), "");
    assert!(params.optional_text("u", 31, Controls::None).is_err());
}

#[test]
fn ids_and_actions() {
    let params =
        from_query("a=7&e=1e%2B06&f=1e+06&z=0&x=&m=9007199254740992&o=9007199254740993&one=1&two=2&t=01&w=4294967297")
            .unwrap();
    assert_eq!(params.id("a").unwrap(), Some(7));
    assert_eq!(params.id("e").unwrap(), Some(1_000_000));
    assert!(params.id("f").is_err(), "an unescaped plus is a space");
    assert_eq!(params.id("m").unwrap(), Some(MAX_ID));
    assert!(message(params.id("o")).starts_with("o "));
    assert!(params.id("z").is_err());
    assert_eq!(params.id_or_zero_as_none("z").unwrap(), None);
    assert_eq!(params.id("x").unwrap(), None);
    assert!(message(params.required_id("x")).contains("missing"));
    assert_eq!(params.action("one").unwrap(), Action::Do);
    assert_eq!(params.action("two").unwrap(), Action::Undo);
    for bad in ["t", "w", "x", "gone", "z"] {
        assert!(message(params.action(bad)).starts_with(bad));
    }
    assert_eq!(params.latest_time(), None);
    assert_eq!(from_query("latest_time=%ff").unwrap().latest_time(), None);
    assert_eq!(
        from_query("pre_msg_time=1700000000").unwrap().pre_msg_time(),
        1_700_000_000_000
    );
}

#[test]
fn a_token_comes_from_the_parameter_or_a_header_never_a_cookie() {
    let token = |query: &str, headers: &[(&'static str, &'static str)]| {
        let request = headers
            .iter()
            .fold(post(query), |request, header| request.insert_header(*header));
        let params = Params::from_query(&request.to_http_request()).unwrap();
        params
            .token()
            .map(|token| token.map(str::to_owned))
            .map_err(|error| error.code())
    };
    assert_eq!(token("token=t", &[("Authorization", "Bearer h")]), Ok(Some("t".into())));
    assert_eq!(token("token=", &[("Authorization", "bearer  h")]), Ok(Some("h".into())));
    assert_eq!(token("", &[("token", "h")]), Ok(Some("h".into())));
    assert_eq!(
        token("", &[("Cookie", "token=h"), ("Authorization", "Basic h")]),
        Ok(None)
    );
    assert_eq!(token("token=", &[]), Ok(None));
    let refused = ApiError::InvalidToken.code();
    assert_eq!(token("token=%ff", &[]), Err(refused));
    assert_eq!(token(&format!("token={}", "a".repeat(4097)), &[]), Err(refused));
}

#[actix_web::test]
async fn a_silent_body_times_out_by_the_registered_limits() {
    let limits = BodyLimits {
        idle: Duration::from_millis(30),
        ..BodyLimits::PARAMETERS
    };
    for request in [TestRequest::post(), TestRequest::get()] {
        let (request, _) = request.app_data(limits).to_http_parts();
        let mut silent: Payload = Payload::Stream {
            payload: Box::pin(stream::pending::<Result<Bytes, PayloadError>>()),
        };
        let error = Params::from_request(&request, &mut silent).await.err();
        assert!(matches!(error, Some(ApiError::Timeout)), "{error:?}");
    }
}

/// The way an upload goes: the deadline's error comes out of multipart as itself.
#[actix_web::test]
async fn an_upload_that_stalls_or_overflows_ends_as_such() {
    let start = multipart(&[("name=\"data\"; filename=\"x\"", "some bytes")], "");
    let limits = BodyLimits {
        idle: Duration::from_millis(30),
        ..BodyLimits::upload(1 << 20)
    };
    for (max_bytes, code) in [(1 << 20, ApiError::Timeout.code()), (20, ApiError::TooLarge("").code())] {
        let stalled = stream::iter([Ok(Bytes::from(start.clone()))]).chain(stream::pending());
        let body: Payload = Payload::Stream {
            payload: Box::pin(stalled),
        };
        let (request, _) = typed("", "multipart/form-data; boundary=B").to_http_parts();
        let mut parts = Multipart::new(
            request.headers(),
            BodyDeadline::new(body, BodyLimits { max_bytes, ..limits }),
        );
        let error = loop {
            match parts.next().await.expect("an error before the end") {
                Err(error) => break error,
                Ok(part) => {
                    if let Some(error) = part.try_for_each(|_| std::future::ready(Ok(()))).await.err() {
                        break error;
                    }
                }
            }
        };
        assert_eq!(multipart_error(&error).code(), code, "{error}");
    }
}

fn encoded(pairs: &[(String, String)]) -> String {
    let escape = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    pairs.join("&")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    futures_util::FutureExt::now_or_never(future).expect("a body in memory needs no waiting")
}

const NAMES: [&str; 4] = ["a", "b", "cc", "é"];

fn some_pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(
        (prop::sample::select(&NAMES[..]).prop_map(str::to_owned), "[^\0]{0,12}"),
        0..12,
    )
}

proptest! {
    #[test]
    fn merging_equals_a_map_that_keeps_the_first_that_says_something(query in some_pairs(), form in some_pairs()) {
        let params = block_on(extract(typed(&encoded(&query), FORM), encoded(&form))).unwrap();
        let mut expected = HashMap::new();
        for (name, value) in query.into_iter().chain(form) {
            let kept = expected.entry(name).or_insert_with(String::new);
            if kept.is_empty() {
                *kept = value;
            }
        }
        for name in NAMES {
            prop_assert_eq!(params.text(name).unwrap(), expected.get(name).map(String::as_str));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..400), kind in 0..5_usize) {
        let kind = [FORM, "multipart/form-data; boundary=B", "application/json", "POST", "multipart/form-data"][kind];
        if let Ok(params) = block_on(extract(typed("", kind), body)) {
            let _ = (params.id("a").ok(), params.action("a").ok(), params.token().ok());
        }
    }

    #[test]
    fn multipart_like_bytes_never_panic(body in "(--B|--B--|\r\n|\r|Content-Disposition: form-data; name=\"a\"|x|:){0,12}") {
        let _ = block_on(extract(typed("", "multipart/form-data; boundary=B"), body));
    }
}
