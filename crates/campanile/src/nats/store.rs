//! What is asked of JetStream: two streams, storing under a condition, reading.
//!
//! Knows subjects, sequences and bytes; refuses to know what offsets are. Every question has its
//! deadline ([`Line::ask`]).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use campanile_engine::broker::{IDEMPOTENCY_TTL, Retention};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::line::{Line, Mute};
use super::plan::hash;
use super::subjects::Subjects;

/// How the streams are to be made.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) replicas: usize,
    /// `file` or `memory`.
    pub(super) storage: &'static str,
    /// Messages kept of a channel.
    pub(super) per_channel: usize,
    /// How long a message is kept at most.
    pub(super) age: Duration,
}

/// What is known of the stream of histories.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// Part of its subjects: another one when it was lost and made again.
    pub(super) life: Arc<str>,
    /// Which leader it has since when.
    pub(super) generation: u64,
}

/// See the [module](self).
pub(super) struct Store {
    line: Arc<Line>,
    subjects: Subjects,
    shape: Shape,
    /// Messages of a channel, and nanoseconds of a message, that are kept: no less than the shape
    /// says, and as much as publications wanted since, where what is configured has changed.
    per_channel: AtomicU64,
    age: AtomicU64,
    known: Mutex<Option<Known>>,
    /// One asks for all; holds when that was.
    asking: tokio::sync::Mutex<Option<Instant>>,
    /// Whether something happened since that may have changed the answer.
    is_doubtful: AtomicBool,
}

/// What became of a message that was to be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stored {
    /// It has this number.
    As(u64),
    /// It was stored before, with this number.
    Before(u64),
    /// Not: another one came first.
    Conflict,
}

/// Why something could not be stored or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StoreError {
    /// There is no answer.
    Mute(Mute),
    /// There is no room.
    Full,
    /// The server says that it is not possible, or something that makes no sense.
    Refused,
}

impl From<Mute> for StoreError {
    fn from(mute: Mute) -> Self {
        Self::Mute(mute)
    }
}

/// A message of a stream.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) sequence: u64,
    pub(super) payload: Bytes,
}

/// Between two questions for the same thing, which many may have at once.
const ASKED_LATELY: Duration = Duration::from_millis(300);

const STREAM_NOT_FOUND: u64 = 10059;
const NAME_IN_USE: u64 = 10058;
const MESSAGE_NOT_FOUND: u64 = 10037;
const WRONG_LAST_SEQUENCE: [u64; 2] = [10071, 10164];
/// A message with the same id is just being stored.
const DUPLICATE_UNDER_WAY: u64 = 10158;
const TOO_LONG: u64 = 10054;
/// Of the account, of the server, of the stream.
const NO_ROOM: [u64; 5] = [10002, 10023, 10028, 10047, 10077];

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Answer<T> {
    error: Option<ApiError>,
    #[serde(flatten)]
    content: Option<T>,
}

#[derive(Deserialize)]
struct StreamInfo {
    config: Value,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    name: Option<String>,
    #[serde(default)]
    leader: String,
    leader_since: Option<String>,
}

#[derive(Deserialize)]
struct Ack {
    error: Option<ApiError>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    seq: u64,
    #[serde(default)]
    data: String,
}

impl Store {
    pub(super) fn new(line: Arc<Line>, subjects: Subjects, shape: Shape) -> Self {
        Self {
            line,
            subjects,
            per_channel: AtomicU64::new(shape.per_channel as u64),
            age: AtomicU64::new(nanos(shape.age)),
            shape,
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            is_doubtful: AtomicBool::new(false),
        }
    }

    /// What is known of the stream of histories, once it could be asked.
    pub(super) fn known(&self) -> Option<Known> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Has as much kept as this needs. `true` when that is more than before, which takes effect when
    /// the streams are found out about the next time.
    pub(super) fn widen(&self, retention: &Retention) -> bool {
        let size = u64::try_from(retention.size).unwrap_or(u64::MAX);
        let age = nanos(retention.meta_ttl.max(retention.ttl));
        let is_wider = [(&self.per_channel, size), (&self.age, age)]
            .into_iter()
            .filter(|(now, wanted)| now.fetch_max(*wanted, Relaxed) < *wanted)
            .count()
            > 0;
        if is_wider {
            self.doubt();
        }
        is_wider
    }

    /// Notes that whatever is known may be wrong: the next one who asks has an answer of then.
    pub(super) fn doubt(&self) {
        self.is_doubtful.store(true, Relaxed);
    }

