//! Where absolute URLs begin: the configured public base, else the host that the client itself asked for.

use actix_web::HttpRequest;
use actix_web::http::header::HOST;

use crate::config::Config;

/// The start of every absolute URL of one answer, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(String);

/// The longest `Host` that is believed: a DNS name has at most 253 bytes, and a port comes on top.
const MAX_HOST_LEN: usize = 260;

impl Base {
    /// The base for one request. A phone reaches us by the address it just used, so without a configured base that one
    /// is right. `X-Forwarded-Host` is not asked: anybody can send it, and who runs a proxy can configure the base.
    pub fn of(request: &HttpRequest, config: &Config) -> Self {
        if let Some(base) = &config.public_url {
            return Self(base.clone());
        }
        let host = request
            .headers()
            .get(HOST)
            .and_then(|value| value.to_str().ok())
            .filter(|host| is_authority(host));
        match host {
            Some(host) => Self(["http://", host].concat()),
            None => Self(format!("http://{}", request.app_config().local_addr())),
        }
    }

    /// The base itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute URL of a path that begins with a slash.
    pub fn join(&self, path: &str) -> String {
        let mut url = String::with_capacity(self.0.len() + path.len());
        url.push_str(&self.0);
        url.push_str(path);
        url
    }
}

/// Letters, digits, dots, hyphens, brackets and colons: every host and port there is, and nothing that would break out
/// of a URL in somebody's page.
fn is_authority(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= MAX_HOST_LEN
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn config(public_url: Option<&str>) -> Config {
        let mut config = Config::for_test(std::path::Path::new("unused"));
        config.public_url = public_url.map(str::to_owned);
        config
    }

    #[test]
    fn the_configured_base_wins_and_keeps_its_path() {
        let request = TestRequest::default()
            .insert_header((HOST, "10.0.0.2:8080"))
            .to_http_request();
        let base = Base::of(&request, &config(Some("https://example.org/site")));
        assert_eq!(base.join("/media/a.mp4"), "https://example.org/site/media/a.mp4");
    }

    #[test]
    fn the_host_that_was_asked_for_is_the_base() {
        for host in ["10.0.0.2:8080", "[::1]:80", "my-host_1.local"] {
            let request = TestRequest::default().insert_header((HOST, host)).to_http_request();
            assert_eq!(Base::of(&request, &config(None)).join("/x"), format!("http://{host}/x"));
        }
    }

    #[test]
    fn a_host_that_could_break_out_of_a_url_is_not_believed() {
        for host in ["a/../b", "a\"b", "a b", "user@host", &"a".repeat(261)] {
            let request = TestRequest::default().insert_header((HOST, host)).to_http_request();
            assert!(!Base::of(&request, &config(None)).join("/x").contains(host), "{host}");
        }
    }
}
