//! What the subscriber makes of what it hears, and how far it has read.
//!
//! Lines in, lines out: sockets and time are not known here.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::value::RawValue;

use super::connection::End;
use super::wire::{self, Connected, ErrorReply, Position, Publication, Push, Reply, Subscribed};
use crate::cli::remote::Failure;
use crate::cli::say;

/// The id of the connect command; those of subscribe commands are greater.
const CONNECT_ID: u32 = 1;

/// Below this the server wants a subscription to stay ended (section 12.3).
const RESUBSCRIBE_CODE_MIN: u32 = 2500;

/// How long the reply to the connect command may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How much later than announced a ping may come (section 5).
const PING_GRACE: Duration = Duration::from_secs(10);

/// Why a line was the last one.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection is of no more use.
    Connection(End),
    /// What was heard cannot be printed.
    Output(io::Error),
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::Connection(end)
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        refused(format!("the server is not understood: {error}"))
    }
}

fn refused(reason: String) -> Stop {
    Stop::Connection(End::Fatal(Failure::Refused(reason)))
}

/// A channel to follow.
struct Track {
    channel: String,
    /// Whether it was subscribed to before.
    is_known: bool,
    /// How far it was read, if the server can go on from there.
    position: Option<Position>,
}

/// Follows channels, over one connection after the other.
pub(super) struct Follower {
    tracks: Vec<Track>,
    prints_pushes: bool,
    /// Subscribe commands without a reply, by id: the index of the track.
    pending: HashMap<u32, usize>,
    last_id: u32,
    /// What the server promised when this connection began.
    promise: Option<Connected>,
    is_acquainted: bool,
}

impl Follower {
    pub(super) fn new(channels: &[String], prints_pushes: bool) -> Self {
        let mut tracks: Vec<Track> = Vec::with_capacity(channels.len());
        for channel in channels {
            // A second subscription to the same would be refused.
            if tracks.iter().all(|track| track.channel != *channel) {
                tracks.push(Track {
                    channel: channel.clone(),
                    is_known: false,
                    position: None,
                });
            }
        }
        Self {
            tracks,
            prints_pushes,
            pending: HashMap::new(),
            last_id: CONNECT_ID,
            promise: None,
            is_acquainted: false,
        }
    }

    /// Whether a server ever let us in.
    pub(super) const fn is_acquainted(&self) -> bool {
        self.is_acquainted
    }