    /// Finds out about the streams, and makes those that are not there. Whoever comes while it is
    /// asked, or just after, has the same answer.
    pub(super) async fn ensure(&self) -> Result<Known, StoreError> {
        let asked_at = Instant::now();
        let mut last = self.asking.lock().await;
        let is_known = last.is_some_and(|last| last + ASKED_LATELY > asked_at);
        if is_known
            && !self.is_doubtful.swap(false, Relaxed)
            && let Some(known) = self.known()
        {
            return Ok(known);
        }
        self.ensure_stream(&self.subjects.keys(), || self.keys_config())
            .await?;
        let name = self.subjects.histories();
        let config = || self.histories_config(&random_life());
        let info = self.ensure_stream(&name, config).await?;
        let info = self.grow(&name, info).await?;
        let known = self.recognise(&info)?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        *last = Some(Instant::now());
        Ok(known)
    }

    fn recognise(&self, info: &StreamInfo) -> Result<Known, StoreError> {
        let subject = info.config["subjects"][0].as_str().unwrap_or_default();
        let Some(life) = self.subjects.life(subject) else {
            tracing::error!(subject, "the stream of histories is not one of ours");
            return Err(StoreError::Refused);
        };
        // A server alone does not say since when it leads; its id is another one after a restart.
        let server = self.line.connected()?.server_info().server_id;
        let since = match &info.cluster {
            Some(cluster) => match &cluster.leader_since {
                Some(since) => format!("{} {since}", cluster.leader),
                None if cluster.name.is_none() => server,
                None => cluster.leader.clone(),
            },
            None => server,
        };
        Ok(Known {
            life: life.into(),
            generation: hash(since.as_bytes()),
        })
    }

    async fn ensure_stream(
        &self,
        name: &str,
        config: impl FnOnce() -> Value,
    ) -> Result<StreamInfo, StoreError> {
        match self
            .api::<StreamInfo>(&format!("STREAM.INFO.{name}"), Value::Null)
            .await?
        {
            Ok(info) => return Ok(info),
            Err(STREAM_NOT_FOUND) => {}
            Err(_) => return Err(StoreError::Refused),
        }
        match self
            .api::<StreamInfo>(&format!("STREAM.CREATE.{name}"), config())
            .await?
        {
            Ok(_) => tracing::info!(stream = name, "made a stream"),
            // Another node was faster: its stream is the one.
            Err(NAME_IN_USE) => {}
            Err(_) => return Err(StoreError::Refused),
        }
        let info = self
            .api(&format!("STREAM.INFO.{name}"), Value::Null)
            .await?;
        info.map_err(|_| StoreError::Refused)
    }

    /// Lets the stream keep as much as is configured here. It never keeps less by this: another
    /// node may be configured with more.
    async fn grow(&self, name: &str, info: StreamInfo) -> Result<StreamInfo, StoreError> {
        let mut config = info.config.clone();
        let mut is_short = false;
        let wanted = [
            ("max_msgs_per_subject", self.per_channel.load(Relaxed)),
            ("max_age", self.age.load(Relaxed)),
        ];
        for (field, wanted) in wanted {
            // What is negative or 0 has no limit.
            if config[field]
                .as_u64()
                .is_some_and(|now| now != 0 && now < wanted)
            {
                config[field] = json!(wanted);
                is_short = true;
            }
        }
        if !is_short {
            return Ok(info);
        }
        tracing::info!(stream = name, "lets the stream keep more");
        let grown = self.api(&format!("STREAM.UPDATE.{name}"), config).await?;
        grown.map_err(|_| StoreError::Refused)
    }

    fn histories_config(&self, life: &str) -> Value {
        let subjects = self.subjects.all_kept(life);
        json!({
            "name": self.subjects.histories(),
            "subjects": [subjects],
            "max_msgs_per_subject": self.per_channel.load(Relaxed),
            "max_age": self.age.load(Relaxed),
            "allow_direct": true,
            "republish": { "src": subjects, "dest": self.subjects.all_heard() },
            "duplicate_window": nanos(IDEMPOTENCY_TTL),
            "storage": self.shape.storage,
            "num_replicas": self.shape.replicas,
            "retention": "limits",
            "discard": "old",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
        })
    }

    /// Of a keyed publication that no history keeps nothing is ever read: one message a channel,
    /// since less cannot be said.
    fn keys_config(&self) -> Value {
        let subjects = self.subjects.all_keyed();
        let mut config = self.histories_config("");
        config["name"] = json!(self.subjects.keys());
        config["subjects"] = json!([subjects]);
        config["republish"]["src"] = json!(subjects);
        config["max_msgs_per_subject"] = json!(-1);
        config["max_age"] = json!(nanos(IDEMPOTENCY_TTL));
        config["allow_direct"] = json!(false);
        config
    }

