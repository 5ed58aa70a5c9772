//! JSON with placeholders, and whether a value is what it says.
//!
//! A placeholder is `<kind>` or `<kind:name>`; in JSON it stands for a whole value, bare for a number and quoted for a
//! text. Without a name only the kind is checked. With one, the first value is remembered, and every later one must be
//! equal.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What named placeholders stand for.
#[derive(Debug, Clone, Default)]
pub struct Bindings(BTreeMap<String, Value>);

/// The kinds that are numbers; bare in a transcript.
const NUMBERS: [&str; 5] = ["id", "seq", "time", "count", "seconds"];
/// The kinds that are texts; quoted in a transcript. `any` is whatever is not of interest.
const TEXTS: [&str; 6] = ["token", "epoch", "session", "key", "text", "any"];

impl Bindings {
    /// The token of that name.
    pub fn text(&self, name: &str) -> Result<String, String> {
        let value = self.0.get(&format!("token:{name}"));
        let text = value.and_then(Value::as_str);
        text.map(str::to_owned)
            .ok_or_else(|| format!("<token:{name}> is not known yet"))
    }
}

/// Reads a line's JSON; bare placeholders become texts, which is how all of them are held.
pub fn read(text: &str) -> Result<Value, String> {
    let mut quoted = String::new();
    let (mut in_text, mut escaped) = (false, false);
    for letter in text.chars() {
        match letter {
            '<' if !in_text => quoted.push_str("\"<"),
            '>' if !in_text => quoted.push_str(">\""),
            other => quoted.push(other),
        }
        in_text ^= letter == '"' && !escaped;
        escaped = in_text && letter == '\\' && !escaped;
    }
    let value: Value = serde_json::from_str(&quoted).map_err(|error| format!("{error} in {text}"))?;
    check(&value)?;
    Ok(value)
}

fn check(pattern: &Value) -> Result<(), String> {
    match pattern {
        Value::String(text) => match placeholder(text) {
            Some((kind, _)) if !NUMBERS.contains(&kind) && !TEXTS.contains(&kind) => {
                Err(format!("no such kind: {text}"))
            }
            _ => Ok(()),
        },
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(members) => members.values().try_for_each(check),
        _ => Ok(()),
    }
}

/// Kind and, where it has one, the whole of `kind:name`.
fn placeholder(text: &str) -> Option<(&str, Option<&str>)> {
    let inner = text.strip_prefix('<')?.strip_suffix('>')?;
    match inner.split_once(':') {
        Some((kind, _)) => Some((kind, Some(inner))),
        None => Some((inner, None)),
    }
}

/// Whether `value` is what `pattern` says, with exactly its members; the error says where it is not.
pub fn matches(pattern: &Value, value: &Value, bound: &mut Bindings) -> Result<(), String> {
    matches_at("$", pattern, value, bound)
}

fn matches_at(place: &str, pattern: &Value, value: &Value, bound: &mut Bindings) -> Result<(), String> {
    match (pattern, value) {
        (Value::String(text), _) if placeholder(text).is_some() => {
            matches_placeholder(text, value, bound).map_err(|why| format!("{place}: {why}"))
        }
        (Value::Object(wanted), Value::Object(got)) => matches_members(place, wanted, got, bound),
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            let pairs = wanted.iter().zip(got).enumerate();
            pairs
                .into_iter()
                .try_for_each(|(index, (wanted, got))| matches_at(&format!("{place}[{index}]"), wanted, got, bound))
        }
        (wanted, got) if wanted == got => Ok(()),
        (wanted, got) => Err(format!("{place}: written {wanted}, was {got}")),
    }
}

fn matches_members(
    place: &str,
    wanted: &Map<String, Value>,
    got: &Map<String, Value>,
    bound: &mut Bindings,
) -> Result<(), String> {
    if let Some(more) = got.keys().find(|key| !wanted.contains_key(*key)) {
        return Err(format!("{place}.{more} is not written, was {}", got[more]));
    }
    for (key, pattern) in wanted {
        let value = got.get(key).ok_or_else(|| format!("{place}.{key} is missing"))?;
        matches_at(&format!("{place}.{key}"), pattern, value, bound)?;
    }
    Ok(())
}

