//! The JavaScript client (`static/js/client.js`) under Node: against a server of its own, and against this one.

use std::process::{Command, Stdio};

use crate::harness::{Kind, World, on_both_stores};

on_both_stores!(the_client_chats_and_resumes_on_the_real_server);

/// Runs the client's tests; what they say is shown when one fails.
fn node(url: Option<&str>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/js");
    let file = if url.is_some() {
        "server.test.mjs"
    } else {
        "client.test.mjs"
    };
    let mut command = Command::new("node");
    command.current_dir(folder).args(["--test", file]).stdin(Stdio::null());
    command
        .env_remove("OVATION_TEST_URL")
        .envs(url.map(|url| ("OVATION_TEST_URL", url)));
    let output = command.output().expect("node (tests/setup installs it)");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_client_keeps_its_promises_whatever_a_server_does() {
    node(None);
}

fn the_client_chats_and_resumes_on_the_real_server(kind: Kind) {
    let world = World::new(kind);
    node(Some(&world.url("")));
}
