//! That `docs/compatibility.md` tells the truth: it has a row for every field, code and setting, and
//! whatever it says is there has a test that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// One line of a table: what it is about, whether that is there, and the tests that show it.
#[derive(Debug)]
struct Row {
    subject: String,
    status: String,
    tests: Vec<String>,
}

fn root() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = crates.and_then(Path::parent);
    root.expect("the package lies in crates/").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn captures(pattern: &str, text: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).expect("a constant expression");
    let found = pattern.captures_iter(text);
    found.map(|captures| captures[1].to_owned()).collect()
}

/// The rows of the tables below a heading of the second level.
fn rows(heading: &str) -> Vec<Row> {
    let text = read("docs/compatibility.md");
    let section = text
        .split("\n## ")
        .find_map(|section| section.strip_prefix(heading))
        .unwrap_or_else(|| panic!("there is no section {heading:?}"));
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    let rows = lines.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "four columns: {line}");
        Row {
            subject: cells[0].trim_matches('`').to_owned(),
            status: cells[1].to_owned(),
            tests: captures("`([^`]+)`", cells[3]),
        }
    });
    rows.collect()
}

fn subjects(heading: &str) -> BTreeSet<String> {
    let rows = rows(heading);
    let subjects: BTreeSet<_> = rows.iter().map(|row| row.subject.clone()).collect();
    assert_eq!(subjects.len(), rows.len(), "{heading}: a row stands twice");
    subjects
}

/// The names of all tests: of Rust and Python functions, and the titles of those in JavaScript.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut directories = vec![root().join("crates"), root().join("e2e")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let pattern = match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() => {
                    if !name.starts_with('.') && name != "node_modules" {
                        directories.push(path);
                    }
                    continue;
                }
                Some("rs") => r"#\[(?:\w+::)?test\](?:\s*#\[[^\]]*\])*\s*(?:async )?fn (\w+)",
                Some("py") => r"def (test_\w+)",
                Some("mjs") => r"test\(\s*'([^']+)'",
                _ => continue,
            };
            let text = fs::read_to_string(&path).expect("a text file");
            names.extend(captures(pattern, &text));
            if path.extension().is_some_and(|extension| extension == "mjs") {
                // Titles that several transports share are templates.
                names.extend(captures(r"test\(\s*`\$\{\w+(?:\.\w+)?\}: ([^`]+)`", &text));
            }
            // Cases of a suite that a macro runs against every broker.
            names.extend(captures(r"(?m)^\s+pub async fn (\w+)<", &text));
        }
    }
    names
}

/// Fields of the protocol's messages, and whether each has a meaning here.
fn fields() -> BTreeMap<String, bool> {
    let text = read("docs/client.proto");
    let field = Regex::new(r"^  (?:repeated )?[\w<>, .]+ (\w+) = \d+;(.*)$").expect("constant");
    let mut fields = BTreeMap::new();
    let mut message = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("message ") {
            message = rest.split(' ').next().expect("a name");
        }
        if let Some(field) = field.captures(line) {
            fields.insert(
                format!("{message}.{}", &field[1]),
                !field[2].contains("// no"),
            );
        }
    }
    fields
}

/// Settings, and whether each has an effect.
fn settings() -> BTreeMap<String, bool> {
    let mut settings = BTreeMap::new();
    let (mut section, mut is_ready) = (String::new(), true);
    for line in campanile::config::default_toml().lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if line.starts_with("# ") {
            is_ready = !line.ends_with("(not supported yet)");
        } else if let Some((name, _)) = line.split_once(" = ") {
            settings.insert(format!("{section}.{name}"), is_ready);
        }
    }
    settings
}

/// Compares what the document says with what is there.
fn agree(heading: &str, there: &BTreeMap<String, bool>) {
    let documented = subjects(heading);
    let names: BTreeSet<_> = there.keys().cloned().collect();
    let missing: Vec<_> = names.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&names).collect();
    assert!(missing.is_empty(), "{heading}: without a row: {missing:?}");
    assert!(stale.is_empty(), "{heading}: rows about nothing: {stale:?}");
    for row in rows(heading) {
        assert_eq!(row.status != "no", there[&row.subject], "{}", row.subject);
    }
}

#[test]
fn every_field_of_the_protocol_has_a_row() {
    agree("Messages", &fields());
}

#[test]
fn every_setting_has_a_row() {
    agree("Settings", &settings());
}

#[test]
fn every_code_has_a_row() {
    let source = read("crates/protocol/src/codes.rs");
    let codes = captures(r"(?m)(?:= |code: )(\d{3,4}),", &source);
    assert!(codes.len() > 30, "codes are found");
    let documented = subjects("Codes");
    for code in codes {
        assert!(documented.contains(&code), "code {code} has no row");
    }
}

#[test]
fn whatever_is_there_has_a_test() {
    let names = test_names();
    for heading in [
        "Transports",
        "Messages",
        "Behaviour",
        "Codes",
        "Tokens",
        "Server API",
        "Settings",
    ] {
        let rows = rows(heading);
        assert!(!rows.is_empty(), "{heading} has no rows");
        for row in rows {
            let is_known = ["yes", "differs", "no", "ours"].contains(&row.status.as_str());
            assert!(is_known, "{}: {:?}", row.subject, row.status);
            assert!(
                row.status == "no" || !row.tests.is_empty(),
                "{}: no test shows it",
                row.subject
            );
            for test in row.tests {
                assert!(names.contains(&test), "{}: no test {test:?}", row.subject);
            }
        }
    }
}
