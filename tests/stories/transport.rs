//! How requests may arrive: both slashes, any place of a parameter, and what no decent client would send (contract 2).

use crate::harness::clip::Multipart;
use crate::harness::raw::{Wire, exchange, head};
use crate::harness::site::encoded;
use crate::harness::{ENDPOINTS, Kind, Reply, World, on_both_stores};

on_both_stores!(
    both_spellings_of_every_path_are_answered_directly,
    parameters_may_come_from_query_form_and_multipart,
    odd_content_types_do_not_disturb,
    a_get_may_carry_a_body,
    repeated_and_unknown_parameters_are_accepted,
    percent_plus_and_utf8_are_decoded,
    a_get_never_acts,
    other_methods_and_paths_crash_nothing,
    absurd_requests_are_refused_cleanly,
    one_connection_serves_many_requests,
    chunked_bodies_old_http_and_proxies_are_understood,
);

const FORM: &str = "application/x-www-form-urlencoded";
const FAVORITE: &str = "/douyin/favorite/action/";

fn alive(world: &World) {
    world.get("/douyin/feed/").success();
}

fn both_spellings_of_every_path_are_answered_directly(kind: Kind) {
    let world = World::new(kind);
    for endpoint in ENDPOINTS {
        for params in [
            "",
            "?user_id=0&token=",
            "?token=forged&video_id=1&to_user_id=1&action_type=1",
        ] {
            let with = world.request(endpoint.method, &format!("{}{params}", endpoint.path), &[], Vec::new());
            let bare = endpoint.path.trim_end_matches('/');
            let without = world.request(endpoint.method, &format!("{bare}{params}"), &[], Vec::new());
            // An upload without a body is a malformed one, which may have a status of its own.
            let malformed = endpoint.path.contains("publish/action") && with.status == 400;
            assert!(
                with.status == 200 || malformed,
                "{} {params}: {}",
                endpoint.path,
                with.text()
            );
            assert_eq!(with.status, without.status, "{bare} {params}");
            let shape = |reply: &Reply| reply.text().split("\"next_time\"").next().unwrap().to_owned();
            assert_eq!(shape(&with), shape(&without), "{bare}");
            with.json();
        }
    }
}

fn parameters_may_come_from_query_form_and_multipart(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let (id, token) = (video.id.to_string(), ann.token.as_str());
    let all = encoded(&[("token", &token), ("video_id", &id), ("action_type", &1)]);
    let half = encoded(&[("token", &token)]);
    let rest = encoded(&[("video_id", &id), ("action_type", &1)]);
    let parts = || Multipart::default().field("video_id", &id).field("action_type", "1");
    let multipart = Multipart::content_type();
    let ways: Vec<(String, &str, Vec<u8>)> = vec![
        (format!("{FAVORITE}?{all}"), "", vec![]),
        (FAVORITE.to_owned(), FORM, all.clone().into_bytes()),
        (
            FAVORITE.to_owned(),
            "application/x-www-form-urlencoded; charset=UTF-8",
            all.clone().into_bytes(),
        ),
        (
            FAVORITE.to_owned(),
            "Application/X-WWW-Form-URLEncoded;charset=utf-8",
            all.clone().into_bytes(),
        ),
        (format!("{FAVORITE}?{all}"), FORM, all.clone().into_bytes()),
        (format!("{FAVORITE}?{half}"), FORM, rest.clone().into_bytes()),
        (format!("{FAVORITE}?{rest}"), FORM, half.clone().into_bytes()),
        (
            format!("{FAVORITE}?token=&video_id=&{rest}"),
            FORM,
            half.clone().into_bytes(),
        ),
        (FAVORITE.to_owned(), &multipart, parts().field("token", token).end()),
        (format!("{FAVORITE}?{half}"), &multipart, parts().end()),
        (format!("{FAVORITE}?{all}"), &multipart, parts().end()),
    ];
    for (target, content_type, body) in ways {
        let headers = [("content-type", content_type)];
        let headers = if content_type.is_empty() {
            &headers[..0]
        } else {
            &headers[..]
        };
        world.request("POST", &target, headers, body).done();
        assert_eq!(ann.sees(&video).favorite_count, 1, "{target} {content_type}");
        ann.unfavorites(&video);
    }
    let other = encoded(&[("action_type", &2), ("video_id", &99)]);
    world
        .request(
            "POST",
            &format!("{FAVORITE}?{all}"),
            &[("content-type", FORM)],
            other.into_bytes(),
        )
        .done();
    assert!(ann.sees(&video).is_favorite, "where both speak the query wins");

    let register = encoded(&[("username", &"form"), ("password", &"123456")]).into_bytes();
    world
        .request("POST", "/douyin/user/register/", &[("content-type", FORM)], register)
        .success();
    let register = Multipart::default()
        .field("username", "parts")
        .field("password", "123456")
        .end();
    world
        .request(
            "POST",
            "/douyin/user/register/",
            &[("content-type", &multipart)],
            register,
        )
        .success();
}

