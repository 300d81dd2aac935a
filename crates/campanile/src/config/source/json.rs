//! JSON with positions.
//!
//! serde_json tells no positions of values, but raw values are slices of the source, and a slice
//! tells where it begins.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, syntax};
use crate::config::problem::Problem;
use crate::config::tree::{Item, Origin, Position, Table, Value};

/// Reads a document whose top is an object.
pub(super) fn parse(text: &str, name: &Arc<str>) -> Result<Item, Vec<Problem>> {
    let reader = Reader {
        text,
        origin: &|position| Origin::File {
            name: Arc::clone(name),
            position: Some(position),
        },
    };
    let root: &RawValue =
        serde_json::from_str(text).map_err(|error| vec![reader.broken(&error)])?;
    let origin = reader.origin_of(root.get());
    let value = reader.value(root, &origin, 0).map_err(|p| vec![p])?;
    if matches!(value, Value::Table(_)) {
        Ok(Item::new(value, origin))
    } else {
        Err(vec![syntax(origin, "expected an object")])
    }
}

/// Reads a value that does not stand in a file; everything in it comes from `origin`.
pub(crate) fn parse_value(text: &str, origin: &Origin) -> Result<Item, Problem> {
    let reader = Reader {
        text,
        origin: &|_| origin.clone(),
    };
    let root: &RawValue = serde_json::from_str(text).map_err(|error| reader.broken(&error))?;
    let value = reader.value(root, origin, 0)?;
    Ok(Item::new(value, origin.clone()))
}

struct Reader<'a> {
    text: &'a str,
    origin: &'a dyn Fn(Position) -> Origin,
}

impl<'a> Reader<'a> {
    fn broken(&self, error: &serde_json::Error) -> Problem {
        let position = Position {
            line: error.line(),
            column: error.column().max(1),
        };
        let text = error.to_string();
        // The place is told in our own way.
        let reason = text.split(" at line ").next().unwrap_or_default();
        syntax((self.origin)(position), reason)
    }

    fn origin_of(&self, part: &str) -> Origin {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        (self.origin)(Position::at(self.text, offset))
    }

    fn value(&self, raw: &'a RawValue, origin: &Origin, depth: usize) -> Result<Value, Problem> {
        if depth > DEPTH_MAX {
            return Err(syntax(origin.clone(), "nested too deeply"));
        }
        let text = raw.get();
        // A raw value is valid, so that its first byte tells its type.
        match text.as_bytes()[0] {
            b'{' => self.table(text, depth),
            b'[' => self.list(text, depth),
            b'"' => self.scalar(text).map(Value::Text),
            b't' | b'f' => self.scalar(text).map(Value::Bool),
            b'n' => Ok(Value::Null),
            _ if text.contains(['.', 'e', 'E']) => self.scalar(text).map(Value::Float),
            _ => text
                .parse()
                .map(Value::Integer)
                .map_err(|_| syntax(origin.clone(), "integer out of range")),
        }
    }

    fn scalar<T: Deserialize<'a>>(&self, text: &'a str) -> Result<T, Problem> {
        serde_json::from_str(text).map_err(|error| syntax(self.origin_of(text), error.to_string()))
    }

    fn list(&self, text: &'a str, depth: usize) -> Result<Value, Problem> {
        let items: Vec<&RawValue> = self.scalar(text)?;
        let item = |raw: &&'a RawValue| {
            let origin = self.origin_of(raw.get());
            let value = self.value(raw, &origin, depth + 1)?;
            Ok(Item::new(value, origin))
        };
        Ok(Value::List(
            items.iter().map(item).collect::<Result<_, _>>()?,
        ))
    }

    fn table(&self, text: &'a str, depth: usize) -> Result<Value, Problem> {
        let Members(members) = self.scalar(text)?;
        let mut table = Table::new();
        for (key, raw) in members {
            let origin = match &key {
                Cow::Borrowed(key) => self.key_origin(key),
                // A key with an escape is no slice of the source; its value has to do.
                Cow::Owned(_) => self.origin_of(raw.get()),
            };
            let value = self.value(raw, &origin, depth + 1)?;
            let key = key.into_owned();
            if table.contains_key(&key) {
                return Err(syntax(origin, format!("key {key:?} stands here twice")));
            }
            table.insert(key, Item::new(value, origin));
        }
        Ok(Value::Table(table))
    }

    /// Where a key begins: at the quotation mark before its text.
    fn key_origin(&self, key: &str) -> Origin {
        let offset = (key.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        (self.origin)(Position::at(self.text, offset.saturating_sub(1)))
    }
}

/// The members of an object in their order, also those of the same name.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Borrows where it can, which `Cow` by itself does not.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }

        input.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_knows_its_place() {
        let text = "{\n  \"client\": {\n    \"ping_interval\": \"5s\", \"n\": [1,\n 2.5]\n  }\n}";
        let root = parse(text, &"a.json".into()).unwrap();
        let ping = root.get("client.ping_interval").unwrap();
        assert_eq!(ping.value, Value::Text("5s".into()));
        assert_eq!(ping.origin.to_string(), "a.json:3:5");
        let Value::List(items) = &root.get("client.n").unwrap().value else {
            panic!("not a list");
        };
        assert_eq!(items[1].value, Value::Float(2.5));
        assert_eq!(items[1].origin.to_string(), "a.json:4:2");
    }

    #[test]
    fn broken_files_are_refused_with_the_place() {
        for (text, message) in [
            (
                "{\n  \"a\": 1,\n}",
                "a.json:3:1: syntax error: key must be a string",
            ),
            ("[]", "a.json:1:1: syntax error: expected an object"),
            ("", "a.json:1:1: syntax error: EOF while parsing a value"),
            (
                "{\"a\": 1,\n \"a\": 2}",
                "a.json:2:2: syntax error: key \"a\" stands here twice",
            ),
            (
                "{\"a\": 99999999999999999999}",
                "a.json:1:2: syntax error: integer out of range",
            ),
        ] {
            let problems = parse(text, &"a.json".into()).unwrap_err();
            assert_eq!(problems[0].to_string(), message);
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("{{\"a\": {}{}}}", "[".repeat(9999), "]".repeat(9999));
        let problems = parse(&text, &"a.json".into()).unwrap_err();
        assert!(problems[0].to_string().contains("nested too deeply"));
    }
}
