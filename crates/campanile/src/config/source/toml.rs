//! TOML with positions.

use std::sync::Arc;

use serde_json::Number;
use toml::de::{DeTable, DeValue};

use super::{DEPTH_MAX, syntax};
use crate::config::problem::Problem;
use crate::config::tree::{Item, Origin, Position, Table, Value};

/// Reads a document, or tells every syntax error in it.
pub(super) fn parse(text: &str, name: &Arc<str>) -> Result<Item, Vec<Problem>> {
    let reader = Reader { text, name };
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let origin = reader.origin(0);
        let table = reader.table(table.into_inner(), 0);
        return table
            .map(|table| Item::new(Value::Table(table), origin))
            .map_err(|problem| vec![problem]);
    }
    // `message` and not `Display`: that would print the line, and with it perhaps a secret.
    Err(errors
        .iter()
        .map(|error| {
            let start = error.span().map_or(0, |span| span.start);
            syntax(reader.origin(start), error.message())
        })
        .collect())
}

struct Reader<'a> {
    text: &'a str,
    name: &'a Arc<str>,
}

impl Reader<'_> {
    fn origin(&self, offset: usize) -> Origin {
        Origin::File {
            name: Arc::clone(self.name),
            position: Some(Position::at(self.text, offset)),
        }
    }

    fn table(&self, table: DeTable<'_>, depth: usize) -> Result<Table, Problem> {
        table
            .into_iter()
            .map(|(key, value)| {
                let origin = self.origin(key.span().start);
                let value = self.value(value.into_inner(), &origin, depth + 1)?;
                Ok((key.into_inner().into_owned(), Item::new(value, origin)))
            })
            .collect()
    }

    fn value(&self, value: DeValue<'_>, origin: &Origin, depth: usize) -> Result<Value, Problem> {
        if depth > DEPTH_MAX {
            return Err(syntax(origin.clone(), "nested too deeply"));
        }
        Ok(match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Boolean(value) => Value::Bool(value),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map(Value::Integer)
                .map_err(|_| syntax(origin.clone(), "integer out of range"))?,
            DeValue::Float(float) => Value::Float(
                // Infinity and "not a number" fit no setting; any float is refused alike.
                float
                    .as_str()
                    .parse()
                    .ok()
                    .filter(|float| Number::from_f64(*float).is_some())
                    .unwrap_or_default(),
            ),
            DeValue::Datetime(datetime) => Value::Text(datetime.to_string()),
            DeValue::Array(array) => Value::List(
                array
                    .into_iter()
                    .map(|item| {
                        let origin = self.origin(item.span().start);
                        let value = self.value(item.into_inner(), &origin, depth + 1)?;
                        Ok(Item::new(value, origin))
                    })
                    .collect::<Result<_, Problem>>()?,
            ),
            DeValue::Table(table) => Value::Table(self.table(table, depth)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(item: &Item) -> (usize, usize) {
        match &item.origin {
            Origin::File {
                position: Some(position),
                ..
            } => (position.line, position.column),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_key_knows_its_place() {
        let text = "[client]\nping_interval = \"5s\"\n\n[[channel.namespaces]]\n  name = 'chat'\n";
        let root = parse(text, &"a.toml".into()).unwrap();
        let ping = root.get("client.ping_interval").unwrap();
        assert_eq!(ping.value, Value::Text("5s".into()));
        assert_eq!(position(ping), (2, 1));
        let Value::List(namespaces) = &root.get("channel.namespaces").unwrap().value else {
            panic!("not a list");
        };
        assert_eq!(position(namespaces[0].get("name").unwrap()), (5, 3));
    }

    #[test]
    fn every_syntax_error_is_told_with_its_place() {
        let problems = parse("a = \nb = 1\nc = [\n", &"a.toml".into()).unwrap_err();
        for line in ["a.toml:1:", "a.toml:3:"] {
            let is_told = problems.iter().any(|p| p.to_string().starts_with(line));
            assert!(is_told, "{problems:?}");
        }
    }

    #[test]
    fn a_syntax_error_does_not_print_the_line() {
        let problems = parse("key = \"hunter2\" x\n", &"a.toml".into()).unwrap_err();
        assert!(!format!("{problems:?}").contains("hunter2"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = format!("a = {}{}", "[".repeat(60), "]".repeat(60));
        assert!(parse(&text, &"a.toml".into()).is_err());
    }
}
