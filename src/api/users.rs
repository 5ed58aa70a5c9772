//! Registration, login and profiles (contract 5.2 to 5.4).

use actix_web::HttpResponse;
use ovation_schema::users::{self, FIRST_TOKEN_VERSION, NewUser};
use ovation_schema::{StoreError, UserId, now_ms};
use serde::Serialize;

use super::answer::{Failure, success};
use super::call::Call;
use super::hot;
use super::params::{Controls, Params, check_text};
use crate::app::App;
use crate::auth::Verdict;
use crate::error::ApiError;
use crate::rows::Pen;

const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=32;
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 1..=32;

#[derive(Serialize)]
struct LoggedIn {
    user_id: i64,
    token: String,
}

/// A failed registration or login: the official tests read `token` from it as a string.
#[derive(Serialize)]
struct NotLoggedIn {
    #[serde(flatten)]
    failure: Failure,
    user_id: i64,
    token: &'static str,
}

/// `POST /douyin/user/register/`: makes a user and logs in.
pub async fn register(call: Result<Call, ApiError>) -> HttpResponse {
    logged_in(async { try_register(&call?).await }.await)
}

/// `POST /douyin/user/login/`.
pub async fn login(call: Result<Call, ApiError>) -> HttpResponse {
    logged_in(async { try_login(&call?).await }.await)
}

fn logged_in(result: Result<LoggedIn, ApiError>) -> HttpResponse {
    use actix_web::ResponseError;
    result.map_or_else(
        |error| {
            let mut response = HttpResponse::build(error.status_code()).json(NotLoggedIn {
                failure: Failure::of(&error),
                user_id: 0,
                token: "",
            });
            error.mark(&mut response);
            response
        },
        success,
    )
}

/// Whether a name could be registered, for the command line.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    check_text("username", name, &NAME_CHARS, Controls::None)
}

/// Whether a password could be registered, for the command line.
pub fn check_password(password: &str) -> Result<(), ApiError> {
    check_text("password", password, &PASSWORD_CHARS, Controls::Lines)
}

/// The name allows nothing that breaks a line; the password anything but NUL.
fn name_and_password(params: &Params) -> Result<(String, String), ApiError> {
    let name = params.required_text("username", NAME_CHARS, Controls::None)?;
    let password = params.required_text("password", PASSWORD_CHARS, Controls::Lines)?;
    Ok((name.to_owned(), password.to_owned()))
}

async fn try_register(call: &Call) -> Result<LoggedIn, ApiError> {
    let (name, password) = name_and_password(&call.params)?;
    let app = &call.app;
    // Asked before the costly hash; who wins a race is decided by the unique key alone.
    let wanted = name.clone();
    if app
        .store
        .read(move |connection| users::credentials(connection, &wanted))
        .await?
        .is_some()
    {
        return Err(ApiError::NameTaken);
    }
    let password_hash = app.passwords.hash(password).await?;
    let id: UserId = app.store.next_id().await?;
    let user = NewUser {
        id,
        name,
        password_hash,
        created_at: now_ms(),
    };
    match app
        .store
        .write(move |connection| users::insert(connection, &user))
        .await
    {
        Ok(()) => Ok(issue(app, id, FIRST_TOKEN_VERSION)),
        Err(StoreError::Duplicate) => Err(ApiError::NameTaken),
        Err(error) => Err(error.into()),
    }
}

async fn try_login(call: &Call) -> Result<LoggedIn, ApiError> {
    let (name, password) = name_and_password(&call.params)?;
    let app = &call.app;
    let known = app
        .store
        .read(move |connection| users::credentials(connection, &name))
        .await?;
    let hash = known.as_ref().map(|known| known.password_hash.clone());
    // An unknown user costs the same hash, so that the time tells nothing.
    let verdict = app.passwords.verify(password.clone(), hash).await?;
    let (Verdict::Right { rehash_needed }, Some(known)) = (verdict, known) else {
        return Err(ApiError::WrongPassword);
    };
    if rehash_needed {
        let new = app.passwords.hash(password).await?;
        let (id, old) = (known.id, known.password_hash);
        app.store
            .write(move |connection| users::rehash(connection, id, &old, &new))
            .await?;
    }
    Ok(issue(app, known.id, known.token_version))
}

fn issue(app: &App, user: UserId, version: i64) -> LoggedIn {
    // A version beyond 32 bits would take four billion password changes; such a token is simply void.
    let version = u32::try_from(version).unwrap_or(0);
    LoggedIn {
        user_id: user.0,
        token: app.tokens.issue(user.0, version, now_ms() / 1000),
    }
}

/// `GET /douyin/user/`: a profile; without `user_id` the token's owner's, which the official test asks for.
pub async fn user(call: Call) -> Result<HttpResponse, ApiError> {
    let (user, access) = call.subject()?;
    let viewer = call.viewer(access).await?;
    hot::answer(&call, 1 << 10, async |ask| {
        let found = call.app.rows.user(user, viewer, ask).await?;
        let (user, is_follow) = found.ok_or(ApiError::NotFound("this user"))?;
        Ok(move |pen: &mut Pen<'_>| {
            pen.raw(br#","user":"#);
            pen.user(&user, is_follow)
        })
    })
    .await
}
