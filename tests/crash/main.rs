//! The crash test: servers that are killed, databases that are killed, disks that lose their power, and one question
//! after each: is everything that was acknowledged there, once?
//!
//! Every client writes down what it asks for before it sends it, and what was acknowledged after the answer (`record`).
//! After each crash the server starts again over what is left, everything is read through the public API (`seen`) and
//! compared with those records (`compare`). `kill` ends the process, on MariaDB also the database; `power_cut` takes away
//! whatever was not synced (`disk`, `powercut.c`); `forgetful` has MariaDB lose its last second; `trimmed` empties the ledger
//! in between. The power cuts are shown to fail with a lying disk and an unsynced ledger, the comparison with every kind
//! of loss and doubling.
//!
//! - `OVATION_TEST_CYCLES`: crashes in each mode; the default keeps all of them together well under a minute.
//! - `OVATION_TEST_SEED`: the plan to repeat, as a failure prints it. Threads run as they like, so the same seed means
//!   the same kind of crash after the same number of acknowledgements, not the same microsecond.
//! - `OVATION_TEST_ORACLE`: a folder that gets what every client asked for and was told, a file a mode.
//! - `OVATION_FLUSH_…` and `OVATION_LEDGER_…` settings reach the servers under test.

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

mod client;
mod compare;
mod disk;
mod forgetful;
mod kill;
mod plan;
mod power_cut;
mod record;
mod scene;
mod seen;
mod trimmed;

/// What says how often to crash.
const CYCLES: &str = "OVATION_TEST_CYCLES";
