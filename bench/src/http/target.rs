//! Where questions go to.
//!
//! Owns the reading of an address. Never connects.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in queries and forms: the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A value as it stands in a query or a form.
pub fn encode(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}

/// A server: its address, its `Host` and what stands before every path. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Target(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    url: String,
    address: SocketAddr,
    host: String,
    base: String,
}

impl Target {
    /// Reads `http://host:port/base`, and looks the host up, once.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let url =
            url::Url::parse(text).with_context(|| format!("{text:?} is no address such as http://127.0.0.1:8080"))?;
        ensure!(
            url.scheme() == "http",
            "{text:?}: only plain http is measured, TLS would be a measurement of its own"
        );
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            bail!("{text:?} names no host");
        };
        ensure!(
            url.query().is_none() && url.username().is_empty(),
            "{text:?} has parts that no request would carry"
        );
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let address = (name, port)
            .to_socket_addrs()
            .with_context(|| format!("{host} can't be looked up"))?
            .next();
        Ok(Self(Arc::new(Parts {
            url: text.trim_end_matches('/').to_owned(),
            address: address.with_context(|| format!("{host} has no address"))?,
            host: format!("{host}:{port}"),
            base: url.path().trim_end_matches('/').to_owned(),
        })))
    }

    /// A server on this machine.
    pub fn local(address: SocketAddr) -> Self {
        Self(Arc::new(Parts {
            url: format!("http://{address}"),
            address,
            host: address.to_string(),
            base: String::new(),
        }))
    }

    /// As it was given.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// For the `Host` header.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// What stands before every path; empty or with a slash in front.
    pub fn base(&self) -> &str {
        &self.0.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        let target = Target::parse("http://127.0.0.1:8080/api/").unwrap();
        assert_eq!((target.host(), target.base()), ("127.0.0.1:8080", "/api"));
        assert_eq!(Target::parse("http://[::1]:81").unwrap().host(), "[::1]:81");
        assert_eq!(Target::parse("http://127.0.0.1").unwrap().address().port(), 80);
        for text in ["https://127.0.0.1", "127.0.0.1:80", "http://127.0.0.1/?a=b", ""] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
        assert_eq!(encode("a b+c/é"), "a%20b%2Bc%2F%C3%A9");
    }
}
