//! The parameters of a request, wherever the client has put them.
//!
//! Owns the merging of query and body (contract 2.2), the bounds of both and the typed reading of single parameters.
//! Never knows which endpoint asks: a handler names what it wants and gets a value or a sentence.

mod number;
mod read;

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderName};
use actix_web::{FromRequest, HttpRequest};
use futures_util::future::{Either, LocalBoxFuture, Ready, ready};
use percent_encoding::percent_decode;

use crate::error::ApiError;
use crate::net::BodyLimits;
use crate::net::body::read_body;

pub use number::MAX_ID;
pub use read::{is_file, multipart_error};

/// The most parameters a request may have, all sources together.
pub const MAX_PARAMETERS: usize = 256;
/// The longest name of a parameter, in bytes, as sent and as decoded.
pub const MAX_NAME_LEN: usize = 256;
/// The longest token, in bytes. Ours have about 200.
pub const MAX_TOKEN_LEN: usize = 4096;

/// A parameter's value. What is broken is refused when it is asked for: junk that nobody reads harms nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    /// Not UTF-8, or holds NUL, or is no text, integer or boolean.
    Broken,
}

impl Value {
    fn checked(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Self::Text(text),
            _ => Self::Broken,
        }
    }
}

/// Which control characters a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controls {
    /// None at all: names and everything that is shown in one line.
    None,
    /// Line breaks and tabs: comments, messages, passwords.
    Lines,
}

impl Controls {
    fn allow(self, text: &str) -> bool {
        !text
            .chars()
            .any(|c| c.is_control() && !(self == Self::Lines && matches!(c, '\n' | '\t' | '\r')))
    }
}

/// The two values of `action_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `1`: like, comment, follow, send.
    Do,
    /// `2`: take that back.
    Undo,
}

/// All parameters of one request, query before body; of equal names the first that is not empty counts. An extractor; without `app_data`
/// of type `BodyLimits` it uses `BodyLimits::PARAMETERS`.
///
/// It has no `Debug`: it holds passwords, tokens and texts.
#[derive(Clone, Default)]
pub struct Params {
    /// All names and values, one behind the other: two allocations a request instead of two a parameter.
    text: String,
    /// In order of arrival. Looked up linearly: with at most 256 entries a map would cost more than it saves.
    pairs: Vec<Pair>,
    header_token: Option<String>,
}

/// One parameter.
#[derive(Clone)]
struct Pair {
    /// Where its name stands.
    name: Range<usize>,
    /// Where its value stands; none where that is [`Value::Broken`].
    value: Option<Range<usize>>,
}

impl Params {
    /// The query string and the token headers only. For an upload, whose handler reads the body and adds the text parts
    /// with `add`, and for a `WebSocket`, whose frames are no body.
    pub fn from_query(request: &HttpRequest) -> Result<Self, ApiError> {
        let mut params = Self::default();
        params.add_urlencoded(request.query_string().as_bytes())?;
        // One in the query goes before any header, whatever the body brings.
        if matches!(params.text("token"), Ok(None | Some(""))) {
            params.header_token = header_token(request);
        }
        Ok(params)
    }

