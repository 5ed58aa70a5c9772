//! Users: registration, login, and the row that every list embeds.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use diesel::prelude::*;

use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::ids::UserId;
use crate::tables::{last_seen, revocations, users};
use crate::text::{CHUNK, joined};
use crate::{clocks, mark, streams};

/// A user as every answer shows it (contract 3.1), without what depends on who looks.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct UserRow {
    /// Who.
    pub id: UserId,
    /// The name, exactly as registered.
    pub name: String,
    /// A path below the server's base, or empty for the default picture.
    pub avatar: String,
    /// A path below the server's base, or empty for the default picture.
    pub background_image: String,
    /// A short self-description.
    pub signature: String,
    /// How many users this user follows.
    pub follow_count: i64,
    /// How many users follow this user.
    pub follower_count: i64,
    /// Likes received over all of this user's videos.
    pub total_favorited: i64,
    /// Published videos.
    pub work_count: i64,
    /// Likes given.
    pub favorite_count: i64,
    /// The mark this row was read with, in the same statement: which likes the two counts of likes contain.
    #[diesel(select_expression = mark::now())]
    #[diesel(select_expression_type = mark::Now)]
    #[diesel(deserialize_as = Option<i64>)]
    pub mark: mark::Position,
}

/// What a login needs to know.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = users)]
pub struct Credentials {
    /// Who.
    pub id: UserId,
    /// A PHC string.
    pub password_hash: String,
    /// The version that valid tokens carry.
    pub token_version: i64,
}

/// A user about to be registered.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// A fresh id.
    pub id: UserId,
    /// 1 to 32 characters; compared byte by byte.
    pub name: String,
    /// A PHC string.
    pub password_hash: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// The token version of a new user.
pub const FIRST_TOKEN_VERSION: i64 = 1;

/// Adds a user, with an empty stream of events; [`StoreError::Duplicate`] when the name is taken. Two statements.
pub fn insert(connection: &mut DbConnection, user: &NewUser) -> Result<(), StoreError> {
    diesel::insert_into(users::table)
        .values((
            users::id.eq(user.id),
            users::name.eq(&user.name),
            users::password_hash.eq(&user.password_hash),
            users::token_version.eq(FIRST_TOKEN_VERSION),
            users::created_at.eq(user.created_at),
        ))
        .execute(connection)?;
    streams::create(connection, user.id)
}

/// Sets what a user's profile says, at most 100 characters. By primary key.
pub fn set_signature(connection: &mut DbConnection, user: UserId, signature: &str) -> Result<(), StoreError> {
    diesel::update(users::table.find(user))
        .set(users::signature.eq(signature))
        .execute(connection)?;
    Ok(())
}

/// Whether there is any user at all. A store without users is empty: everything else belongs to one, and users are
/// never deleted. One statement, the first entry of the primary key.
pub fn any(connection: &mut DbConnection) -> Result<bool, StoreError> {
    let first: Option<UserId> = users::table
        .select(users::id)
        .order(users::id.asc())
        .first(connection)
        .optional()?;
    Ok(first.is_some())
}

/// One user. One statement, by primary key.
pub fn find(connection: &mut DbConnection, user: UserId) -> Result<Option<UserRow>, StoreError> {
    Ok(users::table
        .find(user)
        .select(UserRow::as_select())
        .first(connection)
        .optional()?)
}

/// Several users, in no order; who does not exist is left out. One statement, by primary key.
pub fn by_ids(connection: &mut DbConnection, ids: &[UserId]) -> Result<Vec<UserRow>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(users::table
        .filter(users::id.eq_any(ids))
        .select(UserRow::as_select())
        .load(connection)?)
}

/// Whether there is such a user. One statement, by primary key.
pub fn exists(connection: &mut DbConnection, user: UserId) -> Result<bool, StoreError> {
    Ok(token_version(connection, user)?.is_some())
}

/// The version that valid tokens of this user carry; none when there is no such user. One statement, by primary key.
pub fn token_version(connection: &mut DbConnection, user: UserId) -> Result<Option<i64>, StoreError> {
    Ok(users::table
        .find(user)
        .select(users::token_version)
        .first(connection)
        .optional()?)
}

/// The token versions of several users; who does not exist is left out. One statement, by primary key.
pub fn token_versions(connection: &mut DbConnection, ids: &[UserId]) -> Result<HashMap<UserId, i64>, StoreError> {
    let rows = users::table
        .filter(users::id.eq_any(ids))
        .select((users::id, users::token_version));
    Ok(rows.load::<(UserId, i64)>(connection)?.into_iter().collect())
}

