//! The data directory: whose it is, and when it is not taken.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;

use crate::restart::{history, setup};
use crate::support::server::{Home, Server, Setup};

const CHANNEL: &str = "kept:1";

/// Where a server keeps its data if nothing else is said.
fn data(home: &Home) -> PathBuf {
    home.path().join("campanile-data")
}

fn told(output: &Output) -> &str {
    str::from_utf8(&output.stderr).expect("the program prints text")
}

/// The home of a server that has published and was stopped.
fn left_behind() -> Arc<Home> {
    let server = setup().start();
    for n in 0..10 {
        server.publish(CHANNEL, &json!({"n": n}));
    }
    let home = Arc::clone(&server.home);
    server.stop();
    home
}

/// Holds that a start there fails with this code and tells all of `parts`.
fn assert_refused(setup: Setup, home: &Home, code: i32, parts: &[&str]) {
    let output = setup.run_to_end_in(home);
    assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    let last = told(&output).lines().last().unwrap_or_default();
    for part in parts {
        assert!(last.contains(part), "no {part:?} in {last}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

#[test]
fn data_is_for_the_eyes_of_its_owner_alone() {
    let server = Server::start();
    let data = data(&server.home);
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = fs::read_dir(&data).expect("it is readable").collect();
    assert!(files.len() >= 2, "a log and a mark");
    for file in files {
        let path = file.expect("it is readable").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert!(!server.stop().contains("other users"));
}

#[test]
fn a_directory_that_others_can_read_is_warned_about() {
    let home = Arc::new(Home::new());
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o755).create(data(&home)).expect("a new one");
    let server = Setup::new().start_in(home);
    let (_, warning) = server.log.wait_for("other users of this machine");
    assert!(
        warning.contains("WARN") && warning.contains("chmod 700"),
        "{warning}"
    );
    server.stop();
}

#[test]
fn the_flag_says_where_the_data_is() {
    let home = Arc::new(Home::new());
    let there = home.path().join("deep/inside");
    let server = setup().argument("--data-dir").argument("deep/inside");
    let server = server.start_in(home);
    server.publish(CHANNEL, &json!(1));
    assert!(there.join("mark").exists() && !data(&server.home).exists());
    let server = server.restart(Signal::KILL);
    assert_eq!(history(&server, CHANNEL)["publications"][0]["data"], 1);
    server.stop();
}

#[test]
fn a_directory_in_use_is_refused_and_named() {
    let first = setup().start();
    let path = data(&first.home).display().to_string();
    let parts = [
        path.as_str(),
        "is in use by another process",
        "--data-dir (engine.disk.path)",
    ];
    assert_refused(setup(), &first.home, 1, &parts);
    first.publish(CHANNEL, &json!("undisturbed"));
    assert_eq!(first.get("/ready").status, 200);
    first.stop();
}

#[test]
fn a_path_that_is_no_directory_is_78() {
    let home = Home::new();
    fs::write(data(&home), "a file").expect("a writable directory");
    let parts = ["campanile-data", "something else of that name"];
    assert_refused(setup(), &home, 78, &parts);
}

#[test]
fn a_directory_that_cannot_be_written_is_78() {
    // To the superuser nothing is forbidden.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let home = Home::new();
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o500).create(data(&home)).expect("a new one");
    let parts = [
        "cannot be used: ",
        "Permission denied",
        "change its owner or mode, or choose another directory",
    ];
    assert_refused(setup(), &home, 78, &parts);
}

#[test]
fn a_disk_without_room_for_a_log_is_told_at_the_start() {
    let home = Home::new();
    let parts = ["cannot be used: ", "make room on that disk"];
    assert_refused(setup().file_blocks(64), &home, 1, &parts);
    // What was begun is no obstacle once there is room.
    let server = setup().start_in(Arc::new(home));
    server.publish(CHANNEL, &json!(1));
    server.stop();
}

#[test]
fn data_of_a_newer_version_is_refused_and_left_alone() {
    let home = left_behind();
    let mark = data(&home).join("mark");
    let text = fs::read_to_string(&mark).expect("it is text");
    let (covered, _) = text.rsplit_once("checksum ").expect("it has one");
    let newer = covered.replacen("\nformat 1\n", "\nformat 99\n", 1);
    assert_ne!(newer, covered, "the format is told");
    let newer = format!("{newer}checksum {:08x}\n", crc32(newer.as_bytes()));
    fs::write(&mark, &newer).expect("it is writable");
    let parts = ["has format 99", "start the version that wrote it"];
    assert_refused(setup(), &home, 65, &parts);
    assert_eq!(fs::read_to_string(&mark).expect("it is text"), newer);
    fs::write(&mark, text).expect("it is writable");
    let server = setup().start_in(home);
    assert_eq!(history(&server, CHANNEL)["offset"], 10);
    server.stop();
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let is_odd = crc & 1 == 1;
            crc >>= 1;
            if is_odd {
                crc ^= 0xEDB8_8320;
            }
        }
    }
    !crc
}

#[test]
fn damaged_data_is_refused_and_the_place_is_told() {
    let home = left_behind();
    let files = fs::read_dir(data(&home)).expect("it is readable");
    let mut paths = files.map(|file| file.expect("it is readable").path());
    let is_segment = |path: &PathBuf| !path.ends_with("mark") && !path.ends_with("lock");
    let segment = paths.find(is_segment).expect("there is a log");
    let mut bytes = fs::read(&segment).expect("it is readable");
    let at = bytes.windows(5).position(|part| part == br#"{"n":"#);
    let at = at.expect("payloads are kept as they are");
    bytes[at] ^= 1;
    fs::write(&segment, &bytes).expect("it is writable");
    let name = segment.display().to_string();
    let parts = [
        name.as_str(),
        "is damaged at byte",
        "`campanile data verify",
    ];
    assert_refused(setup(), &home, 65, &parts);
    bytes[at] ^= 1;
    fs::write(&segment, bytes).expect("it is writable");
    let server = setup().start_in(home);
    assert_eq!(history(&server, CHANNEL)["offset"], 10);
    server.stop();
}
