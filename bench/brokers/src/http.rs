//! The scenario `http`: publications a second through `POST /api/publish`, of Campanile and of a
//! plain handler in front of Redis, with the same load.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;

use crate::lane::{API_KEY, Way};
use crate::load::{Load, Until, fill};
use crate::meter::Meter;
use crate::process::{Process, free_address, retry};
use crate::publishing::HISTORY;
use crate::redis_server::RedisServer;
use crate::subject::Subject;
use crate::table::Table;
use crate::{Common, Failure};

#[derive(Args)]
pub(crate) struct HttpArguments {
    #[command(flatten)]
    common: Common,
    /// The program to measure.
    #[arg(long)]
    campanile: PathBuf,
    /// CPUs of the servers, Redis included, as `taskset` wants them; all without it.
    #[arg(long)]
    server_cpus: Option<String>,
    /// Rounds to take the median of.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections, each with one publication in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256])]
    publishers: Vec<usize>,
    /// Channels, each with a full history before anything is measured.
    #[arg(long, default_value_t = 1000)]
    channels: usize,
}

/// Something that answers `POST /api/publish`.
struct Front {
    subject: Subject,
    address: SocketAddr,
    server: Process,
    /// What is behind it.
    redis: Option<RedisServer>,
}

/// All servers run from the beginning to the end: one that nobody asks anything needs nothing.
pub(crate) fn run(arguments: &HttpArguments) -> Result<(), Failure> {
    let mut fronts = Vec::new();
    for &subject in &arguments.common.subjects {
        let front = Front::start(arguments, subject)?;
        let publications = arguments.channels * HISTORY;
        fill(&Way::Http(front.address), arguments.channels, publications)?;
        fronts.push(front);
    }
    let mut table = Table::new(&arguments.common.subjects);
    for _ in 0..arguments.rounds {
        for &publishers in &arguments.publishers {
            for front in &fronts {
                front.measure(arguments, publishers, &mut table)?;
            }
        }
    }
    table.print("over HTTP")?;
    Ok(())
}

impl Front {
    fn start(arguments: &HttpArguments, subject: Subject) -> Result<Self, Failure> {
        let directory = arguments.common.dir.join(subject.name());
        fs::create_dir_all(&directory)?;
        let cpus = arguments.server_cpus.as_deref();
        let address = free_address()?;
        let (command, redis) = match subject.appendfsync() {
            None => {
                let command = campanile(&arguments.campanile, subject, address, &directory)?;
                (command, None)
            }
            Some(appendfsync) => {
                let redis = RedisServer::start(&directory, appendfsync, cpus)?;
                let mut command = Command::new(std::env::current_exe()?);
                command
                    .args(["redis-front", "--listen", &address.to_string()])
                    .args(["--redis", &redis.address.to_string()]);
                (command, Some(redis))
            }
        };
        let server = Process::start(command, cpus)?;
        retry(|| TcpStream::connect(address).is_ok())?;
        Ok(Self {
            subject,
            address,
            server,
            redis,
        })
    }

    fn measure(
        &self,
        arguments: &HttpArguments,
        publishers: usize,
        table: &mut Table,
    ) -> Result<(), Failure> {
        let mut pids = vec![self.server.pid()];
        pids.extend(self.redis.iter().map(|redis| redis.process.pid()));
        let meter = Meter::new(pids, &arguments.common.dir)?;
        let before = meter.read()?;
        let load = Load {
            publishers,
            threads: 1,
            channels: arguments.channels,
            until: Until::Elapsed(Duration::from_secs_f64(arguments.seconds)),
        };
        let measured = load.run(&Way::Http(self.address))?;
        let used = meter.read()?.since(&before);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = measured.count as f64;
        let mut record = |name: &str, figure| {
            let row = format!("{publishers} in flight: {name}");
            table.record(&row, self.subject.name(), figure);
        };
        record("publications a second", measured.rate);
        record("latency p50, µs", measured.latency(0.5));
        record("latency p99, µs", measured.latency(0.99));
        record("latency p99.9, µs", measured.latency(0.999));
        record("CPU µs of the server", used.cpu.as_secs_f64() * 1e6 / count);
        if let Some(written) = used.written {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            record("bytes written to the disk", written as f64 / count);
        }
        Ok(())
    }
}

/// The server as it is when nothing is configured but what the load needs.
fn campanile(
    program: &Path,
    subject: Subject,
    address: SocketAddr,
    directory: &Path,
) -> Result<Command, Failure> {
    let port = address.port();
    let configuration = format!(
        "[http_server]\naddress = \"127.0.0.1\"\nport = {port}\n\
         [http_api]\nkey = \"{API_KEY}\"\n\
         [client]\nallow_anonymous_connect_without_token = true\n\
         [channel.without_namespace]\nhistory_size = {HISTORY}\nhistory_ttl = \"1h\"\n{}",
        engine(subject),
    );
    let file = directory.join("campanile.toml");
    fs::write(&file, configuration)?;
    let mut command = Command::new(fs::canonicalize(program)?);
    command.args(["serve", "-c"]).arg(file);
    command.current_dir(directory);
    Ok(command)
}

/// The part of the configuration that is compared.
fn engine(subject: Subject) -> String {
    match subject {
        Subject::Memory => "[engine]\ntype = \"memory\"\n".into(),
        durability => format!("[engine.disk]\ndurability = \"{durability}\"\npath = \"data\"\n"),
    }
}