    async fn read(request: HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        let mut params = Self::from_query(&request)?;
        let limits = request.app_data::<BodyLimits>().copied().unwrap_or_default();
        let body = read_body(request.headers(), payload, limits).await?;
        // A GET's body is read, so that the connection lives on, and ignored: the official tests repeat the query there.
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            read::add_body(&mut params, request.headers(), body).await?;
        }
        Ok(params)
    }

    /// Adds a parameter behind the others, with its value as the bytes that were sent.
    pub fn add(&mut self, name: &str, value: Vec<u8>) -> Result<(), ApiError> {
        self.add_value(name, Value::checked(value))
    }

    pub(crate) fn add_value(&mut self, name: &str, value: Value) -> Result<(), ApiError> {
        if name.len() > MAX_NAME_LEN {
            return Err(ApiError::invalid("the name of a parameter is too long"));
        }
        Self::check_count(self.pairs.len() + 1)?;
        let name = self.keep(name);
        let value = match value {
            Value::Text(text) => Some(self.keep(&text)),
            Value::Broken => None,
        };
        self.pairs.push(Pair { name, value });
        Ok(())
    }

    fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    /// Keeps what a form's text means; none where that is no UTF-8.
    fn keep_decoded(&mut self, text: &[u8]) -> Option<Range<usize>> {
        let decoded = form_decode(text);
        std::str::from_utf8(&decoded).ok().map(|text| self.keep(text))
    }

    fn check_count(count: usize) -> Result<(), ApiError> {
        if count > MAX_PARAMETERS {
            return Err(ApiError::invalid(format!(
                "the request has more than {MAX_PARAMETERS} parameters"
            )));
        }
        Ok(())
    }

    /// Reads `application/x-www-form-urlencoded` as the URL standard does, but strict about UTF-8. Stops at the first
    /// parameter over the bound, so ten thousand cost no more than 256.
    fn add_urlencoded(&mut self, text: &[u8]) -> Result<(), ApiError> {
        self.text.reserve(text.len());
        for pair in text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let (name, value) = (&pair[..at], pair.get(at + 1..).unwrap_or_default());
            if name.len() > MAX_NAME_LEN {
                return Err(ApiError::invalid("the name of a parameter is too long"));
            }
            // Nobody asks for a name that is not UTF-8; it still counts against the bound.
            Self::check_count(self.pairs.len() + 1)?;
            let name = self.keep_decoded(name).unwrap_or_default();
            let value = self.keep_decoded(value);
            let value = value.filter(|value| !self.text[value.clone()].contains('\0'));
            self.pairs.push(Pair { name, value });
        }
        Ok(())
    }

    /// The parameter as text: None when absent, refused when its bytes are no UTF-8 or hold NUL.
    ///
    /// Of equal names the first counts that is not empty: empty and absent are alike (contract 4), so `token=` in the
    /// query must not hide the token of the body.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let named = |pair: &&Pair| &self.text[pair.name.clone()] == name;
        let value = |pair: &Pair| pair.value.clone().map(|value| &self.text[value]);
        let values = || self.pairs.iter().filter(named).map(value);
        match values().find(|value| *value != Some("")).or_else(|| values().next()) {
            None => Ok(None),
            Some(Some(text)) => Ok(Some(text)),
            Some(None) => Err(ApiError::invalid(format!("{name} is not a valid text"))),
        }
    }

    /// A text of so many characters (not bytes; contract 5.2) that must be there.
    pub fn required_text(
        &self,
        name: &'static str,
        chars: RangeInclusive<usize>,
        controls: Controls,
    ) -> Result<&str, ApiError> {
        let text = self
            .text(name)?
            .ok_or_else(|| ApiError::invalid(format!("{name} is missing")))?;
        check_text(name, text, &chars, controls)?;
        Ok(text)
    }

    /// A text of at most so many characters; "" when absent.
    pub fn optional_text(&self, name: &'static str, max_chars: usize, controls: Controls) -> Result<&str, ApiError> {
        let text = self.text(name)?.unwrap_or_default();
        check_text(name, text, &(0..=max_chars), controls)?;
        Ok(text)
    }

    /// An id of 1..=2^53 (contract 3.6), plain or in exactly integral exponent notation; None when absent or empty.
    pub fn id(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        match self.id_or_zero(name)? {
            Some(0) => Err(invalid_id(name)),
            id => Ok(id),
        }
    }

    /// Like `id`, but 0 counts as absent: the app sends `user_id=0` as a guest (contract 4).
    pub fn id_or_zero_as_none(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        Ok(self.id_or_zero(name)?.filter(|&id| id != 0))
    }

    /// Like `id`, for an id that must be there.
    pub fn required_id(&self, name: &'static str) -> Result<i64, ApiError> {
        self.id(name)?
            .ok_or_else(|| ApiError::invalid(format!("{name} is missing")))
    }

    fn id_or_zero(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        match self.text(name)?.unwrap_or_default() {
            "" => Ok(None),
            text => match number::whole(text) {
                Ok(id) if id <= MAX_ID => Ok(Some(id)),
                _ => Err(invalid_id(name)),
            },
        }
    }

    /// Exactly `1` or `2`.
    pub fn action(&self, name: &'static str) -> Result<Action, ApiError> {
        match self.text(name)? {
            Some("1") => Ok(Action::Do),
            Some("2") => Ok(Action::Undo),
            _ => Err(ApiError::invalid(format!("{name} must be 1 or 2"))),
        }
    }

    /// The parameter `latest_time` in milliseconds (contract 5.1). None means "no upper bound": absent, empty, 0,
    /// negative, garbage of any kind, overflowing.
    pub fn latest_time(&self) -> Option<i64> {
        number::latest_time(self.lenient("latest_time"))
    }

    /// The parameter `pre_msg_time` in milliseconds (contract 7.5). 0 means "everything": absent, empty, 0, negative or
    /// garbage. A number beyond 64 bits is the far future: `i64::MAX`.
    pub fn pre_msg_time(&self) -> i64 {
        number::pre_msg_time(self.lenient("pre_msg_time"))
    }

    fn lenient(&self, name: &'static str) -> &str {
        self.text(name).ok().flatten().unwrap_or_default()
    }

    /// The presented token: the parameter `token`, else `Authorization: Bearer`, else the header `token`. None when there
    /// is none or only an empty one; `InvalidToken` for one that can't be ours by its length or bytes.
    ///
    /// A cookie is never looked at: browsers attach it to requests that other sites make them send (CSRF), while a
    /// parameter or a header has to be put there by somebody who knows the token.
    pub fn token(&self) -> Result<Option<&str>, ApiError> {
        let parameter = self.text("token").map_err(|_| ApiError::InvalidToken)?;
        let parameter = parameter.filter(|token| !token.is_empty());
        match parameter.or(self.header_token.as_deref()) {
            Some(token) if token.len() > MAX_TOKEN_LEN => Err(ApiError::InvalidToken),
            token => Ok(token),
        }
    }
}

