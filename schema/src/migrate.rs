//! Migrations: the same names for both stores, inside the binary.

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::backend::DbConnection;
use crate::error::StoreError;

const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("../migrations/mysql");

/// One migration and whether the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Its name: date, number, subject.
    pub name: String,
    /// It was run on this store.
    pub applied: bool,
}

fn refused(error: impl std::fmt::Display) -> StoreError {
    StoreError::Internal(format!("migration: {error}"))
}

/// Refuses a store that a newer binary has migrated: this one can't know what its tables mean.
fn check_not_newer<S>(connection: &mut impl MigrationHarness<S::Db>, source: &S) -> Result<(), StoreError>
where
    S: Source,
{
    let known = source.named()?;
    let applied = connection.applied_migrations().map_err(refused)?;
    match applied
        .iter()
        .find(|version| known.iter().all(|(known, _)| known != *version))
    {
        None => Ok(()),
        Some(version) => Err(StoreError::Internal(format!(
            "the database has the migration {version}, which this version of ovation does not know: \
             use the newer ovation that made it, or restore a backup"
        ))),
    }
}

/// A migration source of one store's dialect.
trait Source: MigrationSource<Self::Db> {
    type Db: diesel::backend::Backend;
    /// Every migration's version and name, oldest first.
    fn named(&self) -> Result<Vec<(MigrationVersion<'static>, String)>, StoreError> {
        let migrations = self.migrations().map_err(refused)?;
        let mut named: Vec<_> = migrations
            .iter()
            .map(|migration| (migration.name().version().as_owned(), migration.name().to_string()))
            .collect();
        named.sort();
        Ok(named)
    }
}

/// What a person calls the migration of a version.
fn name_of(version: &MigrationVersion<'_>, named: &[(MigrationVersion<'static>, String)]) -> String {
    let known = named.iter().find(|(known, _)| known == version);
    known.map_or_else(|| version.to_string(), |(_, name)| name.clone())
}

struct Sqlite;
struct Mysql;

macro_rules! source {
    ($name:ident, $db:ty, $embedded:expr) => {
        impl MigrationSource<$db> for $name {
            fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<$db>>>> {
                $embedded.migrations()
            }
        }
        impl Source for $name {
            type Db = $db;
        }
    };
}

source!(Sqlite, diesel::sqlite::Sqlite, SQLITE);
source!(Mysql, diesel::mysql::Mysql, MYSQL);

/// Whether nothing is missing. Refuses a store that a newer binary has migrated, as [`run`] does.
pub fn is_current(connection: &mut DbConnection) -> Result<bool, StoreError> {
    fn ask<S: Source>(connection: &mut impl MigrationHarness<S::Db>, source: S) -> Result<bool, StoreError> {
        check_not_newer(connection, &source)?;
        let pending = connection.has_pending_migration(source).map_err(refused)?;
        Ok(!pending)
    }
    match connection {
        DbConnection::Sqlite(connection) => ask(connection, Sqlite),
        DbConnection::Mysql(connection) => ask(connection, Mysql),
    }
}

/// Applies what is missing; returns the names. Does nothing on a store that is up to date.
pub fn run(connection: &mut DbConnection) -> Result<Vec<String>, StoreError> {
    fn apply<S: Source>(connection: &mut impl MigrationHarness<S::Db>, source: S) -> Result<Vec<String>, StoreError> {
        check_not_newer(connection, &source)?;
        let named = source.named()?;
        let applied = connection.run_pending_migrations(source).map_err(refused)?;
        Ok(applied.iter().map(|version| name_of(version, &named)).collect())
    }
    match connection {
        DbConnection::Sqlite(connection) => apply(connection, Sqlite),
        DbConnection::Mysql(connection) => apply(connection, Mysql),
    }
}

/// Takes back the newest applied migration, with its data; returns its name, or none when there is none.
pub fn revert(connection: &mut DbConnection) -> Result<Option<String>, StoreError> {
    fn undo<S: Source>(connection: &mut impl MigrationHarness<S::Db>, source: S) -> Result<Option<String>, StoreError> {
        check_not_newer(connection, &source)?;
        if connection.applied_migrations().map_err(refused)?.is_empty() {
            return Ok(None);
        }
        let named = source.named()?;
        let version = connection.revert_last_migration(source).map_err(refused)?;
        Ok(Some(name_of(&version, &named)))
    }
    match connection {
        DbConnection::Sqlite(connection) => undo(connection, Sqlite),
        DbConnection::Mysql(connection) => undo(connection, Mysql),
    }
}

/// Every migration this binary knows, oldest first, with those that only the store knows at the end.
pub fn status(connection: &mut DbConnection) -> Result<Vec<MigrationState>, StoreError> {
    fn list<S: Source>(
        connection: &mut impl MigrationHarness<S::Db>,
        source: &S,
    ) -> Result<Vec<MigrationState>, StoreError> {
        let mut applied: Vec<_> = connection.applied_migrations().map_err(refused)?;
        let mut states: Vec<_> = source
            .named()?
            .into_iter()
            .map(|(version, name)| {
                let before = applied.len();
                applied.retain(|known| *known != version);
                MigrationState {
                    name,
                    applied: applied.len() < before,
                }
            })
            .collect();
        applied.reverse();
        states.extend(applied.iter().map(|version| MigrationState {
            name: format!("{version} (unknown)"),
            applied: true,
        }));
        Ok(states)
    }
    match connection {
        DbConnection::Sqlite(connection) => list(connection, &Sqlite),
        DbConnection::Mysql(connection) => list(connection, &Mysql),
    }
}
