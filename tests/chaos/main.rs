//! The chaos test: people chat over real sockets while everything between them and the disk fails, and one question at
//! the end: did every device hear exactly what is stored, once, in order?
//!
//! Devices (`device`) resume, resend and come back as `docs/protocol.md` asks of a client, over connections that are cut
//! wherever it hurts (`link`); one device polls `/events`, one the camp's chat endpoint (`pollers`); others follow,
//! comment, like and write over REST beside them (`visitors`). Meanwhile the server is killed, told to stop, and
//! started again, and on MariaDB the database is killed and frozen (`scene`). In between everybody falls silent now and
//! then, and must have heard everything without connecting again: that is what finds a push that was forgotten. At the
//! end the rows (`stored`) are compared with what every device recorded (`record`, `compare`).
//!
//! - `OVATION_TEST_KILLS`: kills on each store; the default keeps both together well under 90 seconds.
//! - `OVATION_TEST_SEED`: the plan to repeat, as a failure prints it. Threads run as they like, so the same seed means the
//!   same kinds of mishap after the same number of acknowledgements, not the same microsecond.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets something unexpected has failed, and says where"
)]

#[path = "../harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unused_macros,
    clippy::missing_panics_doc,
    reason = "the stories' harness, of which this needs a part; there, all of it is checked"
)]
mod harness;

#[path = "../crash/plan.rs"]
mod plan;

mod compare;
mod device;
mod link;
mod mishap;
mod outgoing;
mod pollers;
mod record;
mod scene;
mod stage;
mod stored;
mod visitors;

/// What says how often to kill.
const CYCLES: &str = "OVATION_TEST_KILLS";
