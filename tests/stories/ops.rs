//! What operators and probes ask.

use crate::harness::{Kind, World, on_both_stores};

on_both_stores!(probes_answer, pictures_of_default_profiles_are_real);

fn probes_answer(kind: Kind) {
    let world = World::new(kind);
    let ping = world.get("/ping");
    assert_eq!((ping.status, ping.text()), (200, r#"{"message":"pong"}"#));
    for path in ["/healthz", "/readyz"] {
        let reply = world.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    }
    for path in ["/", "/ping", "/healthz", "/readyz", "/version"] {
        let head = world.request("HEAD", path, &[], Vec::new());
        assert_eq!((head.status, head.text()), (200, ""), "{path}");
        let post = world.request("POST", path, &[], Vec::new());
        assert_eq!(post.status, 405, "{path}");
        assert!(post.text().contains("\"status_code\":1004"), "{path}: {}", post.text());
    }
    let ann = world.register("ann");
    let _sockets = (ann.socket(), ann.socket());
    assert_eq!(
        world.get("/readyz").json()["sockets"],
        serde_json::json!({ "open": 2, "without_hello": 0, "users": 1, "connections": 2, "rooms": 0 })
    );
    let version = world.get("/version");
    assert_eq!(version.status, 200);
    assert!(version.text().contains(env!("CARGO_PKG_VERSION")), "{}", version.text());
}

fn pictures_of_default_profiles_are_real(kind: Kind) {
    let world = World::new(kind);
    let people: Vec<_> = (0..8)
        .map(|number| world.register(&format!("person{number}")))
        .collect();
    for person in people {
        let profile = person.profile();
        for url in [profile.avatar, profile.background_image] {
            let reply = world.get(&url);
            let kind = reply.header("content-type").unwrap_or_default();
            assert!(
                reply.status == 200 && kind.starts_with("image/"),
                "{url}: {} {kind}",
                reply.status
            );
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{url}");
        }
    }
}
