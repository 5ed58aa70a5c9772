//! Which store this is, and who serves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::backend::{DbConnection, Role};
use crate::error::StoreError;
use crate::pool;
use crate::store::{Database, Options};
use crate::tables::store;

/// Reads the store's id, and makes it when the store is new.
pub(crate) fn store_id(connection: &mut DbConnection) -> Result<String, StoreError> {
    let read = |connection: &mut DbConnection| {
        store::table
            .find(1)
            .select(store::store_id)
            .first::<String>(connection)
            .optional()
    };
    if let Some(id) = read(connection)? {
        return Ok(id);
    }
    let id = format!("{:032x}", rand::random::<u128>());
    let made = diesel::insert_into(store::table)
        .values((
            store::id.eq(1),
            store::store_id.eq(&id),
            store::created_at.eq(crate::now_ms()),
            store::epoch.eq(crate::streams::new_epoch()),
        ))
        .execute(connection);
    match made.map_err(StoreError::from) {
        // Two processes may start on one new database; the first one's id stands.
        Ok(_) | Err(StoreError::Duplicate) => {
            read(connection)?.ok_or_else(|| StoreError::Internal("the store has no id".into()))
        }
        Err(error) => Err(error),
    }
}

/// The database-wide claim of the process that serves a MySQL store: a `GET_LOCK` on a connection of its own, which the
/// server frees when that connection ends. SQLite needs none: the lock on the data folder covers its file.
pub struct Claim {
    stop: Arc<AtomicBool>,
    keeper: Option<std::thread::JoinHandle<()>>,
}

/// How often the claim's connection is asked whether it still lives.
const CHECK: Duration = Duration::from_secs(2);
/// After so many seconds of silence the server itself ends the claim's connection, and with it the claim: a machine
/// that lost its power or its network says no farewell, and its successor must not wait for TCP to notice.
const SILENCE_SECONDS: u32 = 30;
/// Lock names are server-wide and at most 64 characters. Made by the server, which knows one name for each database.
const NAME: &str = "CONCAT('ovation:', SHA1(DATABASE()))";

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

/// A connection as the server sees it. The address has the port in it, so it tells this connection from one that got
/// the same number after a restart of the server.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
struct Session {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    host: String,
}

impl Claim {
    /// Takes the claim, or says that another process has it. When the claim is lost later to somebody else (the
    /// connection broke and another process was faster), `on_lost` is called: the caller must stop serving.
    pub fn take(options: &Options, on_lost: impl Fn() + Send + 'static) -> Result<Option<Self>, StoreError> {
        let Database::Mysql(_) = &options.database else {
            return Ok(None);
        };
        let mut connection = connect(options)?;
        if !get_lock_soon(&mut connection)? {
            return Err(StoreError::Internal(
                "another ovation process serves this database already: stop it first, or use a database of its own"
                    .into(),
            ));
        }
        let ours = session(&mut connection, "CONNECTION_ID()")?.into_iter().collect();
        let stop = Arc::new(AtomicBool::new(false));
        let keeper = std::thread::Builder::new()
            .name("claim".into())
            .spawn({
                let (options, stop) = (options.clone(), Arc::clone(&stop));
                move || keep(&options, connection, ours, &stop, on_lost)
            })
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Some(Self {
            stop,
            keeper: Some(keeper),
        }))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            keeper.thread().unpark();
            // It holds nothing but its connection; a panic there has been logged and frees the lock as well.
            let _ = keeper.join();
        }
    }
}

fn connect(options: &Options) -> Result<DbConnection, StoreError> {
    let mut connection = pool::connect(options, Role::Writer)?;
    connection.batch_execute(&format!("SET SESSION wait_timeout = {SILENCE_SECONDS}"))?;
    Ok(connection)
}

fn get_lock(connection: &mut DbConnection) -> Result<bool, StoreError> {
    let taken: Number =
        diesel::sql_query(format!("SELECT CAST(GET_LOCK({NAME}, 0) AS SIGNED) AS number")).get_result(connection)?;
    Ok(taken.number == Some(1))
}

/// Tries for 2 s: the server frees the lock of a connection that has ended a moment later, and whoever starts in the
/// place of a process that was just killed must not be refused for that moment.
fn get_lock_soon(connection: &mut DbConnection) -> Result<bool, StoreError> {
    for _ in 0..100 {
        if get_lock(connection)? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

/// The session whose number `id` computes, where this user may see it.
fn session(connection: &mut DbConnection, id: &str) -> Result<Option<Session>, StoreError> {
    let query = format!(
        "SELECT CAST(id AS SIGNED) AS id, host FROM information_schema.processlist WHERE id = {id} AND host LIKE '%:%'"
    );
    Ok(diesel::sql_query(query).get_result(connection).optional()?)
}

/// Takes the claim on a new connection. Where a broken one of `ours` still holds it, because the server has not noticed
/// yet that nobody is at its other end, that one is ended first.
fn retake(connection: &mut DbConnection, ours: &mut Vec<Session>) -> Result<bool, StoreError> {
    let fresh = session(connection, "CONNECTION_ID()")?;
    // Before the try: when its answer is lost, this session may be the next ghost.
    ours.extend(fresh.clone());
    if !get_lock(connection)? && !end_ghost(connection, ours)? {
        return Ok(false);
    }
    *ours = fresh.into_iter().collect();
    Ok(true)
}

/// Ends those of `ours` that still hold the claim and takes it, or says that somebody else has it.
///
/// A ghost may let go between any two of these questions, and is out of the list of sessions a moment before its lock is
/// free: only a holder that is seen and is not ours is somebody else at once. One that can't be seen (another account's)
/// is believed after two seconds.
fn end_ghost(connection: &mut DbConnection, ours: &[Session]) -> Result<bool, StoreError> {
    for _ in 0..100 {
        match session(connection, &format!("IS_USED_LOCK({NAME})"))? {
            Some(ghost) if ours.contains(&ghost) => {
                // It may have ended by itself meanwhile, which is an error to say; the lock tells.
                let _ = connection.batch_execute(&format!("KILL CONNECTION {}", ghost.id));
            }
            Some(_) => return Ok(false),
            None => {}
        }
        if get_lock(connection)? {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

fn keep(options: &Options, connection: DbConnection, mut ours: Vec<Session>, stop: &AtomicBool, on_lost: impl Fn()) {
    let mut connection = Some(connection);
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(CHECK);
        let alive = connection.as_mut().is_some_and(|connection| connection.ping().is_ok());
        if alive || stop.load(Ordering::Relaxed) {
            continue;
        }
        // While the database is away nobody can write to it, so there is nothing to protect until it is back.
        connection = None;
        let retaken = connect(options).and_then(|mut fresh| Ok((retake(&mut fresh, &mut ours)?, fresh)));
        match retaken {
            Ok((true, fresh)) => {
                tracing::info!("the claim on the database was taken again");
                connection = Some(fresh);
            }
            Ok((false, _)) => {
                tracing::error!("another process has taken this database over");
                on_lost();
                return;
            }
            Err(error) => tracing::debug!(%error, "the claim on the database could not be taken again yet"),
        }
    }
    // By word, since the server notices a closed connection only a moment later. Not where it hangs.
    if let Some(mut connection) = connection
        && connection.ping().is_ok()
    {
        let _ = connection.batch_execute(&format!("DO RELEASE_LOCK({NAME})"));
    }
}
