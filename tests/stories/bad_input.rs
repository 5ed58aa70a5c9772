//! The table of bad input: a clear refusal, and not a thing changed (issue "Bad input", contract 3.6 and 8).

use std::fmt::Display;

use crate::harness::{Kind, Persona, Video, World, on_both_stores};

on_both_stores!(
    bad_ids_are_refused_by_every_action,
    bad_action_types_are_refused_by_every_action,
    missing_parameters_are_refused_by_every_action,
    bad_ids_in_lists_show_nobody,
    exponent_forms_of_existing_ids_are_understood,
);

/// Neither 0 nor absent, which mean "mine" to some lists.
const NO_IDS: &[&str] = &[
    "-1",
    "-0",
    "abc",
    "1.5",
    "+1",
    " 1",
    "1 ",
    "1\u{0}",
    "0x1",
    "１",
    "\u{661}",
    "1,0",
    "1_0",
    "1e",
    "1e-1",
    "e1",
    "1e400",
    "-1e0",
    "NaN",
    "inf",
    "null",
    "true",
    "[1]",
    "999999",
    "4294967297",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551617",
    "340282366920938463463374607431768211457",
    "-9223372036854775809",
    "1 OR 1=1",
];

const NO_ACTIONS: &[&str] = &[
    "",
    "0",
    "3",
    "-1",
    "abc",
    "1.5",
    "12",
    "4294967297",
    "18446744073709551617",
    "null",
    "one",
    "\u{661}",
    "1\u{0}",
    "1e400",
];

struct Scene {
    world: World,
    ann: Persona,
    ben: Persona,
    video: Video,
    comment: i64,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let world = World::new(kind);
        let (ann, ben) = (world.register("ann"), world.register("ben"));
        let video = ben.publishes("sea");
        let comment = ann.comments(&video, "kept").id;
        ben.favorites(&video);
        ben.follows(&ann);
        ann.tells(&ben, "hello");
        Self {
            world,
            ann,
            ben,
            video,
            comment,
        }
    }

    /// All that anybody can see.
    fn state(&self) -> String {
        let people = [&self.ann, &self.ben].map(|person| {
            format!(
                "{:?} {:?} {:?} {:?} {:?}",
                person.profile(),
                person.favorites_of(person.id),
                person.following_of(person.id),
                person.followers_of(person.id),
                person.friends(),
            )
        });
        let comments = self.ann.comments_of(&self.video);
        format!(
            "{people:?} {:?} {comments:?} {:?}",
            self.world.feed(),
            self.ann.chat(&self.ben, &0)
        )
    }

    /// Sends each action with `replace` put into its parameters; all must be refused, and nothing change.
    fn refuses(&self, replace: &dyn Fn(&'static str, &str) -> Option<String>, what: &str) {
        let before = self.state();
        for (path, params) in self.actions() {
            let changed: Vec<(&str, Option<String>)> =
                params.iter().map(|(key, value)| (*key, replace(key, value))).collect();
            let same = changed
                .iter()
                .zip(&params)
                .all(|((_, new), (_, old))| new.as_ref() == Some(old));
            if same {
                continue;
            }
            let sent: Vec<(&str, &dyn Display)> = changed
                .iter()
                .filter_map(|(key, value)| value.as_ref().map(|value| (*key, value as &dyn Display)))
                .collect();
            let reply = self.ann.post(path, &sent);
            assert!(
                !reply.text().contains("\"status_code\":0"),
                "{path} {what}: {}",
                reply.text()
            );
            reply.refused();
        }
        assert_eq!(self.state(), before, "{what}");
    }

    /// Every action that would succeed, as ann.
    fn actions(&self) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
        let video = ("video_id", self.video.id.to_string());
        let to = ("to_user_id", self.ben.id.to_string());
        let action = |kind: i64| ("action_type", kind.to_string());
        vec![
            ("/douyin/favorite/action/", vec![video.clone(), action(1)]),
            (
                "/douyin/comment/action/",
                vec![video.clone(), action(1), ("comment_text", "no".into())],
            ),
            (
                "/douyin/comment/action/",
                vec![video, action(2), ("comment_id", self.comment.to_string())],
            ),
            ("/douyin/relation/action/", vec![to.clone(), action(1)]),
            ("/douyin/message/action/", vec![to, action(1), ("content", "no".into())]),
        ]
    }
}