fn matches_placeholder(text: &str, value: &Value, bound: &mut Bindings) -> Result<(), String> {
    let (kind, name) = placeholder(text).unwrap_or((text, None));
    if !is_a(kind, value) {
        return Err(format!("{value} is no {kind}"));
    }
    let Some(name) = name else {
        return Ok(());
    };
    let known = bound.0.entry(name.to_owned()).or_insert_with(|| value.clone());
    if known == value {
        Ok(())
    } else {
        Err(format!("<{name}> was {known}, now {value}"))
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    const LARGEST: i64 = 1 << 53;
    let number = value.as_i64().filter(|number| *number < LARGEST);
    let text = value.as_str();
    match kind {
        "id" | "seq" => number.is_some_and(|number| number >= 1),
        // Milliseconds: seconds would be in the year 1970.
        "time" => number.is_some_and(|number| number > 1_600_000_000_000),
        "count" => number.is_some_and(|number| number >= 0),
        "seconds" => value.as_f64().is_some_and(|seconds| seconds >= 0.0),
        "any" => true,
        "key" => text.is_some_and(|key| key.len() >= 22),
        _ => text.is_some_and(|text| !text.is_empty()),
    }
}

/// The value that is sent for a pattern: every placeholder must be known, except a key, which is made up when it is first
/// sent.
pub fn fill(pattern: &Value, bound: &mut Bindings) -> Result<Value, String> {
    Ok(match pattern {
        Value::String(text) if placeholder(text).is_some() => known(text, bound)?,
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, bound)).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let filled = members
                .iter()
                .map(|(key, member)| Ok((key.clone(), fill(member, bound)?)));
            Value::Object(filled.collect::<Result<_, String>>()?)
        }
        other => other.clone(),
    })
}

fn known(text: &str, bound: &mut Bindings) -> Result<Value, String> {
    let Some((kind, Some(name))) = placeholder(text) else {
        return Err(format!("{text} can't be sent without a name"));
    };
    if kind == "key" {
        let fresh = || Value::String(format!("{:032x}", rand::random::<u128>()));
        return Ok(bound.0.entry(name.to_owned()).or_insert_with(fresh).clone());
    }
    let value = bound.0.get(name).cloned();
    value.ok_or_else(|| format!("{text} is not known yet"))
}

/// The same for the placeholders in a path.
pub fn fill_text(text: &str, bound: &Bindings) -> Result<String, String> {
    let mut parts = text.split('<');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('>').ok_or_else(|| format!("no end of <{part}"))?;
        match bound.0.get(name).ok_or_else(|| format!("<{name}> is not known yet"))? {
            Value::String(text) => filled.push_str(text),
            other => filled.push_str(&other.to_string()),
        }
        filled.push_str(rest);
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(pattern: &str, value: &Value) -> Result<(), String> {
        matches(&read(pattern).unwrap(), value, &mut Bindings::default())
    }

    #[test]
    fn what_is_written_is_accepted() {
        let pattern =
            r#"{"t":"message.new","seq":<seq:a>,"d":{"from":<id:ann>,"to":[<id:ben>,<id:ann>],"text":"a < b > c"}}"#;
        let value = json!({"t": "message.new", "seq": 1, "d": {"from": 7, "to": [8, 7], "text": "a < b > c"}});
        outcome(pattern, &value).unwrap();
    }

    #[test]
    fn every_difference_is_found() {
        for (pattern, value) in [
            (r#"{"a":1}"#, json!({"a": 2})),
            (r#"{"a":1}"#, json!({"a": "1"})),
            (r#"{"a":1}"#, json!({})),
            (r#"{"a":1}"#, json!({"a": 1, "b": null})),
            (r#"{"a":[1]}"#, json!({"a": [1, 2]})),
            (r#"{"a":{"b":true}}"#, json!({"a": {"b": false}})),
            (r#"{"a":<id>}"#, json!({"a": 0})),
            (r#"{"a":<id>}"#, json!({"a": "7"})),
            (r#"{"a":<id>}"#, json!({"a": 9_007_199_254_740_993_i64})),
            (r#"{"a":<time>}"#, json!({"a": 1_700_000_000})),
            (r#"{"a":"<token>"}"#, json!({"a": ""})),
            (r#"{"a":"<key>"}"#, json!({"a": "short"})),
            (r#"{"a":<id:x>,"b":<id:x>}"#, json!({"a": 1, "b": 2})),
            (r#"{"a":"<token:x>","b":"<token:x>"}"#, json!({"a": "one", "b": "two"})),
        ] {
            outcome(pattern, &value).expect_err(pattern);
        }
    }

    #[test]
    fn only_what_is_known_is_sent_and_a_key_stays_the_same() {
        let mut bound = Bindings::default();
        fill(&json!({"to": "<id:ben>"}), &mut bound).unwrap_err();
        matches(&json!("<id:ben>"), &json!(8), &mut bound).unwrap();
        assert_eq!(fill(&json!({"to": "<id:ben>"}), &mut bound).unwrap(), json!({"to": 8}));
        assert_eq!(fill_text("/x?to=<id:ben>&y", &bound).unwrap(), "/x?to=8&y");
        fill_text("/x?to=<id:ann>", &bound).unwrap_err();
        let first = fill(&json!("<key:one>"), &mut bound).unwrap();
        assert_eq!(fill(&json!("<key:one>"), &mut bound).unwrap(), first);
        assert_ne!(fill(&json!("<key:two>"), &mut bound).unwrap(), first);
    }
}