    /// Whether everything that was asked on this connection is answered.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.promise.is_some() && self.pending.is_empty()
    }

    /// How long there may be silence.
    pub(super) fn patience(&self) -> Duration {
        match self.promise {
            None => CONNECT_PATIENCE,
            Some(Connected { ping: 0, .. }) => Duration::MAX,
            Some(Connected { ping, .. }) => {
                Duration::from_secs(ping.into()).saturating_add(PING_GRACE)
            }
        }
    }

    /// The first line of a new connection.
    pub(super) fn hello(&mut self, token: &str) -> String {
        self.pending.clear();
        self.promise = None;
        self.last_id = CONNECT_ID;
        wire::connect(CONNECT_ID, token)
    }

    /// Takes a line and prints its publications; what to answer is returned.
    pub(super) fn hear(
        &mut self,
        line: &str,
        output: &mut impl Write,
    ) -> Result<Vec<String>, Stop> {
        let reply: Reply<'_> = serde_json::from_str(line)?;
        if let Some(push) = reply.push {
            return self.hear_push(push, output);
        }
        let track = self.pending.remove(&reply.id);
        if let Some(error) = reply.error {
            let subject = track.map(|track| self.tracks[track].channel.as_str());
            return Err(refusal(subject, &error).into());
        }
        match (reply.id, track, reply.subscribe) {
            (0, ..) => Ok(self.pong()),
            (CONNECT_ID, ..) => {
                self.promise = Some(reply.connect.unwrap_or_default());
                self.is_acquainted = true;
                let every_track = 0..self.tracks.len();
                Ok(every_track.map(|track| self.subscribe(track)).collect())
            }
            (_, Some(track), Some(subscribed)) => {
                self.hear_subscribed(track, &subscribed, output)?;
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn pong(&self) -> Vec<String> {
        match self.promise {
            Some(Connected { pong: true, .. }) => vec![wire::PONG.to_owned()],
            _ => Vec::new(),
        }
    }

    fn subscribe(&mut self, track: usize) -> String {
        self.last_id += 1;
        self.pending.insert(self.last_id, track);
        let Track {
            channel, position, ..
        } = &self.tracks[track];
        wire::subscribe(self.last_id, channel, position.as_ref())
    }

    fn hear_subscribed(
        &mut self,
        index: usize,
        subscribed: &Subscribed<'_>,
        output: &mut impl Write,
    ) -> Result<(), Stop> {
        let track = &mut self.tracks[index];
        let channel = &track.channel;
        match (track.is_known, subscribed.recovered) {
            (false, _) => say(&format!("subscribed to {channel:?}")),
            (true, true) => say(&format!("subscribed to {channel:?} again, nothing missed")),
            (true, false) => say(&format!(
                "subscribed to {channel:?} again; publications may have been missed"
            )),
        }
        track.is_known = true;
        track.position = subscribed.recoverable.then(|| subscribed.position.clone());
        for publication in &subscribed.publications {
            self.print(index, publication, None, output)?;
        }
        Ok(())
    }

    fn hear_push(&mut self, raw: &RawValue, output: &mut impl Write) -> Result<Vec<String>, Stop> {
        let push: Push<'_> = serde_json::from_str(raw.get())?;
        let index = self
            .tracks
            .iter()
            .position(|track| track.channel == push.channel);
        // The token may have brought subscriptions that were not asked for here.
        let Some(index) = index else {
            return Ok(Vec::new());
        };
        if let Some(publication) = push.publication {
            self.print(index, publication, Some(raw), output)?;
        }
        match push.unsubscribe {
            None => Ok(Vec::new()),
            Some(ended) => {
                let said = format!("{:?}: {} {}", push.channel, ended.code, ended.reason);
                if ended.code < RESUBSCRIBE_CODE_MIN {
                    return Err(refused(format!("unsubscribed from {said}")));
                }
                say(&format!("interrupted: {said}"));
                Ok(vec![self.subscribe(index)])
            }
        }
    }

    /// Prints a publication, and its push as it came or would have come. Only what was printed has
    /// been read.
    fn print(
        &mut self,
        index: usize,
        raw: &RawValue,
        push: Option<&RawValue>,
        output: &mut impl Write,
    ) -> Result<(), Stop> {
        let publication: Publication<'_> = serde_json::from_str(raw.get())?;
        let track = &mut self.tracks[index];
        let printed = match (self.prints_pushes, push) {
            (true, Some(push)) => writeln!(output, "{}", push.get()),
            (true, None) => {
                let channel = serde_json::Value::from(track.channel.as_str());
                writeln!(output, r#"{{"channel":{channel},"pub":{}}}"#, raw.get())
            }
            (false, _) => writeln!(output, "{}", publication.data.map_or("null", RawValue::get)),
        };
        printed
            .and_then(|()| output.flush())
            .map_err(Stop::Output)?;
        let Position { epoch, offset } = publication.position;
        if let Some(position) = &mut track.position
            && offset > 0
        {
            position.offset = offset;
            // Told once, to those who subscribed before there was anything (section 3.2).
            if !epoch.is_empty() {
                position.epoch = epoch;
            }
        }
        Ok(())
    }
}

/// What an error reply means: what is temporary may go better next time (section 12.1).
fn refusal(channel: Option<&str>, error: &ErrorReply) -> End {
    let subject = channel.map_or_else(String::new, |channel| format!("{channel:?}: "));
    let ErrorReply { code, message, .. } = error;
    let reason = format!("{subject}error {code}: {message}");
    if error.temporary {
        End::Lost(reason)
    } else {
        End::Fatal(Failure::Refused(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A follower of `news` on a new connection, having heard `lines`.
    fn follower(lines: &[&str]) -> (Follower, String, Vec<String>) {
        let mut follower = Follower::new(&["news".into(), "news".into()], false);
        follower.hello("");
        let (mut output, mut answers) = (Vec::new(), Vec::new());
        for line in lines {
            answers.extend(follower.hear(line, &mut output).unwrap());
        }
        (follower, String::from_utf8(output).unwrap(), answers)
    }

    const CONNECTED: &str = r#"{"id":1,"connect":{"client":"c","ping":25,"pong":true}}"#;
    const SUBSCRIBED: &str =
        r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"a","positioned":true,"offset":6}}"#;
    const PUBLISHED: &str = r#"{"push":{"channel":"news","pub":{"data":{"n":1},"offset":7}}}"#;

    #[test]
    fn publications_are_printed_and_advance_the_position() {
        let other = r#"{"push":{"channel":"other","pub":{"data":2}}}"#;
        let (mut follower, output, answers) = follower(&[CONNECTED, SUBSCRIBED, other, PUBLISHED]);
        assert_eq!(output, "{\"n\":1}\n");
        assert_eq!(
            answers.len(),
            1,
            "one subscribe command for the channel named twice"
        );
        follower.hello("");
        let answers = follower.hear(CONNECTED, &mut io::sink()).unwrap();
        let command: serde_json::Value = serde_json::from_str(&answers[0]).unwrap();
        let expected = serde_json::json!({"channel": "news", "recoverable": true, "recover": true,
            "epoch": "a", "offset": 7});
        assert_eq!(command["subscribe"], expected);
    }

    #[test]
    fn recovered_publications_are_printed_as_the_pushes_they_would_have_been() {
        let mut follower = follower(&[CONNECTED]).0;
        follower.prints_pushes = true;
        let recovered = r#"{"id":2,"subscribe":{"recoverable":true,"recovered":true,"epoch":"a",
            "offset":1,"publications":[{"data":"x","offset":2}]}}"#;
        let mut output = Vec::new();
        follower.hear(recovered, &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        let expected = "{\"channel\":\"news\",\"pub\":{\"data\":\"x\",\"offset\":2}}\n";
        assert_eq!(output, expected);
        assert_eq!(follower.tracks[0].position.as_ref().unwrap().offset, 2);
    }

    #[test]
    fn pings_are_answered_only_where_that_is_wanted() {
        assert_eq!(follower(&[CONNECTED, "{}"]).2.last().unwrap(), "{}");
        let unanswered = r#"{"id":1,"connect":{"client":"c","ping":25}}"#;
        let (follower, _, answers) = follower(&[unanswered, "{}"]);
        assert_eq!(answers.len(), 1);
        assert_eq!(follower.patience(), Duration::from_secs(35));
    }

    #[test]
    fn a_lost_subscription_is_renewed_and_an_ended_one_is_the_end() {
        let unsubscribe = |code| {
            let reason = r#""reason":"r""#;
            format!(r#"{{"push":{{"channel":"news","unsubscribe":{{"code":{code},{reason}}}}}}}"#)
        };
        let (mut follower, _, answers) = follower(&[CONNECTED, SUBSCRIBED, &unsubscribe(2500)]);
        assert!(answers[1].contains(r#""id":3"#) && answers[1].contains("recover"));
        let end = follower.hear(&unsubscribe(2000), &mut io::sink());
        let expected = Failure::Refused(r#"unsubscribed from "news": 2000 r"#.into());
        assert!(matches!(end, Err(Stop::Connection(End::Fatal(end))) if end == expected));
    }

    #[test]
    fn only_temporary_errors_are_worth_another_try() {
        let hear = |line: &str| follower(&[CONNECTED]).0.hear(line, &mut io::sink());
        let refused = hear(r#"{"id":2,"error":{"code":103,"message":"permission denied"}}"#);
        let expected = Failure::Refused(r#""news": error 103: permission denied"#.into());
        assert!(matches!(refused, Err(Stop::Connection(End::Fatal(end))) if end == expected));
        let busy = hear(r#"{"id":2,"error":{"code":111,"message":"m","temporary":true}}"#);
        assert!(matches!(busy, Err(Stop::Connection(End::Lost(_)))));
        let noise = hear("<html>");
        assert!(matches!(noise, Err(Stop::Connection(End::Fatal(_)))));
    }

    #[test]
    fn what_could_not_be_printed_was_not_read() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut follower = follower(&[CONNECTED, SUBSCRIBED]).0;
        let heard = follower.hear(PUBLISHED, &mut Full);
        assert!(matches!(heard, Err(Stop::Output(_))));
        assert_eq!(follower.tracks[0].position.as_ref().unwrap().offset, 6);
    }
}
