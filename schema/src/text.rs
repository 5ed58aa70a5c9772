//! Statements of many rows, written as text, since diesel's multi-connection takes no row values, batch inserts or conflict
//! clauses.
//!
//! Everything put into such a text is a number of ours; nothing that a client wrote.
//!
//! On SQLite a text of a thousand rows takes longer to parse than to carry out. So what a flush of likes does all the time
//! has a form of [`BLOCK`] rows there whose numbers are bound, which is prepared once a connection.

use std::fmt::Write as _;
use std::marker::PhantomData;

use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Untyped};
use diesel::sqlite::Sqlite;

use crate::backend::DbConnection;
use crate::error::StoreError;

/// How many keys one statement asks for, and how many rows one statement writes.
pub(crate) const CHUNK: usize = 1000;

/// The items one after the other, with commas between them.
pub(crate) fn joined<T>(items: impl Iterator<Item = T>, write: impl Fn(&mut String, T) -> std::fmt::Result) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String does not fail.
        let _ = write(&mut text, item);
    }
    text
}

/// Pairs of ids as what stands behind `IN`. SQLite wants its list of row values as a table, MySQL as a list.
pub(crate) fn pair_list(connection: &DbConnection, pairs: impl Iterator<Item = (i64, i64)>) -> String {
    let values = match connection {
        DbConnection::Sqlite(_) => "VALUES ",
        DbConnection::Mysql(_) => "",
    };
    let list = joined(pairs, |text, (a, b)| write!(text, "({a},{b})"));
    format!("({values}{list})")
}

/// Adds to a column of each of up to [`CHUNK`] rows, given as key and difference, in one statement.
pub(crate) fn add(
    connection: &mut DbConnection,
    (table, key): (&'static str, &'static str),
    column: &'static str,
    rows: &[(i64, i64)],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let statement = match connection {
        // Joined by the key: a CASE is gone through from its start for each row, which makes a thousand rows half a
        // million comparisons.
        DbConnection::Sqlite(_) => {
            let values = joined(rows.iter(), |text, (id, by)| write!(text, "({id},{by})"));
            format!(
                "UPDATE {table} SET {column} = {column} + change.column2 FROM (VALUES {values}) AS change \
                 WHERE {table}.{key} = change.column1"
            )
        }
        // MySQL and MariaDB have no spelling of a list of rows in common.
        DbConnection::Mysql(_) => {
            let mut cases = String::new();
            for (id, by) in rows {
                // Writing to a String does not fail.
                let _ = write!(cases, " WHEN {id} THEN {by}");
            }
            let ids = joined(rows.iter(), |text, (id, _)| write!(text, "{id}"));
            format!("UPDATE {table} SET {column} = {column} + CASE {key}{cases} END WHERE {key} IN ({ids})")
        }
    };
    diesel::sql_query(statement).execute(connection)?;
    Ok(())
}

/// Rows in one statement whose numbers are bound.
pub(crate) const BLOCK: usize = 500;

/// What stands around the rows of a statement.
pub(crate) trait Frame: 'static {
    /// Before the first row.
    const BEFORE: &'static str;
    /// After the last one.
    const AFTER: &'static str;
}

/// A statement about a block of rows on SQLite, each a list of `N` numbers. Prepared once a connection for [`BLOCK`] rows,
/// anew each time for fewer.
pub(crate) struct Block<'a, F, const N: usize> {
    rows: &'a [[i64; N]],
    frame: PhantomData<F>,
}

impl<'a, F, const N: usize> Block<'a, F, N> {
    /// The rows in blocks.
    pub(crate) fn all(rows: &'a [[i64; N]]) -> impl Iterator<Item = Self> {
        let frame = PhantomData;
        rows.chunks(BLOCK).map(move |rows| Self { rows, frame })
    }
}

impl<F: Frame, const N: usize> QueryId for Block<'_, F, N> {
    type QueryId = Block<'static, F, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<F: Frame, const N: usize> Query for Block<'_, F, N> {
    type SqlType = Untyped;
}

impl<F: Frame, const N: usize> RunQueryDsl<SqliteConnection> for Block<'_, F, N> {}

impl<F: Frame, const N: usize> QueryFragment<Sqlite> for Block<'_, F, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        if self.rows.len() != BLOCK {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql(F::BEFORE);
        let mut before = "(";
        for row in self.rows {
            for number in row {
                out.push_sql(before);
                out.push_bind_param::<BigInt, _>(number)?;
                before = ",";
            }
            before = "),(";
        }
        out.push_sql(")");
        out.push_sql(F::AFTER);
        Ok(())
    }
}