fn odd_content_types_do_not_disturb(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let query = encoded(&[("token", &ann.token), ("video_id", &video.id), ("action_type", &1)]);
    for content_type in [
        "POST",
        "",
        "text/plain",
        "application/octet-stream",
        "*/*",
        ";;;",
        "multipart/form-data",
        FORM,
    ] {
        let target = format!("{FAVORITE}?{query}");
        let headers = [("Content-Type", content_type), ("Content-Length", "0")];
        let reply = exchange(world.address(), head("POST", &target, &headers)).expect("an answer");
        reply.done();
        assert_eq!(ann.sees(&video).favorite_count, 1, "{content_type:?}");
        ann.unfavorites(&video);
    }
    let target = format!("{FAVORITE}?{query}");
    exchange(world.address(), head("POST", &target, &[]))
        .expect("no length at all")
        .done();
}

fn a_get_may_carry_a_body(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    ann.publishes("sea");
    let query = encoded(&[("token", &ann.token), ("user_id", &ann.id)]);
    let mut wire = Wire::to(world.address());
    for (content_type, body) in [
        (FORM, query.as_str()),
        (FORM, "user_id=99"),
        ("", "{\"user_id\":99}"),
        (FORM, "%%%"),
    ] {
        let length = body.len().to_string();
        let target = format!("/douyin/publish/list/?{query}");
        let request = head(
            "GET",
            &target,
            &[("Content-Type", content_type), ("Content-Length", &length)],
        );
        wire.put(request + body).unwrap();
        let reply = wire.answer().expect("an answer");
        assert_eq!(reply.success()["video_list"].as_array().unwrap().len(), 1, "{body}");
    }
}

fn repeated_and_unknown_parameters_are_accepted(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    // As the official TestChat does: `content` twice in the query.
    ann.post(
        "/douyin/message/action/",
        &[
            ("to_user_id", &ben.id),
            ("action_type", &1),
            ("content", &"twice"),
            ("content", &"twice"),
            ("unknown", &"x"),
            ("from_user_id", &ben.id),
        ],
    )
    .done();
    assert_eq!(ben.chat(&ann, &0).len(), 1);
    let reply = ann.get("/douyin/user/", &[("user_id", &ann.id), ("user_id", &ben.id)]);
    assert_eq!(reply.status, 200);
    let flags = world.request("GET", "/douyin/feed/?&&=&=x&a&a=&&token=&latest_time", &[], Vec::new());
    flags.success();
}

fn percent_plus_and_utf8_are_decoded(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    let fixed = encoded(&[("token", &ann.token), ("video_id", &video.id), ("action_type", &1)]);
    for (sent, meant) in [
        ("a+b%2Bc%20d", "a b+c d"),
        ("%E4%BD%A0%e5%a5%bd", "你好"),
        ("100%25", "100%"),
        ("a%26b%3Dc", "a&b=c"),
    ] {
        let target = format!("/douyin/comment/action/?{fixed}&comment_text={sent}");
        world.request("POST", &target, &[], Vec::new()).success();
        assert_eq!(ann.comments_of(&video)[0].content, meant);
        let body = format!("{fixed}&comment_text={sent}").into_bytes();
        world
            .request("POST", "/douyin/comment/action/", &[("content-type", FORM)], body)
            .success();
        assert_eq!(ann.comments_of(&video)[0].content, meant);
    }
    let count = ann.comments_of(&video).len();
    for broken in ["%FF%FE", "%C3%28", "a%ED%A0%80b", "%F8%88%80%80%80"] {
        let target = format!("/douyin/comment/action/?{fixed}&comment_text={broken}");
        world.request("POST", &target, &[], Vec::new()).refused_as(&[200, 400]);
    }
    for odd in ["%", "%2", "%zz", "100%"] {
        let target = format!("/douyin/comment/action/?{fixed}&comment_text={odd}");
        let reply = exchange(world.address(), head("POST", &target, &[("Content-Length", "0")])).expect("an answer");
        assert!([200, 400].contains(&reply.status), "{odd}: {}", reply.status);
    }
    assert!(
        ann.comments_of(&video)
            .iter()
            .all(|comment| !comment.content.contains('\u{fffd}'))
    );
    assert!(ann.comments_of(&video).len() <= count + 4);
}

