//! Users: registration, login, and the row that every list embeds.

use std::collections::HashMap;

use diesel::prelude::*;

use crate::backend::DbConnection;
use crate::error::StoreError;
use crate::ids::UserId;
use crate::mark;
use crate::tables::users;

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

/// Adds a user; [`StoreError::Duplicate`] when the name is taken. One statement.
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
    Ok(())
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

/// Sets a new password and makes every token issued before void. False when there is no such user.
pub fn set_password(connection: &mut DbConnection, name: &str, password_hash: &str) -> Result<bool, StoreError> {
    let changed = diesel::update(users::table.filter(users::name.eq(name)))
        .set((
            users::password_hash.eq(password_hash),
            users::token_version.eq(users::token_version + 1),
        ))
        .execute(connection)?;
    Ok(changed == 1)
}