/// What an extractor gives: at once where the request has no body, as most have none. Reading one takes a future of more
/// than a kilobyte, and for a piece that large glibc's `malloc` first tidies up all its small ones.
pub type Extracted<T> = Either<Ready<Result<T, ApiError>>, LocalBoxFuture<'static, Result<T, ApiError>>>;

impl FromRequest for Params {
    type Error = ApiError;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        match payload.take() {
            Payload::None => Either::Left(ready(Self::from_query(request))),
            payload => Either::Right(Box::pin(Self::read(request.clone(), payload))),
        }
    }
}

/// The token of a header. A header whose bytes are no visible ASCII is no token of ours and counts as none.
fn header_token(request: &HttpRequest) -> Option<String> {
    const TOKEN: HeaderName = HeaderName::from_static("token");
    let header = || request.headers().get(TOKEN).and_then(|value| value.to_str().ok());
    bearer_token(request).or_else(|| header().filter(|token| !token.is_empty()).map(str::to_owned))
}

/// The token of `Authorization: Bearer`, the only place where sockets and their long poll look for one. None for an empty
/// one, and for a header whose bytes are no visible ASCII.
pub fn bearer_token(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned())
}

/// Percent-decoding with `+` as a space; a `%` that starts no escape stands for itself, as the URL standard has it.
fn form_decode(text: &[u8]) -> Cow<'_, [u8]> {
    // Ids and tokens have neither.
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return text.into();
    }
    let spaced: Cow<'_, [u8]> = if text.contains(&b'+') {
        text.iter()
            .map(|&byte| if byte == b'+' { b' ' } else { byte })
            .collect()
    } else {
        text.into()
    };
    Cow::Owned(percent_decode(&spaced).collect())
}

/// Checks a text of so many characters (not bytes), as [`Params::required_text`] does.
pub fn check_text(
    name: &'static str,
    text: &str,
    chars: &RangeInclusive<usize>,
    controls: Controls,
) -> Result<(), ApiError> {
    let count = text.chars().count();
    let (min, max) = (chars.start(), chars.end());
    if count == 0 && *min > 0 {
        return Err(ApiError::invalid(format!("{name} must not be empty")));
    }
    if count < *min {
        return Err(ApiError::invalid(format!("{name} must have at least {min} characters")));
    }
    if count > *max {
        return Err(ApiError::invalid(format!(
            "{name} must not be longer than {max} characters"
        )));
    }
    if !controls.allow(text) {
        return Err(ApiError::invalid(format!("{name} must not hold control characters")));
    }
    Ok(())
}

fn invalid_id(name: &'static str) -> ApiError {
    ApiError::invalid(format!("{name} is not a valid id"))
}

#[cfg(test)]
mod tests;
