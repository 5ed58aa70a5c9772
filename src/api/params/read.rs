//! The parameters inside a request body, by what its Content-Type says it is (contract 2.2).
//!
//! Owns the four readings: urlencoded, multipart, JSON and "whatever this client calls it". Never keeps a file: a file
//! part sent to an endpoint that takes none is skipped inside the body's bound.

use std::fmt;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::web::Bytes;
use futures_util::{TryStreamExt as _, stream};
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Params, Value};
use crate::error::ApiError;
use crate::net::body_error;

/// What the body claims to be. The charset is not looked at: values are strict UTF-8 or refused.
enum Kind {
    UrlEncoded,
    Multipart,
    Json,
    Unknown,
}

fn kind(headers: &HeaderMap) -> Kind {
    let claimed = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(claimed) = claimed.and_then(|text| text.parse::<mime::Mime>().ok()) else {
        return Kind::Unknown;
    };
    match claimed.essence_str() {
        "application/x-www-form-urlencoded" => Kind::UrlEncoded,
        "multipart/form-data" => Kind::Multipart,
        "application/json" => Kind::Json,
        _ => Kind::Unknown,
    }
}

/// Adds the body's parameters behind those that are there already.
///
/// An empty body is fine whatever it claims to be. One of an unknown type is read as urlencoded when it looks like it,
/// because peers' clients send forms under an empty type or the nonsense word `POST`; anything else is ignored.
pub(super) async fn add_body(params: &mut Params, headers: &HeaderMap, body: Bytes) -> Result<(), ApiError> {
    if body.is_empty() {
        return Ok(());
    }
    match kind(headers) {
        Kind::UrlEncoded => params.add_urlencoded(&body),
        Kind::Multipart => add_multipart(params, headers, body).await,
        Kind::Json => add_json(params, &body),
        Kind::Unknown if body.contains(&b'=') && std::str::from_utf8(&body).is_ok() => params.add_urlencoded(&body),
        Kind::Unknown => Ok(()),
    }
}

async fn add_multipart(params: &mut Params, headers: &HeaderMap, body: Bytes) -> Result<(), ApiError> {
    let whole = stream::iter([Ok::<_, PayloadError>(body)]);
    let mut parts = Multipart::new(headers, whole);
    let mut count = 0;
    while let Some(mut part) = parts.try_next().await.map_err(|error| multipart_error(&error))? {
        count += 1;
        Params::check_count(count)?;
        if is_file(&part) {
            while part
                .try_next()
                .await
                .map_err(|error| multipart_error(&error))?
                .is_some()
            {}
        } else {
            let name = part.name().unwrap_or_default().to_owned();
            let mut value = Vec::new();
            while let Some(chunk) = part.try_next().await.map_err(|error| multipart_error(&error))? {
                value.extend_from_slice(&chunk);
            }
            params.add(&name, value)?;
        }
    }
    Ok(())
}

/// Whether a part is a file: it has a file name (RFC 7578, 4.2), even an empty one.
pub fn is_file(part: &Field) -> bool {
    part.content_disposition()
        .is_some_and(|disposition| disposition.get_filename().is_some() || disposition.get_filename_ext().is_some())
}

/// The answer to a multipart body that could not be read. Never poll the stream again after an error: it panics.
pub fn multipart_error(error: &MultipartError) -> ApiError {
    match error {
        MultipartError::Payload(cause) => body_error(cause),
        MultipartError::ContentTypeMissing
        | MultipartError::ContentTypeParse
        | MultipartError::ContentTypeIncompatible
        | MultipartError::BoundaryMissing => {
            ApiError::Malformed("the Content-Type must be multipart/form-data and name a boundary")
        }
        _ => ApiError::Malformed("the multipart body ended early or could not be read"),
    }
}

/// A flat object; a nested value spoils only the parameter that holds it.
fn add_json(params: &mut Params, body: &[u8]) -> Result<(), ApiError> {
    let mut refused = None;
    let visitor = ObjectVisitor {
        params,
        refused: &mut refused,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json.deserialize_map(visitor).and_then(|()| json.end());
    match (refused, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) => Err(ApiError::Malformed("the JSON body is not a readable object")),
    }
}

/// Walks the members in order: a map type would drop the first of two equal names, and the first one counts.
struct ObjectVisitor<'a> {
    params: &'a mut Params,
    /// serde's own error can only carry a text, so ours leaves by the side.
    refused: &'a mut Option<ApiError>,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some((name, member)) = members.next_entry::<String, Member>()? {
            let Member(Some(value)) = member else { continue };
            if let Err(error) = self.params.add_value(&name, value) {
                *self.refused = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// A member's value as a parameter; None for null, which counts as absent.
struct Member(Option<Value>);

impl<'de> serde::Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, value: &str) -> Result<Member, E> {
        Ok(Member(Some(Value::checked(value.as_bytes().to_vec()))))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Member, E> {
        Ok(Member(Some(Value::Text(value.to_string()))))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Member, E> {
        Ok(Member(Some(Value::Text(value.to_string()))))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Member, E> {
        Ok(Member(Some(Value::Text(value.to_string()))))
    }

    /// `1e6` arrives here. Rust prints a whole float without an exponent and the rest with a point, and only what is
    /// exact in a float is a number for us.
    fn visit_f64<E>(self, value: f64) -> Result<Member, E> {
        let exact = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
        let value = if exact {
            Value::Text(value.to_string())
        } else {
            Value::Broken
        };
        Ok(Member(Some(value)))
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Member, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member(Some(Value::Broken)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member(Some(Value::Broken)))
    }
}
