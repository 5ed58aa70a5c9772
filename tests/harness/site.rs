//! A running server as its clients see it: an address, and the sixteen endpoints behind it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http;

use super::answer::Reply;
use super::persona::Persona;
use super::shapes::Video;

/// What an endpoint of the contract says about tokens (contract section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRule {
    /// Knows no token.
    None,
    /// Serves guests as well.
    Optional,
    /// Refuses guests.
    Required,
}

/// One line of the contract's table.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// GET or POST.
    pub method: &'static str,
    /// With the last slash.
    pub path: &'static str,
    /// Who may come.
    pub token: TokenRule,
}

const fn endpoint(method: &'static str, path: &'static str, token: TokenRule) -> Endpoint {
    Endpoint { method, path, token }
}

/// The sixteen, in the contract's order.
pub const ENDPOINTS: [Endpoint; 16] = [
    endpoint("GET", "/douyin/feed/", TokenRule::Optional),
    endpoint("POST", "/douyin/user/register/", TokenRule::None),
    endpoint("POST", "/douyin/user/login/", TokenRule::None),
    endpoint("GET", "/douyin/user/", TokenRule::Optional),
    endpoint("POST", "/douyin/publish/action/", TokenRule::Required),
    endpoint("GET", "/douyin/publish/list/", TokenRule::Optional),
    endpoint("POST", "/douyin/favorite/action/", TokenRule::Required),
    endpoint("GET", "/douyin/favorite/list/", TokenRule::Optional),
    endpoint("POST", "/douyin/comment/action/", TokenRule::Required),
    endpoint("GET", "/douyin/comment/list/", TokenRule::Optional),
    endpoint("POST", "/douyin/relation/action/", TokenRule::Required),
    endpoint("GET", "/douyin/relation/follow/list/", TokenRule::Optional),
    endpoint("GET", "/douyin/relation/follower/list/", TokenRule::Optional),
    endpoint("GET", "/douyin/relation/friend/list/", TokenRule::Required),
    endpoint("POST", "/douyin/message/action/", TokenRule::Required),
    endpoint("GET", "/douyin/message/chat/", TokenRule::Required),
];

/// Parameters of a call.
pub type Params<'a> = &'a [(&'a str, &'a dyn Display)];

/// The password of every persona; the official tests' style.
pub const PASSWORD: &str = "123456";

/// A server to talk to. Clones talk to the same one, also after it moved to another port.
#[derive(Clone)]
pub struct Site {
    address: Arc<RwLock<SocketAddr>>,
    agent: ureq::Agent,
}

impl Site {
    /// A client of the server at `address`.
    pub fn at(address: SocketAddr) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .max_idle_connections_per_host(64)
            .timeout_global(Some(Duration::from_mins(1)))
            .build()
            .into();
        Self {
            address: Arc::new(RwLock::new(address)),
            agent,
        }
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        *self.address.read().unwrap()
    }

    /// Says that the server listens somewhere else from now on.
    pub fn moved_to(&self, address: SocketAddr) {
        *self.address.write().unwrap() = address;
    }

    /// The absolute URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Sends one request to an absolute URL; fails the test when no whole answer comes.
    pub fn send(&self, request: http::Request<Vec<u8>>) -> Reply {
        let shown = format!("{} {}", request.method(), request.uri());
        self.try_send(request)
            .unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    /// Sends one request; the error is the connection's.
    pub fn try_send(&self, request: http::Request<Vec<u8>>) -> Result<Reply, ureq::Error> {
        let bodiless = matches!(request.method().as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE");
        let mut response = if bodiless {
            self.agent.run(request.map(|_| ()))?
        } else {
            self.agent.run(request)?
        };
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let body = response.body_mut().with_config().limit(64 << 20).read_to_vec()?;
        Ok(Reply {
            status: response.status().as_u16(),
            headers,
            body,
        })
    }

    /// A GET of a path or an absolute URL of this server.
    pub fn get(&self, target: &str) -> Reply {
        self.get_with(target, &[])
    }

    /// A GET with headers.
    pub fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Reply {
        self.request("GET", target, headers, Vec::new())
    }

    /// Any method, with headers and a body.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        self.send(self.build(method, target, headers, body))
    }

    /// The request that [`Site::request`] sends.
    pub fn build(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Vec<u8>) -> http::Request<Vec<u8>> {
        let url = if target.starts_with("http") {
            target.to_owned()
        } else {
            self.url(target)
        };
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).unwrap()
    }

    /// Calls an endpoint with its parameters in the query, as the document and the app do.
    pub fn call(&self, method: &str, path: &str, params: Params<'_>) -> Reply {
        self.request(method, &format!("{path}?{}", encoded(params)), &[], Vec::new())
    }

    /// Registers `name` and logs it in.
    pub fn register(&self, name: &str) -> Persona {
        let reply = self.call(
            "POST",
            "/douyin/user/register/",
            &[("username", &name), ("password", &PASSWORD)],
        );
        Persona::welcomed(self, name, &reply)
    }

    /// Logs a registered persona in again.
    pub fn login(&self, name: &str) -> Persona {
        let reply = self.call(
            "POST",
            "/douyin/user/login/",
            &[("username", &name), ("password", &PASSWORD)],
        );
        Persona::welcomed(self, name, &reply)
    }

    /// Somebody who never logged in; sends `token=` as the app does.
    pub fn guest(&self) -> Persona {
        Persona::guest(self)
    }

    /// The feed's first page as a guest sees it.
    pub fn feed(&self) -> Vec<Video> {
        self.guest().feed()
    }
}

/// `a=1&b=2`, everything unusual percent-encoded.
pub fn encoded(params: Params<'_>) -> String {
    let pairs: Vec<String> = params
        .iter()
        .map(|(key, value)| {
            let value = value.to_string();
            format!(
                "{}={}",
                utf8_percent_encode(key, NON_ALPHANUMERIC),
                utf8_percent_encode(&value, NON_ALPHANUMERIC)
            )
        })
        .collect();
    pairs.join("&")
}
