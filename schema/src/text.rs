//! Statements of many rows, written as text, since diesel's multi-connection takes no row values, batch inserts or conflict
//! clauses.
//!
//! Everything put into such a text is a number of ours; nothing that a client wrote.

use std::fmt::Write as _;

use diesel::prelude::*;

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
