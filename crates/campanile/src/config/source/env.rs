//! The environment: `CAMPANILE_` or `CENTRIFUGO_` and a key's path in upper case with `_` for
//! every dot.
//!
//! Paths contain underscores too, so a name cannot be taken apart; instead every known key is
//! spelled and looked up. What remains was misspelled and is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{json, read_text};
use crate::config::check::join;
use crate::config::problem::{Problem, ProblemKind};
use crate::config::schema::{Kind, NAMED, Named, SECTIONS, foreign_variable};
use crate::config::tree::{Item, Origin, Table, Value};

/// Ours wins: a container that still carries the old names can be overruled.
const PREFIXES: [&str; 2] = ["CAMPANILE_", "CENTRIFUGO_"];

/// After the name of a secret: the value is the path of a file that holds it.
const FILE_SUFFIX: &str = "_FILE";

/// The variables that may be ours.
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    used: BTreeSet<String>,
    /// Every name that would have been understood, without prefix, for guesses.
    known: Vec<String>,
    problems: Vec<Problem>,
}

impl Environment {
    /// Takes what could be meant for us.
    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables
                .into_iter()
                .filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
                .collect(),
            used: BTreeSet::new(),
            known: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Lays the variables over the tree of the file and tells what was wrong with them.
    pub(crate) fn overlay(mut self, root: &mut Item) -> Vec<Problem> {
        for section in SECTIONS {
            for setting in section.settings {
                let path = format!("{}.{}", section.path, setting.name);
                if let Some(item) = self.setting(setting.kind, &path) {
                    root.set(&path, item);
                }
            }
        }
        for named in NAMED {
            if let Some((variable, text)) = self.lookup(&spelled(named.path)) {
                match entries(named.path, &text, &Origin::Env(variable)) {
                    Ok(item) => root.set(named.path, item),
                    Err(problem) => self.problems.push(problem),
                }
            }
            if let Some(item) = root.get_mut(named.path) {
                self.overlay_named(named, item);
            }
        }
        self.tell_unused();
        self.problems
    }

    fn overlay_named(&mut self, named: &Named, entries: &mut Item) {
        match &mut entries.value {
            Value::List(items) => {
                for item in items {
                    let Some(Value::Text(name)) = item.get("name").map(|name| &name.value) else {
                        continue;
                    };
                    let name = name.clone();
                    self.overlay_entry(named, &name, item);
                }
            }
            Value::Table(table) => {
                for (name, item) in table {
                    self.overlay_entry(named, name, item);
                }
            }
            _ => {}
        }
    }

    fn overlay_entry(&mut self, named: &Named, name: &str, entry: &mut Item) {
        for section in named.shape.sections {
            for setting in section.settings {
                let option = join(section.path, setting.name);
                let path = format!("{}.{name}.{option}", named.path);
                if let Some(item) = self.setting(setting.kind, &path) {
                    entry.set(&option, item);
                }
            }
        }
    }

    fn setting(&mut self, kind: Kind, path: &str) -> Option<Item> {
        let name = spelled(path);
        let found = if kind.is_secret() {
            self.secret(&name, path)
        } else {
            self.lookup(&name)
        };
        self.known.push(name);
        let (variable, text) = found?;
        let origin = Origin::Env(variable);
        let value = kind.parse(&text, &origin);
        // `docker compose` and its like pass on unset variables as empty ones.
        if text.is_empty() && value.as_ref().is_none_or(|v| kind.check(v).is_err()) {
            return None;
        }
        if let Some(value) = value {
            return Some(Item::new(value, origin));
        }
        let mut invalid = format!("expected {}", kind.expected());
        match kind {
            Kind::Headers | Kind::Transforms => invalid.push_str(" as JSON"),
            _ => invalid.push_str(&format!(", found {text:?}")),
        }
        let kind = ProblemKind::Invalid(invalid);
        self.problems.push(Problem::error(origin, path, kind));
        None
    }

    /// The variable of the first prefix that has it.
    fn lookup(&mut self, name: &str) -> Option<(String, String)> {
        // Both are looked up, so that a variable that lost does not count as misspelled.
        let [ours, theirs] = PREFIXES.map(|prefix| self.variable(format!("{prefix}{name}")));
        ours.or(theirs)
    }

    fn variable(&mut self, variable: String) -> Option<(String, String)> {
        let text = self.variables.get(&variable)?.clone();
        self.used.insert(variable.clone());
        Some((variable, text))
    }

    fn secret(&mut self, name: &str, path: &str) -> Option<(String, String)> {
        let [ours, theirs] = PREFIXES.map(|prefix| {
            let variable = format!("{prefix}{name}");
            let by_file = self.variable(format!("{variable}{FILE_SUFFIX}"));
            let by_value = self.variable(variable).filter(|(_, text)| !text.is_empty());
            (by_value, by_file)
        });
        let (by_value, by_file) = if ours == (None, None) { theirs } else { ours };
        let Some((variable, file)) = by_file else {
            return by_value;
        };
        let secret = if let Some((other, _)) = by_value {
            Err(format!("{other} is set too; which one holds?"))
        } else {
            // The trailing line break is the editor's, not the key's.
            read_text(Path::new(&file))
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| format!("cannot read {file}: {error}"))
        };
        match secret {
            Ok(secret) => Some((variable, secret)),
            Err(reason) => {
                let kind = ProblemKind::Invalid(reason);
                self.problems
                    .push(Problem::error(Origin::Env(variable), path, kind));
                None
            }
        }
    }

    /// Never more than a warning: orchestrators add variables of their own, named after services.
    fn tell_unused(&mut self) {
        for (variable, text) in &self.variables {
            if self.used.contains(variable) {
                continue;
            }
            let origin = Origin::Env(variable.clone());
            let prefix = PREFIXES.iter().find(|p| variable.starts_with(**p));
            let name = prefix.map_or(&**variable, |prefix| &variable[prefix.len()..]);
            if let Some(foreign) = foreign_variable(name) {
                let is_off = matches!(&**text, "false" | "0" | "[]" | "{}");
                let text = if is_off { String::new() } else { text.clone() };
                self.problems
                    .extend(foreign.problem(&origin, "", &Value::Text(text)));
                continue;
            }
            let near = self
                .known
                .iter()
                .map(|known| (strsim::jaro_winkler(known, name), known))
                .filter(|(similarity, _)| *similarity > 0.92)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, known)| format!("{}{known}", PREFIXES[0]));
            let kind = ProblemKind::UnknownKey(near);
            self.problems.push(Problem::warning(origin, "", kind));
        }
    }
}

/// A path as the environment spells it, without prefix.
fn spelled(path: &str) -> String {
    path.replace(['.', '-'], "_").to_uppercase()
}

/// A list of objects, a table by name, or only names.
fn entries(path: &str, text: &str, origin: &Origin) -> Result<Item, Problem> {
    if text.trim_start().starts_with(['[', '{']) {
        return json::parse_value(text, origin).map_err(|problem| Problem {
            key: path.to_owned(),
            ..problem
        });
    }
    let entry = |name: &str| {
        let name = Item::new(Value::Text(name.to_owned()), origin.clone());
        let table = Table::from([("name".to_owned(), name)]);
        Item::new(Value::Table(table), origin.clone())
    };
    let list = text.split_whitespace().map(entry).collect();
    Ok(Item::new(Value::List(list), origin.clone()))
}
