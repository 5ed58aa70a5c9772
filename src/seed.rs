//! `ovation seed`: a large, reproducible world in an empty store, to measure and to try things with.
//!
//! Owns the command from the locks to the commit. Everything is written in one transaction: whoever interrupts it finds
//! an empty store, and the clips that stay behind are removed by the next start of the server. Never adds to a store that
//! somebody is in.

mod chats;
mod progress;
mod shape;
mod size;
mod texts;
mod world;

#[cfg(test)]
pub(crate) mod recount;
#[cfg(test)]
mod tests;

use std::time::Instant;

use anyhow::{Context as _, bail};
use ovation_schema::bulk::Bulk;
use ovation_schema::{Claim, DbConnection, StoreError, migrate};

use crate::auth::{PasswordHasher, PoolSettings};
use crate::config::Config;
use crate::demo::KeptClips;
use crate::identity::DataDir;
use crate::media::{Media, MediaLimits};
use crate::server::store_options;
use progress::Progress;
use world::Makings;

pub use size::Size;

/// Seeds the store that the configuration names and says in a sentence what is there now. Blocks; not for async threads.
///
/// With a password everybody has it (one hash for all, to be quick); without, nobody can log in. Takes the locks that a
/// server takes: neither runs beside the other.
pub fn run(config: &Config, size: Size, password: Option<&str>) -> anyhow::Result<String> {
    let start = Instant::now();
    let data_dir = DataDir::open(&config.data_dir)?;
    let options = store_options(config, data_dir.path());
    // Whoever takes the database over while this one was cut off finds it as empty as it was.
    let _claim = Claim::take(&options, || std::process::exit(1)).context("the database can't be claimed")?;
    let mut connection = ovation_schema::connect(&options).context("the database can't be opened")?;
    migrate::run(&mut connection)?;
    let media = Media::open(data_dir.path(), MediaLimits::default()).context("the media folder can't be opened")?;
    seed(&mut connection, size, password, &media)?;
    let login = if password.is_some() {
        "each with the password given"
    } else {
        "none of whom can log in (see --password)"
    };
    Ok(format!(
        "{} rows in {:.1} s: the users user1 to user{}, {login}",
        size.rows(),
        start.elapsed().as_secs_f64(),
        size.users,
    ))
}

fn seed(connection: &mut DbConnection, size: Size, password: Option<&str>, media: &Media) -> anyhow::Result<()> {
    // Only for what is asynchronous by itself: the connection must not be used on a thread that drives a runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let Some(bulk) = Bulk::begin(connection)? else {
        bail!(
            "there are users in this store already, and a seeded world needs an empty one: choose another --data-dir or \
             database"
        );
    };
    let password_hash = runtime.block_on(hash(password))?;
    let clips = runtime.block_on(KeptClips::keep(media))?;
    let makings = Makings {
        password_hash,
        media: clips.names(),
    };
    let mut progress = Progress::new(size.rows());
    let planted = world::plant(size, &makings, bulk, &mut progress);
    progress.end();
    match planted {
        Ok(()) => {
            clips.commit();
            Ok(())
        }
        // The commit's answer may be what was lost; the clips stay, and the sweep of the next start decides.
        Err(error @ StoreError::Unavailable(_)) => Err(error).context("the world can't be stored"),
        Err(error) => {
            runtime.block_on(clips.discard());
            Err(error).context("the world can't be stored; the store is as empty as before")
        }
    }
}

/// Without a password the hash is that of one nobody knows. A text that is no hash would do as well, but every login of
/// such a user would be reported as a damaged row.
async fn hash(password: Option<&str>) -> anyhow::Result<String> {
    let unknown = || format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let password = password.map_or_else(unknown, str::to_owned);
    let hasher = PasswordHasher::start(PoolSettings::default())?;
    Ok(hasher.hash(password).await?)
}
