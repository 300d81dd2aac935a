//! The quick start of the README, run as it stands there.
//!
//! Every line of its `sh` blocks is carried out in order; a line that this test does not know fails
//! it, so that nothing is promised that was not tried. Ports are replaced by free ones.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_campanile");

/// How the README runs the program.
const RUN: &str = "cargo run --release -- ";

/// Where the README's server listens.
const ADDRESS: &str = "127.0.0.1:8000";

/// No step takes longer than this, except when it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that was started as the README says.
struct Server {
    process: Child,
    lines: Receiver<String>,
    address: String,
}

impl Server {
    fn start(arguments: &str, directory: &Path) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(arguments.split_whitespace())
            .args(["--port", "0"])
            .current_dir(directory)
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = process.stderr.take().expect("it was piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // The test may have seen enough; the pipe has to be emptied all the same.
                let _ = sender.send(line);
            }
        });
        let mut server = Self {
            process,
            lines,
            address: String::new(),
        };
        let listening = server.line_with("listening");
        let address = listening
            .split_whitespace()
            .find_map(|word| word.strip_prefix("address="));
        server.address = address.expect("the log says where").to_owned();
        server
    }

    /// The next line of its output that contains `text`.
    fn line_with(&self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("the server did not say {text:?}: {error}"),
            }
        }
    }

    fn stop(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("it runs");
        let status = self.process.wait().expect("it is our child");
        assert_eq!(status.code(), Some(0), "SIGTERM ends it well");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    fs::read_to_string(path).expect("the repository has a README")
}

/// What stands in the quick start's fenced blocks of `language`.
fn blocks(language: &str) -> Vec<String> {
    let readme = readme();
    let (_, section) = readme
        .split_once("\n## Quick start\n")
        .expect("the README has a quick start");
    let section = section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section);
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// An empty directory to work in.
fn workplace() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quickstart");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a new directory");
    path
}

fn succeeds(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn the_commands_of_the_quick_start_do_what_they_promise() {
    let directory = workplace();
    let commands = blocks("sh").concat();
    let mut commands = commands.lines();

    let serve_dev = commands.next().and_then(|line| line.strip_prefix(RUN));
    assert_eq!(serve_dev, Some("serve --dev"));
    let server = Server::start("serve --dev", &directory);
    let key = server.line_with("API key: ");
    let key = key.trim().trim_start_matches("API key: ");

    let curl = commands.next().expect("then something is published");
    assert!(
        curl.starts_with("curl ") && curl.contains(ADDRESS),
        "{curl}"
    );
    let curl = curl.replace(ADDRESS, &server.address);
    let published = succeeds(Command::new("sh").args(["-c", &curl]).env("API_KEY", key));
    assert!(
        published.starts_with(r#"{"result":{"offset":1,"#),
        "{published}"
    );
    server.stop();

    let [config] = &blocks("toml")[..] else {
        panic!("the quick start has one configuration");
    };
    fs::write(directory.join("campanile.toml"), config).expect("a writable directory");
    let run = |arguments: &str| {
        let arguments = arguments.split_whitespace();
        let mut program = Command::new(PROGRAM);
        program.args(arguments).current_dir(&directory).env_clear();
        succeeds(&mut program)
    };
    let check = commands.next().and_then(|line| line.strip_prefix(RUN));
    assert_eq!(check, Some("config check"));
    assert_eq!(run("config check"), "campanile.toml: ok\n");

    let token = commands.next().and_then(|line| line.strip_prefix(RUN));
    assert_eq!(token, Some("token gen --user 42"));
    let token = run("token gen --user 42");
    let verified = run(&format!("token verify {token}"));
    assert!(verified.contains("\"42\" holds"), "{verified}");

    let serve = commands.next().and_then(|line| line.strip_prefix(RUN));
    assert_eq!(serve, Some("serve"));
    Server::start("serve", &directory).stop();

    assert_eq!(commands.next(), None, "a line that nobody tried");
}
