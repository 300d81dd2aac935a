//! The types a setting can have, and how a text or a value becomes one.

use regex::Regex;

use crate::config::duration;
use crate::config::problem::ProblemKind;
use crate::config::source::parse_json;
use crate::config::tree::{Item, Origin, Table, Value};

/// The type of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    /// An integer of 0 or more.
    Count,
    /// An integer of 1 or more.
    Size,
    /// A TCP port.
    Port,
    /// A Go duration.
    Duration,
    Text,
    /// A text that is never printed, and may be given as the name of a file in the environment.
    Secret,
    /// A text whose query, behind a question mark, is never printed.
    Url,
    TextList,
    OneOf(&'static [&'static str]),
    /// A list of these.
    ListOf(&'static [&'static str]),
    /// A regular expression that compiles; empty for none.
    Regex,
    /// A table of texts by the names of headers, which are never printed: tokens are among them.
    Headers,
    /// A list of tables that say what statuses stand for.
    Transforms,
}

impl Kind {
    /// Whether its values are never printed, and may come from a file that a variable names.
    pub(crate) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Headers)
    }

    /// What a person should write.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::Count => "an integer of 0 or more".into(),
            Self::Size => "an integer of 1 or more".into(),
            Self::Port => "a port from 0 to 65535".into(),
            Self::Duration => "a duration such as \"25s\" or \"1h30m\"".into(),
            Self::Text | Self::Secret | Self::Url => "a string".into(),
            Self::TextList => "a list of strings".into(),
            Self::OneOf(choices) => format!("one of {}", quoted(choices)),
            Self::ListOf(choices) => format!("a list of {}", quoted(choices)),
            Self::Regex => "a regular expression".into(),
            Self::Headers => "a table of strings".into(),
            Self::Transforms => "a list of tables".into(),
        }
    }

    /// Reads the notation of environment, flags and defaults: lists are separated by spaces, or
    /// JSON; tables and lists of tables are JSON. `None` if `text` is no such value at all.
    pub(crate) fn parse(self, text: &str, origin: &Origin) -> Option<Value> {
        Some(match self {
            Self::Bool => Value::Bool(match text {
                "true" | "1" | "t" | "T" | "TRUE" | "True" => true,
                "false" | "0" | "f" | "F" | "FALSE" | "False" => false,
                _ => return None,
            }),
            Self::Count | Self::Size | Self::Port => Value::Integer(text.trim().parse().ok()?),
            Self::Duration
            | Self::Text
            | Self::Secret
            | Self::Url
            | Self::OneOf(_)
            | Self::Regex => Value::Text(text.to_owned()),
            Self::TextList | Self::ListOf(_) => {
                let texts = if text.trim_start().starts_with('[') {
                    serde_json::from_str::<Vec<String>>(text).ok()?
                } else {
                    text.split_whitespace().map(str::to_owned).collect()
                };
                let item = |text| Item::new(Value::Text(text), origin.clone());
                Value::List(texts.into_iter().map(item).collect())
            }
            Self::Headers if text.is_empty() => Value::Table(Table::new()),
            Self::Transforms if text.is_empty() => Value::List(Vec::new()),
            Self::Headers | Self::Transforms => {
                let value = parse_json(text, origin).ok()?.value;
                self.check(&value).ok().map(|()| value)?
            }
        })
    }

    /// Whether `value` is one of this type. The answer never quotes the value of a secret.
    pub(crate) fn check(self, value: &Value) -> Result<(), ProblemKind> {
        let fits = match (self, value) {
            (Self::Bool, Value::Bool(_))
            | (Self::Text | Self::Secret | Self::Url, Value::Text(_)) => true,
            (Self::Count, Value::Integer(count)) => *count >= 0,
            (Self::Size, Value::Integer(size)) => *size >= 1,
            (Self::Port, Value::Integer(port)) => u16::try_from(*port).is_ok(),
            (Self::Duration, Value::Text(text)) => {
                if duration::parse(text).is_none() {
                    return Err(self.invalid(text));
                }
                true
            }
            (Self::OneOf(choices), Value::Text(text)) => {
                if !choices.contains(&text.as_str()) {
                    return Err(self.invalid(text));
                }
                true
            }
            (Self::ListOf(choices), Value::List(items)) => {
                return items.iter().try_for_each(|item| match &item.value {
                    Value::Text(text) if choices.contains(&text.as_str()) => Ok(()),
                    Value::Text(text) => Err(self.invalid(text)),
                    other => Err(self.wrong_type(other)),
                });
            }
            (Self::Regex, Value::Text(text)) => {
                Regex::new(text).map_err(|error| {
                    ProblemKind::Invalid(format!("does not compile: {}", one_line(&error)))
                })?;
                true
            }
            (Self::TextList, Value::List(items)) => items
                .iter()
                .all(|item| matches!(item.value, Value::Text(_))),
            (Self::Headers, Value::Table(table)) => table
                .values()
                .all(|item| matches!(item.value, Value::Text(_))),
            (Self::Transforms, Value::List(items)) => items
                .iter()
                .all(|item| matches!(item.value, Value::Table(_))),
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(self.wrong_type(value))
        }
    }

    fn invalid(self, text: &str) -> ProblemKind {
        ProblemKind::Invalid(format!("expected {}, found {text:?}", self.expected()))
    }

    fn wrong_type(self, value: &Value) -> ProblemKind {
        ProblemKind::WrongType {
            expected: self.expected(),
            found: match (self, value) {
                (Self::Count, Value::Integer(_)) => "a negative number",
                (Self::Size, Value::Integer(_)) => "0 or less",
                (Self::Port, Value::Integer(_)) => "another number",
                (Self::TextList | Self::Transforms, Value::List(_)) => "a list of something else",
                (Self::Headers, Value::Table(_)) => "a table of something else",
                _ => value.type_name(),
            },
        }
    }
}

