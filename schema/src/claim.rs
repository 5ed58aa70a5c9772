//! Which store this is, and who serves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel::prelude::*;
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

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Nullable<BigInt>)]
    taken: Option<i64>,
}

impl Claim {
    /// Takes the claim, or says that another process has it. When the claim is lost later to somebody else (the
    /// connection broke and another process was faster), `on_lost` is called: the caller must stop serving.
    pub fn take(options: &Options, on_lost: impl Fn() + Send + 'static) -> Result<Option<Self>, StoreError> {
        let Database::Mysql(url) = &options.database else {
            return Ok(None);
        };
        let name = lock_name(url);
        let mut connection = pool::connect(options, Role::Writer)?;
        if !get_lock(&mut connection, &name)? {
            return Err(StoreError::Internal(
                "another ovation process serves this database already: stop it first, or use a database of its own"
                    .into(),
            ));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let keeper = std::thread::Builder::new()
            .name("claim".into())
            .spawn({
                let (options, stop) = (options.clone(), Arc::clone(&stop));
                move || keep(&options, connection, &name, &stop, on_lost)
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

fn get_lock(connection: &mut DbConnection, name: &str) -> Result<bool, StoreError> {
    let taken: Taken = diesel::sql_query("SELECT CAST(GET_LOCK(?, 0) AS SIGNED) AS taken")
        .bind::<Text, _>(name)
        .get_result(connection)?;
    Ok(taken.taken == Some(1))
}

/// Lock names are server-wide and at most 64 characters: the database's name, shortened by a hash when it is long.
fn lock_name(url: &str) -> String {
    let path = url.split('?').next().unwrap_or(url);
    let database = path.rsplit('/').next().unwrap_or_default();
    if database.len() <= 50 {
        return format!("ovation:{database}");
    }
    // FNV-1a: only distinctness is wanted, and it must stay the same for every version of this binary.
    let hash = database.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("ovation:{hash:016x}")
}

fn keep(options: &Options, connection: DbConnection, name: &str, stop: &AtomicBool, on_lost: impl Fn()) {
    use diesel::connection::SimpleConnection;
    let mut connection = Some(connection);
    while !stop.load(Ordering::Relaxed) {
        std::thread::park_timeout(CHECK);
        let alive = connection
            .as_mut()
            .is_some_and(|connection| connection.batch_execute("SELECT 1").is_ok());
        if alive || stop.load(Ordering::Relaxed) {
            continue;
        }
        // While the database is away nobody can write to it, so there is nothing to protect until it is back.
        connection = pool::connect(options, Role::Writer).ok();
        if let Some(fresh) = connection.as_mut() {
            match get_lock(fresh, name) {
                Ok(true) => tracing::info!("the claim on the database was taken again"),
                Ok(false) => {
                    tracing::error!("another process has taken this database over");
                    on_lost();
                    return;
                }
                Err(_) => connection = None,
            }
        }
    }
}