fn a_get_never_acts(kind: Kind) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ben.publishes("sea");
    let everything = encoded(&[
        ("token", &ann.token),
        ("video_id", &video.id),
        ("to_user_id", &ben.id),
        ("action_type", &1),
        ("comment_text", &"x"),
        ("content", &"x"),
        ("username", &"new"),
        ("password", &"123456"),
    ]);
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.method == "POST") {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"] {
            let request = head(
                method,
                &format!("{}?{everything}", endpoint.path),
                &[("Content-Length", "0")],
            );
            let mut wire = Wire::to(world.address());
            wire.put(request).unwrap();
            let reply = if method == "HEAD" {
                wire.answer_to_head()
            } else {
                wire.answer()
            };
            let reply = reply.expect("an answer");
            assert!(
                [200, 204, 400, 404, 405].contains(&reply.status),
                "{method} {}",
                endpoint.path
            );
            let acted = String::from_utf8_lossy(&reply.body).contains("\"status_code\":0");
            assert!(!acted, "{method} {}", endpoint.path);
        }
    }
    assert_eq!((ann.profile().favorite_count, ann.profile().follow_count), (0, 0));
    assert_eq!((ann.comments_of(&video).len(), ben.chat(&ann, &0).len()), (0, 0));
    world
        .call(
            "POST",
            "/douyin/user/login/",
            &[("username", &"new"), ("password", &"123456")],
        )
        .refused();
}

fn other_methods_and_paths_crash_nothing(kind: Kind) {
    let world = World::new(kind);
    for method in ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "CONNECT", "BREW"] {
        for target in [
            "/douyin/feed/",
            "/douyin/user/",
            "/douyin/message/chat/",
            "/ping",
            "/nowhere",
        ] {
            let mut wire = Wire::to(world.address());
            wire.put(head(method, target, &[])).unwrap();
            let reply = if method == "HEAD" {
                wire.answer_to_head()
            } else {
                wire.answer()
            };
            let status = reply.map_or(0, |reply| reply.status);
            assert!(status < 500, "{method} {target}: {status}");
        }
    }
    for path in [
        "/",
        "/douyin",
        "/douyin/",
        "/douyin/feed/x",
        "/douyin//feed/",
        "/DOUYIN/FEED/",
        "/.env",
        "/static/../x",
    ] {
        let reply = exchange(world.address(), head("GET", path, &[])).expect("an answer");
        if path != "/" {
            reply.refused_as(&[404]);
        }
        assert!(reply.status < 500, "{path}");
    }
    alive(&world);
}

