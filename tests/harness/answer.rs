//! One answer of the server, and the envelope that every answer of the contract must have (contract 2.3 and 2.4).

use serde_json::{Map, Value};

/// What came back, whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Header names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body after any transfer coding.
    pub body: Vec<u8>,
}

/// A refusal of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Never 0.
    pub code: i64,
    /// Never empty, and nothing internal in it.
    pub msg: String,
    /// `token` where the answer carries one: `""` on a failed register.
    pub token: Option<String>,
}

/// Words that no visitor should ever read: they tell of the inside.
const INTERNAL_WORDS: &[&str] = &[
    "select ", "insert ", "update ", "sqlite", "mysql", "mariadb", "diesel", "r2d2", ".rs:", "src/", "/tmp",
    "panicked", "unwrap", "thread", "stack", "error(", "os error",
];

impl Reply {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, which JSON always is.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body that is UTF-8")
    }

    /// The body as JSON of the right content type, without a `null` anywhere.
    pub fn json(&self) -> Value {
        let kind = self.header("content-type").unwrap_or_default();
        assert!(
            kind == "application/json" || kind.starts_with("application/json;"),
            "not JSON but {kind:?}: {} {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        let value: Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)));
        refuse_null(&value, "$");
        value
    }

    fn envelope(&self) -> (i64, String, Map<String, Value>) {
        let Value::Object(mut map) = self.json() else {
            panic!("not an object: {}", self.text())
        };
        let code = map.remove("status_code").and_then(|code| code.as_i64());
        let code = code.unwrap_or_else(|| panic!("status_code is not an integer: {}", self.text()));
        assert!(i32::try_from(code).is_ok(), "status_code is an int32: {code}");
        let Some(Value::String(msg)) = map.remove("status_msg") else {
            panic!("status_msg is not a string: {}", self.text())
        };
        (code, msg, map)
    }

    /// The payload of a success; anything else fails the test.
    pub fn success(&self) -> Map<String, Value> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let (code, _, payload) = self.envelope();
        assert_eq!(code, 0, "wanted a success: {}", self.text());
        payload
    }

    /// A success that carries nothing but the envelope.
    pub fn done(&self) {
        let payload = self.success();
        assert!(payload.is_empty(), "only an envelope was expected: {}", self.text());
    }

    /// A refusal with HTTP 200.
    pub fn refused(&self) -> Refusal {
        self.refused_as(&[200])
    }

    /// A refusal with one of these HTTP statuses, without any payload.
    pub fn refused_as(&self, statuses: &[u16]) -> Refusal {
        let shown = String::from_utf8_lossy(&self.body);
        assert!(statuses.contains(&self.status), "HTTP {} {shown}", self.status);
        let (code, msg, mut rest) = self.envelope();
        assert_ne!(code, 0, "wanted a refusal: {shown}");
        assert!(!msg.trim().is_empty(), "a refusal says why: {shown}");
        let lower = msg.to_lowercase();
        for word in INTERNAL_WORDS {
            assert!(!lower.contains(word), "a refusal shows the inside ({word}): {shown}");
        }
        let token = rest.remove("token").map(|token| match token {
            Value::String(text) => text,
            other => panic!("a token is a string: {other}"),
        });
        if let Some(id) = rest.remove("user_id") {
            assert_eq!(id, 0, "a refusal names nobody: {shown}");
        }
        assert!(rest.is_empty(), "a refusal carries no data: {shown}");
        Refusal { code, msg, token }
    }
}

fn refuse_null(value: &Value, place: &str) {
    match value {
        Value::Null => panic!("null at {place}"),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                refuse_null(item, &format!("{place}[{index}]"));
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                refuse_null(item, &format!("{place}.{key}"));
            }
        }
        _ => {}
    }
}
