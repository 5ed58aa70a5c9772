//! The likes' way put together: the ledger in the data folder, the counters over it and the store.
//!
//! Owns which settings mean what to them, and what happens when something is lost that can't be restarted: the process
//! ends with its reason, and its next start recovers from the ledger. Half a server never lives on.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use ovation_actors::counters::{Counters, FlushError, Settings};
use ovation_actors::ledger::{self, OpenOptions, SqliteLedger};
use ovation_schema::Store;

use crate::config::{Config, LedgerSync};
use crate::logging;
use crate::server::store_options;

/// The ledger's file in the data folder.
pub const LEDGER_FILE: &str = "ledger.db";

/// Database connections of the likes' own, on top of `db_connections`: one looks up, one flushes, and one is to spare
/// while a look-up that was given up still holds its own.
const CONNECTIONS: u32 = 3;

/// Opens the ledger and starts the counters with everything the store does not have yet. Blocks; not for async threads.
pub fn start(config: &Config, data_dir: &Path, store: &Store) -> anyhow::Result<Counters> {
    // A storm of reads must not keep the likes from their look-ups and flushes.
    let own = store.apart(&store_options(config, data_dir), CONNECTIONS)?;
    let options = OpenOptions {
        sync: match config.ledger_sync {
            LedgerSync::Always => ledger::Sync::Always,
            LedgerSync::Os => ledger::Sync::Os,
        },
        max_bytes: config.ledger_max_bytes,
        ..OpenOptions::new(store.store_id())
    };
    let ledger = SqliteLedger::open(&data_dir.join(LEDGER_FILE), options).context("the ledger can't be opened")?;
    let settings = Settings {
        flush_interval: config.flush_interval,
        flush_max: config.flush_max,
        // Longer than any read takes: `Store` gives up on one after these two.
        keep: config.db_acquire_timeout + config.db_statement_timeout + Duration::from_secs(3),
        ..Settings::default()
    };
    let start = Counters::start(Box::new(ledger), own, settings, end_process);
    Ok(runtime()?.block_on(start)?)
}

#[expect(clippy::needless_pass_by_value, reason = "what the counters call with")]
fn end_process(reason: String) {
    logging::end_process(|| {
        tracing::error!(
            reason,
            "the likes can't go on: this process ends, and its next start recovers from the ledger"
        );
    });
}

/// Brings everything acknowledged into the store. Blocks; not for async threads.
pub fn flush(counters: &Counters) -> anyhow::Result<Result<(), FlushError>> {
    Ok(runtime()?.block_on(counters.flush_now()))
}

/// Ends the counters: nothing new is taken, what waits is flushed within `patience` or left to the next start. Blocks.
pub fn stop(counters: &Counters, patience: Duration) -> anyhow::Result<()> {
    if let Err(error) = runtime()?.block_on(counters.stop(patience)) {
        tracing::warn!(%error, "likes stay in the ledger; the next start brings them into the database");
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