/// What a login by name is checked against. One statement, by the unique index of names.
pub fn credentials(connection: &mut DbConnection, name: &str) -> Result<Option<Credentials>, StoreError> {
    Ok(users::table
        .filter(users::name.eq(name))
        .select(Credentials::as_select())
        .first(connection)
        .optional()?)
}

/// Replaces a hash by one of the same password with newer parameters, unless it was changed meanwhile.
pub fn rehash(connection: &mut DbConnection, user: UserId, old: &str, new: &str) -> Result<(), StoreError> {
    diesel::update(users::table.find(user).filter(users::password_hash.eq(old)))
        .set(users::password_hash.eq(new))
        .execute(connection)?;
    Ok(())
}

/// Sets a new password and makes every token issued before void. False when there is no such user. Whoever follows
/// [`revoked_since`] hears of it: the revocation is written in the same transaction, under a clock, so a later one never
/// becomes readable before it.
pub fn set_password(
    connection: &mut DbConnection,
    name: &str,
    password_hash: &str,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let changed = diesel::update(users::table.filter(users::name.eq(name)))
        .set((
            users::password_hash.eq(password_hash),
            users::token_version.eq(users::token_version + 1),
        ))
        .execute(connection)?;
    if changed == 0 {
        return Ok(false);
    }
    let (user, version): (UserId, i64) = users::table
        .filter(users::name.eq(name))
        .select((users::id, users::token_version))
        .first(connection)?;
    let changed_at = clocks::tick(connection, clocks::REVOCATION, now_ms)?;
    diesel::insert_into(revocations::table)
        .values((
            revocations::changed_at.eq(changed_at),
            revocations::user_id.eq(user),
            revocations::token_version.eq(version),
        ))
        .execute(connection)?;
    Ok(true)
}

/// When the latest revocation was, in milliseconds; 0 when there was none. One statement, by the primary key's end.
pub fn last_revocation(connection: &mut DbConnection) -> Result<i64, StoreError> {
    let last: Option<i64> = revocations::table
        .select(diesel::dsl::max(revocations::changed_at))
        .first(connection)?;
    Ok(last.unwrap_or(0))
}

/// The revocations after `after` (milliseconds, exclusive), oldest first: when, whose tokens, and the version that valid
/// ones carry since. Who goes on from the last one misses none. One statement: a range of the primary key.
pub fn revoked_since(
    connection: &mut DbConnection,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, UserId, i64)>, StoreError> {
    Ok(revocations::table
        .filter(revocations::changed_at.gt(after))
        .order(revocations::changed_at.asc())
        .limit(limit)
        .select((
            revocations::changed_at,
            revocations::user_id,
            revocations::token_version,
        ))
        .load(connection)?)
}

/// When users' last connections ended, in milliseconds since the epoch; who was never seen is left out. At most 1,000 at
/// a time. One statement, by primary key.
pub fn last_seen(connection: &mut DbConnection, ids: &[UserId]) -> Result<Vec<(UserId, i64)>, StoreError> {
    Ok(last_seen::table
        .filter(last_seen::user_id.eq_any(ids))
        .select((last_seen::user_id, last_seen::seen_at))
        .load(connection)?)
}

/// Notes when users' last connections ended (milliseconds since the epoch); a time before the noted one changes nothing.
/// One statement for up to 1,000, in ascending order, so two that note the same users can't deadlock.
pub fn set_last_seen(connection: &mut DbConnection, seen: &[(UserId, i64)]) -> Result<(), StoreError> {
    let mut latest = BTreeMap::new();
    for (user, at_ms) in seen {
        let latest = latest.entry(*user).or_insert(*at_ms);
        *latest = (*latest).max(*at_ms);
    }
    let latest: Vec<(UserId, i64)> = latest.into_iter().collect();
    let on_conflict = match connection {
        DbConnection::Sqlite(_) => {
            "ON CONFLICT (user_id) DO UPDATE SET seen_at = MAX(last_seen.seen_at, excluded.seen_at)"
        }
        DbConnection::Mysql(_) => "ON DUPLICATE KEY UPDATE seen_at = GREATEST(seen_at, VALUES(seen_at))",
    };
    for latest in latest.chunks(CHUNK) {
        let rows = joined(latest.iter(), |text, (user, at_ms)| write!(text, "({user},{at_ms})"));
        diesel::sql_query(format!(
            "INSERT INTO last_seen (user_id, seen_at) VALUES {rows} {on_conflict}"
        ))
        .execute(connection)?;
    }
    Ok(())
}
