//! The request shapes of the public test suites, which must pass unmodified (contract 13): the same parameters in query
//! and form, a form on a GET, the file before the token, ids as Go prints a float.

use crate::harness::clip::{CLIP, Multipart};
use crate::harness::raw::{exchange, head};
use crate::harness::site::encoded;
use crate::harness::{Kind, Params, Reply, Site, World, on_both_stores};

on_both_stores!(
    the_official_go_tests_would_pass_twice,
    a_peers_suite_without_slashes_would_pass
);

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// One call as httpexpect makes it: everything in the query and once more in a form, also for a GET.
fn expect(site: &Site, method: &str, path: &str, params: Params<'_>) -> serde_json::Map<String, serde_json::Value> {
    expect_any(site, method, path, params).success()
}

fn expect_any(site: &Site, method: &str, path: &str, params: Params<'_>) -> Reply {
    let both = encoded(params);
    let length = both.len().to_string();
    let target = format!("{path}?{both}");
    let request = head(method, &target, &[("Content-Type", FORM), ("Content-Length", &length)]) + &both;
    exchange(site.address(), request).expect("an answer")
}

/// The number of a JSON value as Go's `%v` prints a float64.
fn as_go_prints(value: &serde_json::Value) -> String {
    let number = value.as_f64().unwrap();
    if number < 1e6 {
        format!("{number}")
    } else {
        format!("{number:e}").replace('e', "e+0")
    }
}

fn the_official_go_tests_would_pass_twice(kind: Kind) {
    let world = World::new(kind);
    for round in 0..2 {
        let (user_a, token_a) = test_user(&world, "douyinTestUserA");
        let (user_b, token_b) = test_user(&world, "douyinTestUserB");
        let body = Multipart::default()
            .file(CLIP)
            .field("token", &token_a)
            .field("title", "Bear")
            .end();
        let multipart = [("content-type", &*Multipart::content_type())];
        world
            .request("POST", "/douyin/publish/action/", &multipart, body)
            .done();
        let list = expect(
            &world,
            "GET",
            "/douyin/publish/list/",
            &[("user_id", &user_a), ("token", &token_a)],
        );
        assert_eq!(list["video_list"].as_array().unwrap().len(), round + 1);

        let feed = expect(&world, "GET", "/douyin/feed/", &[]);
        let video = as_go_prints(&feed["video_list"][round]["id"]);
        let like: Params<'_> = &[("token", &token_a), ("video_id", &video), ("action_type", &1)];
        expect(&world, "POST", "/douyin/favorite/action/", like);
        expect(
            &world,
            "GET",
            "/douyin/favorite/list/",
            &[("token", &token_a), ("user_id", &user_a)],
        );

        let comment: Params<'_> = &[
            ("token", &token_a),
            ("video_id", &video),
            ("action_type", &1),
            ("comment_text", &"测试评论"),
        ];
        let made = expect(&world, "POST", "/douyin/comment/action/", comment);
        let id = as_go_prints(&made["comment"]["id"]);
        let listed = expect(
            &world,
            "GET",
            "/douyin/comment/list/",
            &[("token", &token_a), ("video_id", &video)],
        );
        assert_eq!(listed["comment_list"][0]["content"], "测试评论");
        let delete: Params<'_> = &[
            ("token", &token_a),
            ("video_id", &video),
            ("action_type", &2),
            ("comment_id", &id),
        ];
        expect(&world, "POST", "/douyin/comment/action/", delete);

        let follow: Params<'_> = &[("token", &token_a), ("to_user_id", &user_b), ("action_type", &1)];
        expect(&world, "POST", "/douyin/relation/action/", follow);
        let follows = expect(
            &world,
            "GET",
            "/douyin/relation/follow/list/",
            &[("token", &token_a), ("user_id", &user_a)],
        );
        assert_eq!(follows["user_list"][0]["name"], "douyinTestUserB");
        let followers = expect(
            &world,
            "GET",
            "/douyin/relation/follower/list/",
            &[("token", &token_b), ("user_id", &user_b)],
        );
        assert_eq!(followers["user_list"][0]["name"], "douyinTestUserA");

        let text = "Send to UserB";
        let send: Params<'_> = &[
            ("token", &token_a),
            ("to_user_id", &user_b),
            ("action_type", &1),
            ("content", &text),
            ("content", &text),
        ];
        expect(&world, "POST", "/douyin/message/action/", send);
        for (token, other) in [(&token_a, &user_b), (&token_b, &user_a)] {
            let chat = expect(
                &world,
                "GET",
                "/douyin/message/chat/",
                &[("token", token), ("to_user_id", other)],
            );
            assert_eq!(chat["message_list"].as_array().unwrap().len(), round + 1);
        }
    }
}

/// As the suites do: register, read the token as a string, log in only when it is empty.
fn test_user(site: &Site, name: &str) -> (String, String) {
    let credentials: Params<'_> = &[("username", &name), ("password", &name)];
    let registered = expect_any(site, "POST", "/douyin/user/register/", credentials);
    assert_eq!(registered.status, 200);
    let mut answer = registered.json();
    if answer["token"]
        .as_str()
        .expect("a string also when the name is taken")
        .is_empty()
    {
        answer = expect_any(site, "POST", "/douyin/user/login/", credentials).json();
    }
    let token = answer["token"].as_str().unwrap().to_owned();
    let user = expect(site, "GET", "/douyin/user/", &[("token", &token)]);
    assert_eq!(user["user"]["id"], answer["user_id"], "found by the token alone");
    (as_go_prints(&answer["user_id"]), token)
}

fn a_peers_suite_without_slashes_would_pass(kind: Kind) {
    let world = World::new(kind);
    // Query only, an empty body, and the nonsense type that those tests send.
    let call = |method: &str, path: &str, params: Params<'_>| {
        let target = format!("{path}?{}", encoded(params));
        exchange(
            world.address(),
            head(method, &target, &[("Content-Type", "POST"), ("Content-Length", "0")]),
        )
        .expect("an answer")
        .success()
    };
    let credentials: Params<'_> = &[("username", &"epicmo"), ("password", &"epicmo")];
    let token = call("POST", "/douyin/user/register", credentials)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = Multipart::default().field("title", "bear").file(CLIP).end();
    let target = format!("/douyin/publish/action?token={token}");
    world
        .request("POST", &target, &[("content-type", &*Multipart::content_type())], body)
        .done();
    call(
        "POST",
        "/douyin/favorite/action",
        &[("token", &token), ("video_id", &1), ("action_type", &1)],
    );
    let mine = call("GET", "/douyin/favorite/list", &[("token", &token), ("user_id", &1)]);
    assert_eq!(
        mine["video_list"].as_array().unwrap().len(),
        1,
        "video 1 in a fresh database"
    );
    call(
        "POST",
        "/douyin/favorite/action",
        &[("token", &token), ("video_id", &1), ("action_type", &2)],
    );
    let feed = call("GET", "/douyin/feed", &[("latest_time", &"2006-01-02T15:04:05.999Z")]);
    assert_eq!(
        feed["video_list"].as_array().unwrap().len(),
        1,
        "exactly one after one upload"
    );
    assert_eq!(
        call("GET", "/douyin/user", &[("token", &token), ("user_id", &1)])["user"]["is_follow"],
        false
    );
}
