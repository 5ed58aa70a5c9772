//! Tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256 (RFC 7515, HS256) by ring.
//!
//! Owns issuing and checking. Made by hand around ring because a general JWT library's flexibility is the classic hole:
//! here the header is one fixed text that must match byte for byte, so `alg: none`, other algorithms and key tricks
//! have nothing to hold on to. Never knows whether the user still exists or which token version is current.

mod key;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

pub use key::{KeyError, TokenKey};

/// base64url of `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// Refused unread above this many bytes; ours have about 200.
const MAX_LEN: usize = 4096;

/// What a valid token says. The caller still compares `version` with the user's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// The token's owner, the acting user.
    pub user_id: i64,
    /// The user's token version when it was issued; raising the row's version revokes it.
    pub version: u32,
    /// Seconds since the epoch.
    pub issued_at: i64,
    /// Seconds since the epoch; not valid in that second any more.
    pub expires_at: i64,
}

/// Why a token is refused. Outside all of them look the same; the log may tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not of the form we issue.
    #[error("the token is malformed")]
    Malformed,
    /// Not signed by our key, or changed since.
    #[error("the token's signature is wrong")]
    Signature,
    /// Valid once.
    #[error("the token has expired")]
    Expired,
    /// Signed by our key for another store: the database was wiped or replaced under a kept key. Its user ids mean
    /// other people here.
    #[error("the token belongs to another store")]
    OtherStore,
}

impl From<TokenError> for ApiError {
    fn from(_: TokenError) -> Self {
        Self::InvalidToken
    }
}

/// The payload on the wire; names and types of the first, third and fourth by RFC 7519, 4.1 (`sub` is a string there).
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    sub: &'a str,
    #[serde(borrow)]
    sid: &'a str,
    ver: u32,
    iat: i64,
    exp: i64,
}

/// Issues and checks the tokens of one store.
pub struct Tokens {
    key: TokenKey,
    store_id: String,
    lifetime: i64,
}

