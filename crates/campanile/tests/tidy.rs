//! Rules of this repository that no lint knows: sizes, directions, and that documents tell the
//! truth about the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Lines of one source file.
const LINES_MAX: usize = 500;

/// Files that are longer, and how long they may be. A ratchet: new files do not come here, and a
/// file that has been cut down leaves.
const LONG_FILES: &[(&str, usize)] = &[];

/// Lines of ARCHITECTURE.md: it is read in one sitting or not at all.
const ARCHITECTURE_LINES_MAX: usize = 300;

struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

fn root() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = crates.and_then(Path::parent);
    root.expect("the package lies in crates/").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file with this extension that is ours.
fn files(extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut directories = vec![root()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a readable directory") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                let is_ours = !name.starts_with('.') && name != "node_modules" && name != "target";
                directories.extend(is_ours.then_some(path));
            } else if path.extension().is_some_and(|found| found == extension) {
                let relative = path.strip_prefix(root()).expect("it lies below");
                found.push(Source {
                    path: relative.to_string_lossy().into_owned(),
                    text: fs::read_to_string(&path).expect("a text file"),
                });
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn manifest(path: &str) -> toml::Table {
    read(path).parse().expect("cargo has read it before")
}

fn matches(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a constant expression");
    let captures = pattern.captures_iter(text);
    captures.map(|captures| captures[1].to_owned()).collect()
}

#[test]
fn files_are_short() {
    for Source { path, text } in files("rs") {
        let lines = text.lines().count();
        let listed = LONG_FILES.iter().find(|(long, _)| *long == path);
        let most = listed.map_or(LINES_MAX, |(_, most)| *most);
        assert!(
            lines <= most,
            "{path} has {lines} lines, {most} are allowed"
        );
        assert!(
            listed.is_none() || lines > LINES_MAX,
            "{path} has become short: take it off LONG_FILES"
        );
    }
    for (path, _) in LONG_FILES {
        assert!(
            root().join(path).exists(),
            "{path} is gone: take it off LONG_FILES"
        );
    }
}

#[test]
fn every_module_says_what_it_owns() {
    for Source { path, text } in files("rs") {
        assert!(
            text.starts_with("//! "),
            "{path} does not begin with `//! `"
        );
    }
}

#[test]
fn nothing_is_left_unfinished_or_silenced() {
    // In pieces, since this file is looked at too.
    let patterns = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[", "allow("),
        concat!("#![", "allow("),
    ];
    for Source { path, text } in files("rs") {
        for pattern in patterns {
            assert!(!text.contains(pattern), "{path} contains {pattern}");
        }
    }
}

#[test]
fn the_protocol_knows_no_engine_no_runtime_and_no_clock() {
    let forbidden = [
        "campanile_engine",
        "tokio",
        "async ",
        ".await",
        "std::net",
        "std::fs",
        "std::thread",
        "Instant",
        "SystemTime",
    ];
    for Source { path, text } in files("rs") {
        if !path.starts_with("crates/protocol/src") {
            continue;
        }
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for (line, forbidden) in code.flat_map(|line| forbidden.map(|word| (line, word))) {
            assert!(!line.contains(forbidden), "{path}: {line}");
        }
    }
    let manifest = manifest("crates/protocol/Cargo.toml");
    let names: Vec<_> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(names, ["base64", "flate2", "serde", "serde_json", "sha1"]);
}

#[test]
fn the_engine_knows_no_sockets_and_no_runtime() {
    let manifest = manifest("crates/engine/Cargo.toml");
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let tokio = dependencies["tokio"]["features"].as_array().unwrap();
    assert_eq!(tokio, &["sync".into()], "a runtime is the program's");
    for name in dependencies.keys() {
        let is_outside = [
            "actix",
            "campanile",
            "mio",
            "hyper",
            "rustls",
            "redis",
            "async-nats",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix));
        assert!(!is_outside || name == "campanile-protocol", "{name}");
    }
    for Source { path, text } in files("rs") {
        let is_engine = path.starts_with("crates/engine/src");
        let is_outside = text.contains("std::net") || text.contains("tokio::time");
        assert!(!(is_engine && is_outside), "{path}");
    }
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let metrics = read("crates/campanile/src/metrics.rs");
    let prefix = matches(r#"with_prefix\("([a-z]+)"\)"#, &metrics);
    // What a server stands on tells its own.
    let vitals = files("rs").into_iter().map(|source| source.text);
    let vitals = vitals.filter(|text| text.contains("impl Vitals for "));
    let source: String = std::iter::once(metrics).chain(vitals).collect();
    let prefix = prefix.first().expect("metrics have a prefix");
    // A name, and the sentence that explains it.
    let names = matches(r#""([a-z]+(?:_[a-z]+)*)",\s*"[A-Z]"#, &source);
    let exist: BTreeSet<_> = names
        .iter()
        .map(|name| format!("{prefix}_{name}"))
        .collect();
    let documented = matches(
        r"(?m)^\| `([a-z_]+)` \|",
        &section(&read("docs/operations.md"), "## Metrics"),
    );
    assert_eq!(exist, documented);
}

#[test]
fn limits_in_the_documents_are_constants_of_the_code() {
    let architecture = read("ARCHITECTURE.md");
    assert!(architecture.lines().count() <= ARCHITECTURE_LINES_MAX);
    let architecture = architecture + &read("docs/limits.md");
    let code: String = files("rs").into_iter().map(|source| source.text).collect();
    for name in matches(r"`([A-Z]+(?:_[A-Z]+)+)`", &architecture) {
        assert!(
            code.contains(&format!("const {name}: ")),
            "{name} is spoken of, and is nowhere"
        );
    }
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    for Source { path, text } in files("md") {
        let directory = root().join(&path);
        let directory = directory.parent().expect("a file lies in a directory");
        for link in matches(r"\]\(([^)#\s]+)[^)]*\)", &text) {
            // What the API documentation links to, rustdoc looks for.
            let is_elsewhere = ["://", "mailto:", "crate::"];
            let is_elsewhere = is_elsewhere.iter().any(|mark| link.contains(mark));
            assert!(
                is_elsewhere || directory.join(&link).exists(),
                "{path}: {link} is not there"
            );
        }
    }
}

/// What the README shows of the library is what the library's own documentation compiles.
#[test]
fn the_program_of_the_readme_is_one_that_compiles() {
    let (_, rest) = read("README.md")
        .split_once("\n```rust\n")
        .map(|(before, after)| (before.to_owned(), after.to_owned()))
        .expect("the README shows a program");
    let (program, _) = rest.split_once("```").expect("it ends");
    let documented: String = read("crates/campanile/src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    assert!(documented.contains(program), "{program}");
}

#[test]
fn every_decision_is_in_the_index() {
    let index = read("docs/adr/README.md");
    for Source { path, .. } in files("md") {
        let Some(name) = path.strip_prefix("docs/adr/") else {
            continue;
        };
        assert!(
            name == "README.md" || index.contains(&format!("({name})")),
            "{name}"
        );
    }
}

/// The part of a document below this heading, up to the next of its kind.
fn section(document: &str, heading: &str) -> String {
    let (_, rest) = document
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("there is no {heading:?}"));
    let end = rest.find("\n## ").unwrap_or(rest.len());
    rest[..end].to_owned()
}