fn quoted(choices: &[&str]) -> String {
    let quoted: Vec<_> = choices.iter().map(|choice| format!("{choice:?}")).collect();
    quoted.join(", ")
}

/// The last line of a regular expression's error is the reason; those above draw the place.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_by_type() {
        let texts = |texts: &[&str]| {
            let item = |text: &&str| Item::new(Value::Text((*text).into()), Origin::Default);
            Some(Value::List(texts.iter().map(item).collect()))
        };
        let parse = |kind: Kind, text| kind.parse(text, &Origin::Default);
        assert_eq!(parse(Kind::Bool, "true"), Some(Value::Bool(true)));
        assert_eq!(parse(Kind::Bool, "yes"), None);
        assert_eq!(parse(Kind::Count, "42"), Some(Value::Integer(42)));
        assert_eq!(parse(Kind::Count, "4x"), None);
        assert_eq!(parse(Kind::TextList, "a  b"), texts(&["a", "b"]));
        assert_eq!(parse(Kind::TextList, r#"["a b"]"#), texts(&["a b"]));
        assert_eq!(parse(Kind::TextList, ""), texts(&[]));
        assert_eq!(parse(Kind::TextList, "[1]"), None);
        assert_eq!(parse(Kind::Text, "1"), Some(Value::Text("1".into())));
    }

    #[test]
    fn values_of_another_type_are_refused() {
        let text = |text: &str| Value::Text(text.into());
        for (kind, value, message) in [
            (
                Kind::Count,
                text("1"),
                "expected an integer of 0 or more, found a string",
            ),
            (
                Kind::Count,
                Value::Integer(-1),
                "expected an integer of 0 or more, found a negative number",
            ),
            (
                Kind::Port,
                Value::Integer(70_000),
                "expected a port from 0 to 65535, found another number",
            ),
            (
                Kind::Duration,
                Value::Integer(5),
                "expected a duration such as \"25s\" or \"1h30m\", found an integer",
            ),
            (
                Kind::OneOf(&["a", "b"]),
                text("c"),
                "expected one of \"a\", \"b\", found \"c\"",
            ),
            (
                Kind::ListOf(&["a"]),
                Value::List(vec![Item::new(text("x"), Origin::Default)]),
                "expected a list of \"a\", found \"x\"",
            ),
            (Kind::Regex, text("(a"), "does not compile: unclosed group"),
        ] {
            assert_eq!(kind.check(&value).unwrap_err().to_string(), message);
        }
    }
}
