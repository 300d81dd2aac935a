//! Configurations as text: the commented defaults, and what is in effect.
//!
//! Secrets never leave as anything but a mask.

use std::fmt::Write as _;

use serde_json::{Map, json};

use super::check::join;
use super::schema::{Kind, NAMED, Named, SECTIONS, Setting};
use super::secret::MASK;
use super::tree::{Item, Origin, Value};

/// A file that sets every setting to its default and says what it is for.
pub fn default_toml() -> String {
    let mut text = String::from(
        "# Every setting of Campanile at its default.\n\
         # Settings of Centrifugo 6 have its names; those marked \"Campanile\" are not known there.\n\
         #\n\
         # Namespaces are tables by name, or a list as in Centrifugo:\n\
         #   [channel.namespaces.chat]\n\
         #   presence = true\n\
         # Likewise [rpc.namespaces.NAME], with the settings of rpc.without_namespace, and\n\
         # [proxies.NAME], with those of rpc.proxy.\n",
    );
    for section in SECTIONS {
        push_header(&mut text, section.path);
        for setting in section.settings {
            let mark = match (setting.is_ours, setting.is_ready) {
                (true, _) => " (Campanile)",
                (false, false) => " (not supported yet)",
                _ => "",
            };
            let value = literal(&setting.default_value());
            push(&mut text, format_args!("# {}{mark}\n", setting.doc));
            push(&mut text, format_args!("{} = {value}\n", setting.name));
        }
    }
    text
}

/// Every setting, its value and, if it was set, by what.
pub(super) fn effective_toml(tree: &Item) -> String {
    let mut text = String::new();
    for section in SECTIONS {
        push_header(&mut text, section.path);
        for setting in section.settings {
            let item = tree.get(&format!("{}.{}", section.path, setting.name));
            push_effective(&mut text, setting, item);
        }
    }
    for named in NAMED {
        for (name, options) in entries(tree, named) {
            for section in named.shape.sections {
                let entry = format!("{}.{}", named.path, quoted_key(name));
                push_header(&mut text, &join(&entry, section.path));
                for setting in section.settings {
                    let item = options.get(&join(section.path, setting.name));
                    push_effective(&mut text, setting, item);
                }
            }
        }
    }
    text
}

/// The same for programs.
pub(super) fn effective_json(tree: &Item) -> serde_json::Value {
    let mut settings = Map::new();
    each_setting(tree, |path, setting, item| {
        let value = masked(setting.kind, &item.value).to_json();
        settings.insert(
            path,
            json!({"value": value, "from": item.origin.to_string()}),
        );
    });
    settings.into()
}

/// Shows every setting of a tree, by path.
pub(super) fn each_setting<'a>(
    tree: &'a Item,
    mut show: impl FnMut(String, &'static Setting, &'a Item),
) {
    for section in SECTIONS {
        for setting in section.settings {
            let path = format!("{}.{}", section.path, setting.name);
            if let Some(item) = tree.get(&path) {
                show(path, setting, item);
            }
        }
    }
    for named in NAMED {
        for (name, options) in entries(tree, named) {
            for section in named.shape.sections {
                for setting in section.settings {
                    let option = join(section.path, setting.name);
                    if let Some(item) = options.get(&option) {
                        show(format!("{}.{name}.{option}", named.path), setting, item);
                    }
                }
            }
        }
    }
}

/// Shows the path of every table whose name is the operator's.
pub(super) fn each_entry(tree: &Item, mut show: impl FnMut(String)) {
    for named in NAMED {
        for (name, _) in entries(tree, named) {
            show(format!("{}.{name}", named.path));
        }
    }
}

/// A value as TOML, on one line, with a mask where it is secret.
pub(super) fn masked_text(setting: &Setting, value: &Value) -> String {
    literal(&masked(setting.kind, value))
}

fn entries<'a>(tree: &'a Item, named: &'static Named) -> impl Iterator<Item = (&'a str, &'a Item)> {
    let list = match tree.get(named.path).map(|item| &item.value) {
        Some(Value::List(items)) => items.as_slice(),
        _ => &[],
    };
    list.iter().filter_map(
        |item| match (&item.get("name")?.value, item.get("options")?) {
            (Value::Text(name), options) => Some((name.as_str(), options)),
            _ => None,
        },
    )
}

fn push_header(text: &mut String, path: &str) {
    push(text, format_args!("\n[{path}]\n"));
}

fn push_effective(text: &mut String, setting: &Setting, item: Option<&Item>) {
    let Some(item) = item else {
        return;
    };
    let value = literal(&masked(setting.kind, &item.value));
    match &item.origin {
        Origin::Default => push(text, format_args!("{} = {value}\n", setting.name)),
        origin => push(
            text,
            format_args!("{} = {value}  # {origin}\n", setting.name),
        ),
    }
}

fn masked(kind: Kind, value: &Value) -> Value {
    match (kind, value) {
        (Kind::Secret, value) if !value.is_inert() => Value::Text(MASK.to_owned()),
        (Kind::Url, Value::Text(url)) => Value::Text(match url.split_once('?') {
            Some((place, _)) => format!("{place}?{MASK}"),
            None => url.clone(),
        }),
        (Kind::Headers, Value::Table(headers)) => Value::Table(
            headers
                .iter()
                .map(|(name, item)| {
                    let mask = Value::Text(MASK.to_owned());
                    (name.clone(), Item::new(mask, item.origin.clone()))
                })
                .collect(),
        ),
        _ => value.clone(),
    }
}

/// A value as TOML, on one line.
fn literal(value: &Value) -> String {
    toml::Value::try_from(value.to_json()).map_or_else(|_| "\"\"".to_owned(), |v| v.to_string())
}

/// A dot in a name must not nest.
fn quoted_key(name: &str) -> String {
    if name.contains('.') {
        format!("{name:?}")
    } else {
        name.to_owned()
    }
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part)
        .expect("writing to a string cannot fail");
}
