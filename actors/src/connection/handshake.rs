//! Whether a request may become a WebSocket: RFC 6455, section 4.2.1.
//!
//! Owns the rules; where the header fields come from is `transport`'s. No extension is ever accepted, so none is looked
//! at: a client that offers some goes on without (section 9.1).

/// The one subprotocol.
pub const SUBPROTOCOL: &str = "ovation.v1";

/// Why a request does not become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Another method than GET.
    #[error("a WebSocket begins with GET")]
    NotGet,
    /// The request does not ask for an upgrade to `websocket`.
    #[error("this is a WebSocket endpoint: `Connection: Upgrade` and `Upgrade: websocket` are missing")]
    NoUpgrade,
    /// Another version than 13; the answer says which one is understood.
    #[error("the WebSocket version must be 13")]
    Version,
    /// Not 16 bytes in base64.
    #[error("Sec-WebSocket-Key must be 16 bytes in base64")]
    Key,
    /// Subprotocols were offered, and ours is not among them.
    #[error("the subprotocol is `ovation.v1`")]
    Subprotocol,
}

impl HandshakeError {
    /// The answer's status.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotGet => 405,
            Self::NoUpgrade | Self::Version => 426,
            Self::Key | Self::Subprotocol => 400,
        }
    }

    /// The header fields that belong to the answer; names in lower case.
    pub const fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::NotGet => &[("allow", "GET")],
            Self::NoUpgrade | Self::Version => &[
                ("sec-websocket-version", "13"),
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
            ],
            Self::Key | Self::Subprotocol => &[],
        }
    }
}

/// What a request says about it. Of a field that stands there several times, all values.
#[derive(Debug, Default)]
pub(super) struct Ask<'a> {
    pub(super) is_get: bool,
    /// Older versions know no upgrade; newer ones do it in another way (RFC 8441).
    pub(super) is_http_1_1: bool,
    pub(super) upgrade: Vec<&'a [u8]>,
    pub(super) connection: Vec<&'a [u8]>,
    pub(super) version: Vec<&'a [u8]>,
    pub(super) key: Vec<&'a [u8]>,
    pub(super) subprotocols: Vec<&'a [u8]>,
}

impl Ask<'_> {
    /// Whether our subprotocol is to be echoed; it is not where none was offered.
    pub(super) fn check(&self) -> Result<bool, HandshakeError> {
        if !self.is_get {
            return Err(HandshakeError::NotGet);
        }
        let has = |lines: &[&[u8]], word: &str| {
            lines
                .iter()
                .any(|line| tokens(line).any(|token| token.eq_ignore_ascii_case(word.as_bytes())))
        };
        if !self.is_http_1_1 || !has(&self.upgrade, "websocket") || !has(&self.connection, "upgrade") {
            return Err(HandshakeError::NoUpgrade);
        }
        if self.version != [b"13"] {
            return Err(HandshakeError::Version);
        }
        if !matches!(self.key[..], [key] if is_key(key)) {
            return Err(HandshakeError::Key);
        }
        let mut offered = self.subprotocols.iter().flat_map(|line| tokens(line)).peekable();
        if offered.peek().is_none() {
            return Ok(false);
        }
        if offered.any(|token| token == SUBPROTOCOL.as_bytes()) {
            Ok(true)
        } else {
            Err(HandshakeError::Subprotocol)
        }
    }
}

/// The members of a comma-separated list.
fn tokens(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// 16 bytes in base64 are 22 characters and two signs of padding. The bytes themselves mean nothing.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Ask<'static> {
        Ask {
            is_get: true,
            is_http_1_1: true,
            upgrade: vec![b"WebSocket"],
            connection: vec![b"keep-alive, Upgrade"],
            version: vec![b"13"],
            key: vec![b"dGhlIHNhbXBsZSBub25jZQ=="],
            subprotocols: vec![],
        }
    }

    #[test]
    fn each_field_decides() {
        assert_eq!(good().check(), Ok(false));
        let refused = |change: fn(&mut Ask<'static>)| {
            let mut ask = good();
            change(&mut ask);
            ask.check().unwrap_err()
        };
        assert_eq!(refused(|ask| ask.is_get = false), HandshakeError::NotGet);
        assert_eq!(refused(|ask| ask.is_http_1_1 = false), HandshakeError::NoUpgrade);
        assert_eq!(refused(|ask| ask.upgrade.clear()), HandshakeError::NoUpgrade);
        assert_eq!(
            refused(|ask| ask.upgrade = vec![b"websockets"]),
            HandshakeError::NoUpgrade
        );
        assert_eq!(
            refused(|ask| ask.connection = vec![b"close"]),
            HandshakeError::NoUpgrade
        );
        assert_eq!(refused(|ask| ask.version.clear()), HandshakeError::Version);
        assert_eq!(refused(|ask| ask.version = vec![b"8"]), HandshakeError::Version);
        for key in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZQAA",
            b"dGhlIHNhbXBsZSBub25j!Q==",
        ] {
            let mut ask = good();
            ask.key = vec![key];
            assert_eq!(ask.check(), Err(HandshakeError::Key));
        }
        assert_eq!(refused(|ask| ask.key.extend_from_within(..)), HandshakeError::Key);
    }

    #[test]
    fn the_subprotocol_is_echoed_only_when_offered() {
        let offer = |lines: &[&'static [u8]]| {
            let mut ask = good();
            ask.subprotocols = lines.to_vec();
            ask.check()
        };
        assert_eq!(offer(&[b"ovation.v1"]), Ok(true));
        assert_eq!(offer(&[b"ovation.v2,ovation.v1"]), Ok(true));
        assert_eq!(offer(&[b"chat", b"ovation.v1"]), Ok(true));
        assert_eq!(offer(&[b" , "]), Ok(false));
        assert_eq!(offer(&[b"ovation.v2"]), Err(HandshakeError::Subprotocol));
        assert_eq!(HandshakeError::Version.status(), 426);
    }
}
