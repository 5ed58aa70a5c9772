//! Follows and friends (contract 7.1 to 7.3).

use std::collections::HashSet;
use std::sync::Arc;

use actix_web::HttpResponse;
use ovation_schema::follows::{self, Cursor};
use ovation_schema::streams::Event;
use ovation_schema::users::UserRow;
use ovation_schema::{Change, DbConnection, StoreError, UserId, now_ms};

use super::answer::{Flags, Friend, User, done};
use super::call::Call;
use super::list::{self, Page};
use super::params::Action;
use crate::commit::News;
use crate::error::ApiError;

/// `POST /douyin/relation/action/`: follows or unfollows a user. A repeat is a success that changes nothing.
pub async fn set_follow(call: Call) -> Result<HttpResponse, ApiError> {
    let claims = call.claims()?.ok_or(ApiError::InvalidToken)?;
    let other = UserId(call.params.required_id("to_user_id")?);
    let on = call.params.action("action_type")? == Action::Do;
    if other.0 == claims.user_id {
        return Err(ApiError::invalid("one can't follow oneself"));
    }
    let now = now_ms();
    let user = UserId(claims.user_id);
    let touch = call.app.rows.following(user, other);
    let hold = touch.hold();
    let set = move |connection: &mut DbConnection, user| {
        let _ = &hold;
        follows::set(connection, user, other, on, now)
    };
    let news = move |(_, events): &mut (Change, Vec<Event>)| {
        let news = News::from(std::mem::take(events));
        // Whatever the row said before: from now on they are not friends.
        if on {
            news
        } else {
            news.also(move |hub| hub.unfriended(user, other))
        }
    };
    let write = call.tell(set, news);
    let told = touch.during(write).await;
    if !on && matches!(told, Err(ApiError::Unavailable)) {
        // It may have been done all the same. Told too often, friends ask for each other's presence once more.
        call.app.hub.unfriended(user, other);
    }
    match told?.0 {
        Change::Unknown => Err(ApiError::NotFound("this user")),
        Change::Made | Change::Nothing => Ok(done()),
    }
}

/// `GET /douyin/relation/follow/list/`: whom a user follows, newest first.
pub async fn follow_list(call: Call) -> Result<HttpResponse, ApiError> {
    user_list(call, follows::followees).await
}

/// `GET /douyin/relation/follower/list/`: who follows a user, newest first.
pub async fn follower_list(call: Call) -> Result<HttpResponse, ApiError> {
    user_list(call, follows::followers).await
}

type UserPage = fn(&mut DbConnection, UserId, Cursor, i64) -> Result<Vec<(i64, UserRow)>, StoreError>;

async fn user_list(call: Call, page: UserPage) -> Result<HttpResponse, ApiError> {
    let (user, access) = call.subject()?;
    let lens = call.lens();
    let start = (i64::MAX, UserId(i64::MAX));
    list::answer(&call, "user_list", access, start, move |connection, viewer, cursor| {
        let rows = page(connection, user, cursor, list::PAGE)?;
        let last = rows.last().map(|(time, user)| (*time, user.id));
        let users: Vec<_> = rows.iter().map(|(_, user)| user.id).collect();
        let followed = followed(connection, viewer, &users)?;
        let sight = lens.look(viewer, Flags::following(followed));
        let users = rows.into_iter().map(|(_, row)| User::new(row, &sight));
        Ok(Page::new(users.collect::<Result<_, _>>()?, last))
    })
    .await
}

fn followed(
    connection: &mut DbConnection,
    viewer: Option<UserId>,
    users: &[UserId],
) -> Result<HashSet<UserId>, StoreError> {
    match viewer {
        Some(viewer) if !users.is_empty() => follows::among(connection, viewer, users),
        _ => Ok(HashSet::new()),
    }
}

/// Where a friend list goes on: the order taken at its start, and how far it has been sent.
type FriendCursor = Option<(Arc<[UserId]>, usize)>;

/// `GET /douyin/relation/friend/list/`: the token owner's mutual follows, most recent conversation first. Whose list it
/// is follows from the token: with whom somebody talks is nobody else's business.
pub async fn friend_list(call: Call) -> Result<HttpResponse, ApiError> {
    let access = call.user()?;
    let lens = call.lens();
    list::answer(
        &call,
        "user_list",
        access,
        None,
        move |connection, viewer, cursor: FriendCursor| {
            // `Access::User` never comes without its viewer.
            let Some(viewer) = viewer else {
                return Ok(Page::with_next(Vec::new(), None));
            };
            let (order, sent) = match cursor {
                Some(cursor) => cursor,
                None => (follows::friends(connection, viewer)?.into(), 0),
            };
            let upto = order
                .len()
                .min(sent + usize::try_from(list::PAGE).unwrap_or(usize::MAX));
            let page = &order[sent..upto];
            let rows = follows::friend_rows(connection, viewer, page)?;
            let followed = followed(connection, Some(viewer), page)?;
            let sight = lens.look(Some(viewer), Flags::following(followed));
            let show = |(row, last)| Ok(Friend::new(User::new(row, &sight)?, last, viewer));
            let items = rows.into_iter().map(show).collect::<Result<_, StoreError>>()?;
            let next = (upto < order.len()).then(|| Some((Arc::clone(&order), upto)));
            Ok(Page::with_next(items, next))
        },
    )
    .await
}
