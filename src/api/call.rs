//! One request as a handler sees it.
//!
//! Owns how a request's token becomes the acting user. The signature is checked here, without the database; whether
//! the user still exists and the token was not revoked is read by the same closure that does the work, on the same
//! connection, so that it costs one statement and no second trip.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::{Either, ready};
use ovation_schema::{DbConnection, StoreError, UserId, now_ms, users};

use super::answer::Lens;
use super::base::Base;
use super::params::{Extracted, Params};
use crate::app::App;
use crate::auth::Claims;
use crate::commit::News;
use crate::error::ApiError;

/// The parameters of a request, who sent it, and what it may use.
#[derive(Clone)]
pub struct Call {
    /// The server's handles.
    pub app: App,
    /// What was asked.
    pub params: Params,
    /// Where absolute URLs of the answer begin.
    pub base: Base,
    /// The address the request came from.
    pub peer: Option<IpAddr>,
}

impl FromRequest for Call {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        match Params::from_request(request, payload) {
            Either::Left(params) => {
                let params = params.into_inner();
                Either::Left(ready(params.and_then(|params| Self::new(request, params))))
            }
            Either::Right(params) => {
                let request = request.clone();
                Either::Right(Box::pin(async move { Self::new(&request, params.await?) }))
            }
        }
    }
}

/// How long a look at a token's user is waited for where memory would do as well.
const PATIENCE: Duration = Duration::from_secs(1);

/// How an endpoint takes a request without a valid token.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// The viewer's claims; with none, and with a token that turns out to be void, it goes on as a guest's.
    Guest(Option<Claims>),
    /// It is refused.
    User(Claims),
}

impl Access {
    /// The acting user; `Ok(None)` is a guest. One statement where there is a token, none where not.
    pub fn confirm(self, connection: &mut DbConnection) -> Result<Result<Option<UserId>, ApiError>, StoreError> {
        let (claims, required) = match self {
            Self::Guest(None) => return Ok(Ok(None)),
            Self::Guest(Some(claims)) => (claims, false),
            Self::User(claims) => (claims, true),
        };
        let user = UserId(claims.user_id);
        let version = users::token_version(connection, user)?;
        let valid = version == Some(i64::from(claims.version));
        Ok(if valid {
            Ok(Some(user))
        } else if required {
            Err(ApiError::InvalidToken)
        } else {
            Ok(None)
        })
    }
}

impl Call {
    /// Puts a call together for a handler that reads the body itself.
    pub fn new(request: &HttpRequest, params: Params) -> Result<Self, ApiError> {
        let app = request
            .app_data::<Data<App>>()
            .ok_or(ApiError::Internal)?
            .get_ref()
            .clone();
        let base = Base::of(request, &app.config);
        let peer = request.peer_addr().map(|address| address.ip());
        Ok(Self {
            app,
            params,
            base,
            peer,
        })
    }

    /// What turns the rows of this request into its answer.
    pub fn lens(&self) -> Lens {
        Lens {
            base: self.base.clone(),
            counters: self.app.counters.clone(),
        }
    }

    /// The claims of the presented token; a bad token is an error, none is `None`.
    pub fn claims(&self) -> Result<Option<Claims>, ApiError> {
        let Some(token) = self.params.token()? else {
            return Ok(None);
        };
        Ok(Some(self.app.tokens.check(token, now_ms() / 1000)?))
    }

    /// For endpoints that serve guests too: a bad token is a guest's (contract section 4).
    pub fn guest(&self) -> Access {
        Access::Guest(self.claims().ok().flatten())
    }

    /// For endpoints that need somebody.
    pub fn user(&self) -> Result<Access, ApiError> {
        self.claims()?.map(Access::User).ok_or(ApiError::InvalidToken)
    }

    /// Whom the parameter `user_id` names and how to look: absent or 0 means the token's owner, who must be valid then.
    pub fn subject(&self) -> Result<(UserId, Access), ApiError> {
        if let Some(user) = self.params.id_or_zero_as_none("user_id")? {
            return Ok((UserId(user), self.guest()));
        }
        match self.claims()? {
            Some(claims) => Ok((UserId(claims.user_id), Access::User(claims))),
            None => Err(ApiError::invalid("user_id is missing")),
        }
    }

    /// Whoever `access` allows, for what is answered from memory: confirmed not long ago and not revoked since, else by a
    /// look at the user's row. While the database is away, who was confirmed not long ago is believed.
    pub async fn viewer(&self, access: Access) -> Result<Option<UserId>, ApiError> {
        let (claims, required) = match access {
            Access::Guest(None) => return Ok(None),
            Access::Guest(Some(claims)) => (claims, false),
            Access::User(claims) => (claims, true),
        };
        match self.confirmed(claims).await {
            Ok(user) => Ok(Some(user)),
            Err(ApiError::InvalidToken) if !required => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The owner of a token, or [`ApiError::InvalidToken`] where the user's row says that it is void.
    pub async fn confirmed(&self, claims: Claims) -> Result<UserId, ApiError> {
        let (user, version, confirmed) = (UserId(claims.user_id), claims.version, &self.app.confirmed);
        if confirmed.is_fresh(user.0, version) {
            return Ok(user);
        }
        let stamp = confirmed.stamp();
        let look = self.app.versions.of(user);
        // Whoever was confirmed not long ago does not wait for a database that hangs; the others have nothing else.
        let looked = if confirmed.is_usable(user.0, version) {
            tokio::time::timeout(PATIENCE, look)
                .await
                .unwrap_or(Err(StoreError::Busy))
        } else {
            look.await
        };
        match looked {
            Ok(current) if current == Some(i64::from(version)) => {
                confirmed.remember(user.0, version, stamp);
                Ok(user)
            }
            Ok(_) => {
                confirmed.forget(user.0);
                Err(ApiError::InvalidToken)
            }
            Err(StoreError::Busy | StoreError::Unavailable(_)) if confirmed.is_usable(user.0, version) => Ok(user),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads as whoever `access` allows; the closure gets the viewer, or none for a guest.
    pub async fn read<T, F>(&self, access: Access, query: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection, Option<UserId>) -> Result<T, StoreError> + Send + 'static,
    {
        let read = self
            .app
            .store
            .read(move |connection| match access.confirm(connection)? {
                Ok(viewer) => query(connection, viewer).map(Ok),
                Err(refused) => Ok(Err(refused)),
            });
        read.await?
    }

    /// Changes something as the token's owner, in one transaction.
    pub async fn change<T, F>(&self, change: F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection, UserId) -> Result<T, StoreError> + Send + 'static,
    {
        self.tell(change, |_| News::default()).await
    }

    /// Changes something as the token's owner, in one transaction, and tells its news once it is committed.
    pub async fn tell<T, F>(&self, change: F, news: impl FnOnce(&mut T) -> News + 'static) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection, UserId) -> Result<T, StoreError> + Send + 'static,
    {
        let access = self.user()?;
        let change = move |connection: &mut DbConnection| match access.confirm(connection)? {
            Ok(Some(user)) => change(connection, user).map(Ok),
            Ok(None) => Ok(Err(ApiError::InvalidToken)),
            Err(refused) => Ok(Err(refused)),
        };
        let news = |changed: &mut Result<T, ApiError>| changed.as_mut().map(news).unwrap_or_default();
        self.app.commit(change, news).await?
    }
}