    /// Stores a message if the last one of its subject is the one with number `after`; without
    /// that, in any case but that of a repeated `key`.
    pub(super) async fn store(
        &self,
        subject: String,
        after: Option<u64>,
        key: Option<String>,
        payload: Vec<u8>,
    ) -> Result<Stored, StoreError> {
        let mut headers = HeaderMap::new();
        if let Some(after) = after {
            headers.insert("Nats-Expected-Last-Subject-Sequence", after.to_string());
        }
        if let Some(key) = key {
            headers.insert("Nats-Msg-Id", key);
        }
        let answer = self
            .line
            .ask(subject, Some(headers), payload.into())
            .await?;
        let ack: Ack = parse(&answer.payload)?;
        match ack.error {
            None if ack.duplicate => Ok(Stored::Before(ack.seq)),
            None => Ok(Stored::As(ack.seq)),
            Some(error) if WRONG_LAST_SEQUENCE.contains(&error.err_code) => Ok(Stored::Conflict),
            Some(error) if error.err_code == DUPLICATE_UNDER_WAY => Ok(Stored::Conflict),
            Some(error) if error.err_code == TOO_LONG => Err(Mute::TooLong.into()),
            Some(error) if NO_ROOM.contains(&error.err_code) => Err(StoreError::Full),
            Some(error) => {
                tracing::warn!(reason = error.description, "the server stores nothing");
                Err(StoreError::Refused)
            }
        }
    }

    /// The last message of a subject, as the stream's leader knows it.
    pub(super) async fn last(&self, subject: &str) -> Result<Option<Kept>, StoreError> {
        self.get(json!({ "last_by_subj": subject })).await
    }

    /// The message with this number.
    pub(super) async fn at(&self, sequence: u64) -> Result<Option<Kept>, StoreError> {
        self.get(json!({ "seq": sequence })).await
    }

    async fn get(&self, which: Value) -> Result<Option<Kept>, StoreError> {
        let path = format!("STREAM.MSG.GET.{}", self.subjects.histories());
        match self.api::<Got>(&path, which).await? {
            Ok(Got { message }) => {
                let payload = STANDARD.decode(&message.data);
                Ok(Some(Kept {
                    sequence: message.seq,
                    payload: payload.map_err(|_| StoreError::Refused)?.into(),
                }))
            }
            Err(MESSAGE_NOT_FOUND) => Ok(None),
            Err(STREAM_NOT_FOUND) => Err(Mute::Nobody.into()),
            Err(_) => Err(StoreError::Refused),
        }
    }

    /// Messages of a subject, from number `from` on in order, as any replica has them: at most
    /// `count` and about `bytes`.
    pub(super) async fn page(
        &self,
        subject: &str,
        from: u64,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        let question = json!({
            "seq": from.max(1), "next_by_subj": subject, "batch": count, "max_bytes": bytes,
        });
        let path = format!("$JS.API.DIRECT.GET.{}", self.subjects.histories());
        let question = question.to_string().into_bytes();
        let mut page = Vec::new();
        for message in self.line.ask_for_many(path, question, count).await? {
            let headers = message.headers.as_ref();
            let sequence = headers.and_then(|headers| headers.get("Nats-Sequence"));
            let sequence = sequence.and_then(|value| value.as_str().parse().ok());
            page.push(Kept {
                sequence: sequence.ok_or(StoreError::Refused)?,
                payload: message.payload,
            });
        }
        Ok(page)
    }

    /// Removes all messages of a subject but the last.
    pub(super) async fn purge(&self, subject: &str) -> Result<(), StoreError> {
        let path = format!("STREAM.PURGE.{}", self.subjects.histories());
        let which = json!({ "filter": subject, "keep": 1 });
        let purged = self.api::<Value>(&path, which).await?;
        purged.map(drop).map_err(|_| StoreError::Refused)
    }

    /// Asks the API; the inner error is the number of the server's.
    async fn api<T: DeserializeOwned>(
        &self,
        path: &str,
        question: Value,
    ) -> Result<Result<T, u64>, StoreError> {
        let question = match question {
            Value::Null => Bytes::new(),
            question => question.to_string().into(),
        };
        let answer = self
            .line
            .ask(format!("$JS.API.{path}"), None, question)
            .await?;
        let answer: Answer<T> = parse(&answer.payload)?;
        match (answer.error, answer.content) {
            (Some(error), _) => {
                if ![STREAM_NOT_FOUND, MESSAGE_NOT_FOUND, NAME_IN_USE].contains(&error.err_code) {
                    tracing::warn!(path, reason = error.description, "JetStream refuses");
                }
                Ok(Err(error.err_code))
            }
            (None, Some(content)) => Ok(Ok(content)),
            (None, None) => Err(StoreError::Refused),
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| {
        tracing::warn!(%error, "JetStream's answer makes no sense");
        StoreError::Refused
    })
}

fn nanos(duration: Duration) -> u64 {
    // What a signed number can hold there.
    u64::try_from(duration.as_nanos()).map_or(i64::MAX as u64, |nanos| nanos.min(i64::MAX as u64))
}

fn random_life() -> String {
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("the system has random numbers");
    format!("{:016x}", u64::from_be_bytes(random))
}
