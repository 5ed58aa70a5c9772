//! Tokens: opaque, unforgeable, mortal (contract section 4).

use std::time::Duration;

use crate::harness::clip::CLIP;
use crate::harness::{ENDPOINTS, Kind, Persona, TokenRule, World, eventually, on_both_stores};

on_both_stores!(
    guests_are_served_where_the_contract_says_so,
    no_change_of_any_character_is_accepted,
    made_up_tokens_are_refused,
    a_token_dies_when_its_time_is_over,
    logins_do_not_end_each_other,
    a_restart_keeps_tokens,
    a_token_tells_nothing,
);

/// One call of each endpoint that would succeed with a good token, except the upload.
fn calls(video: i64, other: i64) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let video = ("video_id", video.to_string());
    let other_user = ("to_user_id", other.to_string());
    let user = ("user_id", other.to_string());
    let one = ("action_type", "1".to_owned());
    vec![
        ("/douyin/feed/", vec![]),
        ("/douyin/user/", vec![user.clone()]),
        ("/douyin/publish/list/", vec![user.clone()]),
        ("/douyin/favorite/action/", vec![video.clone(), one.clone()]),
        ("/douyin/favorite/list/", vec![user.clone()]),
        (
            "/douyin/comment/action/",
            vec![video.clone(), one.clone(), ("comment_text", "x".into())],
        ),
        ("/douyin/comment/list/", vec![video]),
        ("/douyin/relation/action/", vec![other_user.clone(), one.clone()]),
        ("/douyin/relation/follow/list/", vec![user.clone()]),
        ("/douyin/relation/follower/list/", vec![user.clone()]),
        ("/douyin/relation/friend/list/", vec![user]),
        (
            "/douyin/message/action/",
            vec![other_user.clone(), one, ("content", "x".into())],
        ),
        ("/douyin/message/chat/", vec![other_user]),
    ]
}

/// With this token nothing happens and no viewer flag is true, on any endpoint.
fn is_nobodys(ann: &Persona, ben: &Persona, video: i64, token: &str) {
    let bearer = ann.with_token(token);
    for (path, params) in calls(video, ben.id) {
        let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.path == path).unwrap();
        let params: Vec<(&str, &dyn std::fmt::Display)> = params
            .iter()
            .map(|(key, value)| (*key, value as &dyn std::fmt::Display))
            .collect();
        let reply = bearer.call(endpoint.method, path, &params);
        if endpoint.token == TokenRule::Required {
            reply.refused();
        } else {
            reply.success();
            assert!(!reply.text().contains("true"), "{path}: {}", reply.text());
        }
    }
    // A user without an id: only the token could say who.
    bearer.get("/douyin/user/", &[]).refused();
    bearer.uploads("x", CLIP).refused();
}

fn scene(kind: Kind) -> (World, Persona, Persona, i64) {
    let world = World::new(kind);
    let (ann, ben) = (world.register("ann"), world.register("ben"));
    let video = ben.publishes("sea");
    ann.favorites(&video);
    ann.follows(&ben);
    ben.favorites(&video);
    (world, ann, ben, video.id)
}

/// What anybody sees of the scene: unchanged when nothing got through.
fn state(world: &World, ann: &Persona, ben: &Persona) -> String {
    let chat = ann.chat(ben, &0);
    format!("{:?} {:?} {:?} {chat:?}", world.feed(), ann.profile(), ben.profile())
}

fn guests_are_served_where_the_contract_says_so(kind: Kind) {
    let (world, ann, ben, video) = scene(kind);
    let before = state(&world, &ann, &ben);
    is_nobodys(&ann, &ben, video, "");
    for (path, params) in calls(video, ben.id) {
        let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.path == path).unwrap();
        let params: Vec<(&str, &dyn std::fmt::Display)> = params
            .iter()
            .map(|(key, value)| (*key, value as &dyn std::fmt::Display))
            .collect();
        let absent = world.call(endpoint.method, path, &params);
        let empty = world.guest().call(endpoint.method, path, &params);
        let text = |reply: &crate::harness::Reply| {
            // An empty feed's next_time is the clock; nothing else may differ.
            reply.text().split("\"next_time\"").next().unwrap().to_owned()
        };
        assert_eq!(text(&absent), text(&empty), "{path}: empty and absent are alike");
    }
    assert_eq!(state(&world, &ann, &ben), before);
}

