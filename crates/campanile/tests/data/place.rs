//! A place for a data directory, and the program that is run there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use campanile_engine::store::{
    Group, KeyRecord, Log, LogOptions, OsDirectory, RecordRef, StreamState,
};
use campanile_protocol::{Epoch, Publication};
use serde_json::Value;

const HOUR: u64 = 3_600_000;

/// A directory of its own for each test, gone with it.
pub(crate) struct Place(pub(crate) PathBuf);

pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}", self.stdout))
    }
}

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("data-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a new directory");
        Self(path)
    }

    /// With a log in `data`: ten publications in `news`, two of which are not JSON, and one in
    /// `chat`, in commits of their own, over several segments.
    pub(crate) fn with_log(name: &str) -> Self {
        let place = Self::new(name);
        let path = place.0.join("locked");
        let directory = Arc::new(OsDirectory::lock(&path).expect("nobody else has it"));
        let options = LogOptions {
            segment_bytes: 300,
            is_relaxed: true,
            boot_id: None,
        };
        let opened = Log::open(directory, options, now(), &mut |_, _, _| {});
        let (mut log, _) = opened.expect("a new log");
        for offset in 1..=10 {
            let text = match offset {
                2 => "not JSON".to_owned(),
                3 => "[1,\n2]".to_owned(),
                _ => format!("{{\"n\":{offset}}}"),
            };
            append(&mut log, "news", offset, &text);
        }
        append(&mut log, "chat", 1, "\"hi\"");
        log.close(now()).expect("a disk with room");
        // Without the lock: a child that another test is starting may still hold it.
        let data = place.0.join("data");
        fs::create_dir(&data).expect("a new directory");
        for (name, bytes) in place.files("locked") {
            fs::write(data.join(name), bytes).expect("a disk with room");
        }
        fs::remove_dir_all(path).expect("a directory of ours");
        place
    }

    pub(crate) fn run(&self, line: &str) -> Ended {
        self.run_with_input(line, "")
    }

    pub(crate) fn run_with_input(&self, line: &str, input: &str) -> Ended {
        let mut child = Command::new(env!("CARGO_BIN_EXE_campanile"))
            .arg("data")
            .args(line.split(' '))
            .current_dir(&self.0)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        // What does not read its input may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the program runs");
        let text = |stream| String::from_utf8(stream).expect("the program prints text");
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// What is in the files, without that of the lock, which has nothing in it.
    pub(crate) fn files(&self, directory: &str) -> Files {
        let entries = fs::read_dir(self.0.join(directory)).expect("a directory");
        let files = entries.map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a text");
            (name, fs::read(entry.path()).expect("a file"))
        });
        files.filter(|(name, _)| name != "lock").collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .map(|name| name.into_string().expect("a text"))
            .collect()
    }

    /// Flips a bit in the middle of the second segment.
    pub(crate) fn damage(&self) {
        let path = self.0.join("data/0000000001.segment");
        let mut bytes = fs::read(&path).expect("a segment");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("a disk with room");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("before the end")
}

fn append(log: &mut Log, channel: &str, offset: u64, text: &str) {
    let expires = now() + HOUR;
    let mut group = Group::new();
    group.push(RecordRef::Channel {
        channel,
        state: &StreamState {
            epoch: Epoch::new("first"),
            top: offset,
            floor: 1,
            history_expires: expires,
            meta_expires: Some(expires),
            version: None,
        },
        publication: Some(&Publication {
            offset,
            data: text.as_bytes().into(),
            info: None,
            tags: None,
        }),
        keys: &[KeyRecord {
            key: format!("key-{offset}").into(),
            offset: Some(offset),
            expires,
        }],
    });
    log.append(&mut group, now()).expect("a disk with room");
}
