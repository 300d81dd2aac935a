//! Brokers in processes of their own, so that their memory can be told and they can be killed.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use clap::Args;

use crate::lane::Way;
use crate::load::fill;
use crate::node::Running;
use crate::process::Process;
use crate::redis_server::RedisServer;
use crate::subject::Subject;
use crate::{Common, Failure};

#[derive(Args)]
pub(crate) struct HeldArguments {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Rounds to take the median of.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Channels.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) channels: usize,
    /// Publications in all of them together.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) publications: usize,
}

#[derive(Args)]
pub(crate) struct HoldArguments {
    #[arg(long)]
    subject: Subject,
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    channels: usize,
    #[arg(long)]
    publications: usize,
}

/// The other side of [`Held`]: says when it is open, fills at the first word, and stops cleanly when
/// there are no more to come.
pub(crate) fn hold(arguments: &HoldArguments) -> Result<(), Failure> {
    let running = Running::open(arguments.subject, &arguments.dir)?;
    say("open")?;
    let mut words = io::stdin().lock();
    if words.read(&mut [0])? > 0 {
        let way = Way::Node(running.node.clone());
        fill(&way, arguments.channels, arguments.publications)?;
        say("full")?;
        words.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn say(word: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{word}")?;
    stdout.flush()
}

/// A broker in another process. Dropped, that is killed.
pub(crate) enum Held {
    Node(Holder),
    Redis(RedisServer),
}

pub(crate) struct Holder {
    words: ChildStdin,
    said: BufReader<ChildStdout>,
    process: Process,
}

impl Held {
    /// Starts one, and returns when it could be published to.
    pub(crate) fn open(
        arguments: &HeldArguments,
        subject: Subject,
        directory: &Path,
    ) -> Result<Self, Failure> {
        if let Some(appendfsync) = subject.appendfsync() {
            return Ok(Self::Redis(RedisServer::start(
                directory,
                appendfsync,
                None,
            )?));
        }
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["hold", "--subject", subject.name(), "--dir"])
            .arg(directory)
            .args(["--channels", &arguments.channels.to_string()])
            .args(["--publications", &arguments.publications.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start(command, None)?;
        let words = process.child.stdin.take().ok_or("no standard input")?;
        let said = process.child.stdout.take().ok_or("no standard output")?;
        let mut holder = Holder {
            words,
            said: BufReader::new(said),
            process,
        };
        holder.expect("open\n")?;
        Ok(Self::Node(holder))
    }

    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Node(holder) => holder.process.pid(),
            Self::Redis(server) => server.process.pid(),
        }
    }

    /// Publishes what is to be published, and returns when all of it was answered.
    pub(crate) fn fill(&mut self, arguments: &HeldArguments) -> Result<(), Failure> {
        match self {
            Self::Node(holder) => {
                holder.words.write_all(b"\n")?;
                holder.expect("full\n")
            }
            Self::Redis(server) => fill(
                &Way::Redis(server.address),
                arguments.channels,
                arguments.publications,
            ),
        }
    }

    /// Has it stop as a server that is told to.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        match self {
            Self::Node(Holder {
                words, mut process, ..
            }) => {
                drop(words);
                process.child.wait()?;
                Ok(())
            }
            Self::Redis(server) => server.process.stop(),
        }
    }
}

impl Holder {
    fn expect(&mut self, word: &str) -> Result<(), Failure> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        if line == word {
            Ok(())
        } else {
            Err(format!("the other process said {line:?} instead of {word:?}").into())
        }
    }
}

/// A place for `subject` in which nothing is.
pub(crate) fn empty_place(arguments: &HeldArguments, subject: Subject) -> Result<PathBuf, Failure> {
    let place = arguments.common.dir.join(subject.name());
    match fs::remove_dir_all(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    fs::create_dir_all(&place)?;
    Ok(place)
}