fn no_change_of_any_character_is_accepted(kind: Kind) {
    let (world, ann, ben, _) = scene(kind);
    let before = state(&world, &ann, &ben);
    for at in 0..ann.token.len() {
        let old = ann.token.as_bytes()[at];
        // The neighbours in the alphabet: where a character carries unused bits only they would slip through.
        for new in [old ^ 1, old ^ 2, if old == b'A' { b'B' } else { b'A' }, b'.'] {
            let mut bytes = ann.token.clone().into_bytes();
            bytes[at] = new;
            let Ok(token) = String::from_utf8(bytes) else { continue };
            if token != ann.token {
                ann.with_token(&token)
                    .get("/douyin/relation/friend/list/", &[])
                    .refused();
            }
        }
    }
    let token = &ann.token;
    for token in [
        token[1..].to_owned(),
        token[..token.len() - 1].to_owned(),
        format!("{token}="),
        format!("{token}A"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{token}\0"),
        format!("Bearer {token}"),
        token.to_uppercase(),
        token.chars().rev().collect(),
    ] {
        ann.with_token(&token)
            .get("/douyin/relation/friend/list/", &[])
            .refused();
    }
    assert_eq!(state(&world, &ann, &ben), before);
}

fn made_up_tokens_are_refused(kind: Kind) {
    use base64::Engine;
    let (world, ann, ben, video) = scene(kind);
    let before = state(&world, &ann, &ben);
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let parts: Vec<&str> = ann.token.split('.').collect();
    let (head, payload) = (parts[0], parts.get(1).copied().unwrap_or_default());
    let none = encode(r#"{"alg":"none","typ":"JWT"}"#);
    let of_ben: Vec<&str> = ben.token.split('.').collect();
    let swapped = format!("{head}.{}.{}", of_ben.get(1).unwrap_or(&"x"), parts.last().unwrap());
    let made_up = [
        ann.id.to_string(),
        "ann".to_owned(),
        format!("ann{}", crate::harness::site::PASSWORD),
        "null".to_owned(),
        "undefined".to_owned(),
        "' OR '1'='1".to_owned(),
        "..".to_owned(),
        "\u{0}".to_owned(),
        "🦀".to_owned(),
        format!("{none}.{payload}."),
        format!("{none}.{payload}"),
        format!("{head}.{payload}."),
        format!("{head}.{payload}.{}", encode("signature")),
        swapped,
    ];
    for token in &made_up {
        is_nobodys(&ann, &ben, video, token);
    }
    let endless = "a".repeat(5001);
    ann.with_token(&endless)
        .get("/douyin/relation/friend/list/", &[])
        .refused_as(&[200, 400, 414, 431]);

    let other_site = World::new(kind);
    let foreign = other_site.register("ann");
    is_nobodys(&ann, &ben, video, &foreign.token);
    assert_eq!(state(&world, &ann, &ben), before);
}

fn a_token_dies_when_its_time_is_over(kind: Kind) {
    let world = World::with(kind, |config| config.token_lifetime = Duration::from_secs(2));
    let ann = world.register("ann");
    ann.get("/douyin/relation/friend/list/", &[]).success();
    eventually("a token of two seconds dies", Duration::from_secs(8), || {
        let reply = ann.get("/douyin/relation/friend/list/", &[]);
        (!reply.text().contains("\"status_code\":0")).then(|| reply.refused())
    });
    ann.get("/douyin/feed/", &[]).success();
    world.login("ann").get("/douyin/relation/friend/list/", &[]).success();
}

fn logins_do_not_end_each_other(kind: Kind) {
    let world = World::new(kind);
    let people = [world.register("ann"), world.login("ann"), world.login("ann")];
    for person in people {
        assert_eq!(person.friends(), []);
    }
}

fn a_restart_keeps_tokens(kind: Kind) {
    let mut world = World::new(kind);
    let ann = world.register("ann");
    let video = ann.publishes("sea");
    world.stop();
    world.start_again();
    ann.favorites(&video);
    let seen = &ann.works_of(ann.id)[0];
    assert_eq!((seen.id, seen.favorite_count, seen.is_favorite), (video.id, 1, true));
    assert_eq!(world.get(&seen.play_url).body, CLIP, "under the new port");
    assert!(world.register("ben").id > ann.id, "no id is used twice");
}

fn a_token_tells_nothing(kind: Kind) {
    use base64::Engine;
    let world = World::new(kind);
    let reply = world.call(
        "POST",
        "/douyin/user/register/",
        &[("username", &"ann"), ("password", &"sesame-open-9")],
    );
    let ann = Persona::welcomed(&world, "ann", &reply);
    assert!(ann.token.len() <= 1024 && ann.token.is_ascii());
    let decoded: Vec<String> = ann
        .token
        .split('.')
        .filter_map(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect();
    for text in decoded.iter().chain([&ann.token]) {
        assert!(!text.contains("sesame"), "{text}");
    }
}