fn bad_ids_are_refused_by_every_action(kind: Kind) {
    let scene = Scene::new(kind);
    for bad in NO_IDS.iter().chain(&["", "0"]) {
        for id in ["video_id", "to_user_id", "comment_id"] {
            let replace =
                |key: &'static str, value: &str| Some(if key == id { (*bad).to_owned() } else { value.to_owned() });
            scene.refuses(&replace, &format!("{id}={bad:?}"));
        }
    }
}

fn bad_action_types_are_refused_by_every_action(kind: Kind) {
    let scene = Scene::new(kind);
    for bad in NO_ACTIONS {
        let replace = |key: &'static str, value: &str| {
            Some(if key == "action_type" {
                (*bad).to_owned()
            } else {
                value.to_owned()
            })
        };
        scene.refuses(&replace, &format!("action_type={bad:?}"));
    }
}

fn missing_parameters_are_refused_by_every_action(kind: Kind) {
    let scene = Scene::new(kind);
    for missing in [
        "video_id",
        "to_user_id",
        "comment_id",
        "action_type",
        "comment_text",
        "content",
    ] {
        scene.refuses(
            &|key, value| (key != missing).then(|| value.to_owned()),
            &format!("no {missing}"),
        );
        let needs_text = |key: &'static str, value: &str| {
            Some(if key == missing {
                String::new()
            } else {
                value.to_owned()
            })
        };
        scene.refuses(&needs_text, &format!("an empty {missing}"));
    }
}

fn bad_ids_in_lists_show_nobody(kind: Kind) {
    let scene = Scene::new(kind);
    let before = scene.state();
    let lists = [
        ("/douyin/publish/list/", "user_id", "video_list"),
        ("/douyin/favorite/list/", "user_id", "video_list"),
        ("/douyin/relation/follow/list/", "user_id", "user_list"),
        ("/douyin/relation/follower/list/", "user_id", "user_list"),
        ("/douyin/comment/list/", "video_id", "comment_list"),
        ("/douyin/message/chat/", "to_user_id", "message_list"),
    ];
    for (path, parameter, list) in lists {
        for bad in NO_IDS {
            // Ben, about whom each list but one has something to tell: an accident would show it.
            let reply = scene.ben.get(path, &[(parameter, bad)]);
            if reply.text().contains("\"status_code\":0") {
                let length = reply.success()[list].as_array().unwrap().len();
                assert_eq!(length, 0, "{path} {bad:?}");
            } else {
                reply.refused();
            }
        }
    }
    for path in ["/douyin/comment/list/", "/douyin/message/chat/"] {
        scene.ben.get(path, &[]).refused();
    }
    for path in [
        "/douyin/publish/list/",
        "/douyin/favorite/list/",
        "/douyin/relation/follow/list/",
    ] {
        scene.world.guest().get(path, &[("user_id", &0)]).refused();
    }
    assert_eq!(scene.state(), before);
}

fn exponent_forms_of_existing_ids_are_understood(kind: Kind) {
    let scene = Scene::new(kind);
    // What Go's float formatting makes of ids; the official tests send them back that way.
    let (video, ben) = (format!("{}e+00", scene.video.id), format!("{}e0", scene.ben.id));
    scene
        .ann
        .post("/douyin/favorite/action/", &[("video_id", &video), ("action_type", &1)])
        .done();
    assert!(scene.ann.sees(&scene.video).is_favorite);
    scene
        .ann
        .post("/douyin/relation/action/", &[("to_user_id", &ben), ("action_type", &1)])
        .done();
    assert!(scene.ann.profile_of(scene.ben.id).is_follow);
    let comment = format!("{}E0", scene.comment);
    scene
        .ann
        .post(
            "/douyin/comment/action/",
            &[("video_id", &video), ("action_type", &2), ("comment_id", &comment)],
        )
        .success();
    assert_eq!(scene.ann.comments_of(&scene.video), []);
}