fn absurd_requests_are_refused_cleanly(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let many = (0..10_000)
        .map(|number| format!("p{number}=v"))
        .collect::<Vec<_>>()
        .join("&")
        + "&";
    let fixed = encoded(&[("token", &ann.token), ("user_id", &ann.id)]);
    let form = |body: &str| {
        let length = body.len().to_string();
        head("POST", FAVORITE, &[("Content-Type", FORM), ("Content-Length", &length)]) + body
    };
    let requests: Vec<(&str, Vec<u8>)> = vec![
        (
            "10,000 parameters in the query",
            head("GET", &format!("/douyin/user/?{many}{fixed}"), &[]).into(),
        ),
        ("10,000 parameters in a form", form(&many).into()),
        (
            "a query of 60 KB",
            head("GET", &format!("/douyin/feed/?x={}", "y".repeat(60_000)), &[]).into(),
        ),
        (
            "a header of 200 KB",
            head("GET", "/douyin/feed/", &[("X-Big", &"y".repeat(200_000))]).into(),
        ),
        (
            "1,000 headers",
            head("GET", "/douyin/feed/", &vec![("X-Many", "y"); 1000]).into(),
        ),
        (
            "a form of 9 MB",
            form(&format!("comment_text={}", "y".repeat(9 << 20))).into(),
        ),
        (
            "NUL in the path",
            b"GET /douyin/\0feed/ HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        (
            "bytes in the path",
            b"GET /douyin/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        (
            "a bad length",
            head("POST", FAVORITE, &[("Content-Length", "-5")]).into(),
        ),
        (
            "two lengths",
            head("POST", FAVORITE, &[("Content-Length", "0"), ("Content-Length", "7")]).into(),
        ),
        (
            "an endless length",
            head("POST", FAVORITE, &[("Content-Length", "99999999999999999999")]).into(),
        ),
        ("no HTTP", b"hello\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20)),
        ("HTTP/9", b"GET / HTTP/9.9\r\n\r\n".to_vec()),
        (
            "a bad chunk",
            (head("POST", FAVORITE, &[("Transfer-Encoding", "chunked")]) + "zz\r\n").into(),
        ),
    ];
    for (what, request) in requests {
        if let Some(reply) = exchange(world.address(), request) {
            assert!(
                [200, 400, 413, 414, 431, 505].contains(&reply.status) || reply.status == 404,
                "{what}: {}",
                reply.status
            );
            let text = String::from_utf8_lossy(&reply.body).to_lowercase();
            assert!(
                !text.contains("panicked") && !text.contains(".rs"),
                "{what}: {text:.300}"
            );
            if what.contains("9 MB") {
                assert_ne!(reply.status, 200, "{what}: 413 or a closed connection");
            }
        }
        alive(&world);
    }
    for name in [b"\xff\xfe".as_slice(), b"a\0b"] {
        let body = [b"username=".as_slice(), name, b"&password=123456"].concat();
        let length = body.len().to_string();
        let request = head(
            "POST",
            "/douyin/user/register/",
            &[("Content-Type", FORM), ("Content-Length", &length)],
        );
        let reply = exchange(world.address(), [request.as_bytes(), &body].concat()).expect("an answer");
        assert!(reply.status == 200 || reply.status == 400);
        if name[0] == 0xff {
            reply.refused_as(&[200, 400]);
        }
    }
}

fn one_connection_serves_many_requests(kind: Kind) {
    let world = World::new(kind);
    world.register("ann").publishes("sea");
    let mut wire = Wire::to(world.address());
    for _ in 0..3 {
        wire.put(head("GET", "/douyin/feed/", &[])).unwrap();
        wire.answer().expect("an answer").success();
        wire.put(head("POST", FAVORITE, &[("Content-Length", "0")])).unwrap();
        wire.answer().expect("a refusal keeps the connection").refused();
    }
    // Two at once, answered in order.
    let request = head("GET", "/ping", &[]) + &head("GET", "/douyin/feed/", &[]);
    wire.put(request).unwrap();
    assert_eq!(wire.answer().unwrap().json()["message"], "pong");
    wire.answer().unwrap().success();
}

/// The body in chunks of 700 bytes, as a client sends what it does not know the length of.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    for chunk in body.chunks(700) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

fn chunked_bodies_old_http_and_proxies_are_understood(kind: Kind) {
    let world = World::new(kind);
    let ann = world.register("ann");
    let body = Multipart::default()
        .field("token", &ann.token)
        .field("title", "in chunks")
        .file(crate::harness::clip::CLIP);
    let multipart = Multipart::content_type();
    let headers = [
        ("Content-Type", multipart.as_str()),
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
    ];
    let request = [
        head("POST", "/douyin/publish/action/", &headers).into_bytes(),
        chunked(&body.end()),
    ]
    .concat();
    exchange(world.address(), request).expect("an answer").done();
    let video = ann.works_of(ann.id).remove(0);
    assert_eq!(world.get(&video.play_url).body, crate::harness::clip::CLIP);

    let form = encoded(&[("token", &ann.token), ("video_id", &video.id), ("action_type", &1)]);
    let headers = [("Content-Type", FORM), ("Transfer-Encoding", "chunked")];
    let request = [head("POST", FAVORITE, &headers).into_bytes(), chunked(form.as_bytes())].concat();
    exchange(world.address(), request).expect("an answer").done();

    let proxied = format!("http://{}/douyin/feed/", world.address());
    for request in [
        "GET /douyin/feed/ HTTP/1.0\r\n\r\n".to_owned(),
        "GET /douyin/feed/ HTTP/1.0\r\nHost: phone.test\r\n\r\n".to_owned(),
        head("GET", &proxied, &[]),
    ] {
        let reply = exchange(world.address(), &request).expect("an answer");
        let seen = crate::harness::Video::read(&reply.success()["video_list"][0]);
        assert_eq!(
            (seen.id, seen.favorite_count),
            (video.id, 1),
            "absolute addresses whatever the Host: {request}"
        );
    }
}
