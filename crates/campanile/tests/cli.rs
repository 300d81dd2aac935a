//! The program as a shell sees it: exit codes, and what goes to which stream.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory of its own for each test, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a new directory");
        Self(path)
    }

    fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.0.join(file), text).expect("a writable directory");
        self
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_campanile"))
            .args(arguments)
            .current_dir(&self.0)
            .env_clear()
            .output()
            .expect("the program runs")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(stream: &[u8]) -> &str {
    str::from_utf8(stream).expect("the program prints text")
}

#[test]
fn a_good_configuration_is_ok() {
    let directory = Directory::new("good").with("campanile.toml", "[client]\ninsecure = true\n");
    let output = directory.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "campanile.toml: ok\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_bad_configuration_is_told_on_stderr_and_exits_with_78() {
    let directory = Directory::new("bad").with("config.json", "{\"client\": {\"pingg\": 1}}");
    let output = directory.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(
        text(&output.stderr),
        "config.json:1:13: client.pingg: unknown key\n"
    );
    let json = directory.run(&["checkconfig", "--json"]);
    assert_eq!(json.status.code(), Some(78));
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["problems"][0]["column"], 13);
    // A server would rather run.
    assert_eq!(directory.run(&["config", "show"]).status.code(), Some(0));
    assert_eq!(
        directory.run(&["serve", "--strict"]).status.code(),
        Some(78)
    );
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let directory = Directory::new("usage");
    for arguments in [
        &["--bogus"][..],
        &["serve", "--port", "x"],
        &["token", "verify"],
    ] {
        let output = directory.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}

#[test]
fn the_printed_defaults_are_a_good_configuration() {
    let directory = Directory::new("default");
    let defaults = directory.run(&["config", "default"]);
    let directory = directory.with("campanile.toml", text(&defaults.stdout));
    assert_eq!(directory.run(&["config", "check"]).status.code(), Some(0));
}

#[test]
fn a_generated_token_verifies_and_a_changed_one_does_not() {
    let directory =
        Directory::new("token").with("config.toml", "[client.token]\nhmac_secret_key = 'a'\n");
    let generated = directory.run(&["token", "gen", "-u", "42", "--channels", "a,b"]);
    let token = text(&generated.stdout).trim_end();
    assert!(text(&generated.stderr).contains("42"));
    let verified = directory.run(&["token", "verify", "--json", token]);
    assert_eq!(verified.status.code(), Some(0));
    let held: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(
        (&held["user"], &held["channels"][1]),
        (&"42".into(), &"b".into())
    );
    let changed = format!("{token}x");
    let refused = directory.run(&["token", "verify", &changed]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        text(&refused.stderr),
        "invalid token: signature does not match\n"
    );
}

#[test]
fn a_token_without_a_secret_is_a_matter_of_configuration() {
    let output = Directory::new("no-secret").run(&["gentoken", "-u", "42"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stdout), "");
}