impl Tokens {
    /// `store_id` is the store's random id (plain ASCII without quotes or backslashes, so that it needs no escape in
    /// JSON); `lifetime` is how long a new token stays valid, in whole seconds.
    pub fn new(key: TokenKey, store_id: impl Into<String>, lifetime: Duration) -> Self {
        Self {
            key,
            store_id: store_id.into(),
            lifetime: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX),
        }
    }

    /// A token for `user_id`, valid from `now` (seconds since the epoch) for the lifetime.
    pub fn issue(&self, user_id: i64, version: u32, now: i64) -> String {
        let payload = Payload {
            sub: &user_id.to_string(),
            sid: &self.store_id,
            ver: version,
            iat: now,
            exp: now.saturating_add(self.lifetime),
        };
        // Strings and integers always serialise; were it otherwise, an empty payload is a token that nobody accepts.
        let payload = serde_json::to_vec(&payload).unwrap_or_default();
        let mut token = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// The claims of a token that we signed for this store and that has not expired at `now` (seconds since the epoch).
    ///
    /// The signature comes before anything inside is read, in constant time. Only canonical base64url counts, so there
    /// is exactly one spelling of each token and any changed character is refused.
    pub fn check(&self, token: &str, now: i64) -> Result<Claims, TokenError> {
        if token.len() > MAX_LEN {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if header != HEADER {
            return Err(TokenError::Malformed);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        if !self.key.verify(signed.as_bytes(), &signature) {
            return Err(TokenError::Signature);
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)?;
        let payload: Payload<'_> = serde_json::from_slice(&payload).map_err(|_| TokenError::Malformed)?;
        if payload.sid != self.store_id {
            return Err(TokenError::OtherStore);
        }
        if now >= payload.exp {
            return Err(TokenError::Expired);
        }
        Ok(Claims {
            user_id: payload.sub.parse().map_err(|_| TokenError::Malformed)?,
            version: payload.ver,
            issued_at: payload.iat,
            expires_at: payload.exp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::hmac;

    const NOW: i64 = 1_700_000_000;
    const SECRET: [u8; 32] = [7; 32];

    fn tokens(store_id: &str) -> Tokens {
        Tokens::new(TokenKey::from_bytes(SECRET), store_id, Duration::from_mins(1))
    }

    /// Signed with our key, as nobody else could: what the checks behind the signature are tested with.
    fn signed(header: &str, payload: &str) -> String {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    #[test]
    fn the_header_constant_is_what_it_says() {
        assert_eq!(URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#), HEADER);
    }

    #[test]
    fn a_token_tells_what_was_issued_until_it_expires() {
        let tokens = tokens("s");
        let token = tokens.issue(42, 3, NOW);
        let claims = Claims {
            user_id: 42,
            version: 3,
            issued_at: NOW,
            expires_at: NOW + 60,
        };
        assert_eq!(tokens.check(&token, NOW), Ok(claims));
        assert_eq!(tokens.check(&token, NOW + 59), Ok(claims));
        assert_eq!(tokens.check(&token, NOW + 60), Err(TokenError::Expired));
    }

    #[test]
    fn another_key_or_store_is_refused() {
        let token = tokens("s").issue(1, 0, NOW);
        let foreign = Tokens::new(TokenKey::from_bytes([8; 32]), "s", Duration::from_mins(1));
        assert_eq!(foreign.check(&token, NOW), Err(TokenError::Signature));
        assert_eq!(tokens("t").check(&token, NOW), Err(TokenError::OtherStore));
    }

    #[test]
    fn other_headers_are_refused_even_when_signed() {
        let payload = format!(r#"{{"sub":"1","sid":"s","ver":0,"iat":{NOW},"exp":{}}}"#, NOW + 9);
        let own = signed(r#"{"alg":"HS256","typ":"JWT"}"#, &payload);
        assert!(tokens("s").check(&own, NOW).is_ok());
        for header in [
            r#"{"alg":"none","typ":"JWT"}"#,
            r#"{"alg":"HS512","typ":"JWT"}"#,
            r#"{"typ":"JWT","alg":"HS256"}"#,
            r#"{"alg":"HS256","typ":"JWT","kid":"../../dev/null"}"#,
            "",
        ] {
            assert_eq!(
                tokens("s").check(&signed(header, &payload), NOW),
                Err(TokenError::Malformed),
                "{header}"
            );
        }
        let (unsigned, _) = own.rsplit_once('.').unwrap();
        assert_eq!(
            tokens("s").check(&format!("{unsigned}."), NOW),
            Err(TokenError::Signature)
        );
        assert_eq!(tokens("s").check(unsigned, NOW), Err(TokenError::Malformed));
    }

    #[test]
    fn wrong_payloads_are_refused_even_when_signed() {
        for payload in [
            "",
            "[]",
            r#"{"sub":1,"sid":"s","ver":0,"iat":0,"exp":9999999999}"#,
            r#"{"sub":"x","sid":"s","ver":0,"iat":0,"exp":9999999999}"#,
            r#"{"sub":"1","sid":"s","ver":-1,"iat":0,"exp":9999999999}"#,
            r#"{"sub":"1","sid":"s","ver":0,"iat":0}"#,
        ] {
            let token = signed(r#"{"alg":"HS256","typ":"JWT"}"#, payload);
            assert_eq!(tokens("s").check(&token, NOW), Err(TokenError::Malformed), "{payload}");
        }
    }

    #[test]
    fn every_other_last_character_is_refused() {
        let token = tokens("s").issue(5, 1, NOW);
        let (rest, last) = token.split_at(token.len() - 1);
        for byte in 0..=127_u8 {
            let other = char::from(byte).to_string();
            let accepted = tokens("s").check(&format!("{rest}{other}"), NOW).is_ok();
            assert_eq!(accepted, other == last, "{other:?}");
        }
        assert!(tokens("s").check(&format!("{token}="), NOW).is_err());
        assert!(tokens("s").check(&format!(" {token}"), NOW).is_err());
        assert_eq!(tokens("s").check(&"a".repeat(4097), NOW), Err(TokenError::Malformed));
    }

    proptest! {
        #[test]
        fn any_changed_character_is_refused(
            user_id in 1..1_i64 << 53, at in any::<prop::sample::Index>(), to in "[A-Za-z0-9._=-]|\\PC",
        ) {
            let tokens = tokens("store");
            let token = tokens.issue(user_id, 0, NOW);
            let at = at.index(token.len());
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assert_eq!(tokens.check(&changed, NOW).is_ok(), changed == token);
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>(), parts in "[A-Za-z0-9_-]{0,50}(\\.[A-Za-z0-9_-]{0,50}){0,4}") {
            prop_assert!(tokens("s").check(&text, NOW).is_err());
            prop_assert!(tokens("s").check(&parts, NOW).is_err());
            let token = format!("{HEADER}.{parts}");
            prop_assert!(tokens("s").check(&token, NOW).is_err());
        }

        #[test]
        fn extreme_claims_round_trip(user_id in any::<i64>(), version in any::<u32>(), now in any::<i64>()) {
            let tokens = tokens("s");
            let read = tokens.check(&tokens.issue(user_id, version, now), now);
            let fresh = now < i64::MAX;
            prop_assert_eq!(read.map(|claims| (claims.user_id, claims.version)).is_ok(), fresh);
        }
    }
}
