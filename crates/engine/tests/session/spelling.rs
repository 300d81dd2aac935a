//! How effects are spelled in the tables.

use campanile_engine::ask::{Ask, Question, Tell};
use campanile_engine::broker::Attendance;
use campanile_engine::channel::options::RecoveryMode;
use campanile_engine::recovery::Attempt;
use campanile_engine::session::{Deltas, Membership, Notice};
use campanile_protocol::reply::{ConnectResult, Expiry, SubscribeResult};
use campanile_protocol::{Payload, Position, ReplyBody, Wire};

use super::headers;

pub(super) fn spell_ask(ask: &Ask) -> String {
    match ask {
        Ask::Connect {
            handshake,
            headers,
            wire,
            ..
        } => {
            let user = handshake.as_ref().and_then(|known| known.user.as_ref());
            let user = user.map(|user| format!(" as {}", user.as_str()));
            let over = match wire {
                Wire::Stream(_) => format!(" over {wire:?}"),
                _ => String::new(),
            };
            let headers = headers::spell(headers.as_deref());
            format!("connect{}{over}{headers}", user.unwrap_or_default())
        }
        Ask::Refresh { token } => format!("refresh {token}"),
        Ask::Grant { token } => format!("grant {token}"),
        Ask::Join(joins) => {
            let joins = joins.iter().map(|join| {
                let recover = join.recover.as_ref().map(spell_attempt);
                let recover = recover.unwrap_or_default();
                let presence = word(join.presence.is_some(), " present");
                format!("{}{recover}{presence}", join.channel.as_str())
            });
            format!("join {}", joins.collect::<Vec<_>>().join(", "))
        }
        Ask::Publish {
            channel,
            info,
            data,
            revision,
        } => {
            let chan_info = info.chan_info.as_deref().map(String::from_utf8_lossy);
            let chan_info = chan_info.map(|text| format!(" {text}")).unwrap_or_default();
            let conn_info = info.conn_info.as_deref().map(String::from_utf8_lossy);
            let conn_info = conn_info.map(|text| format!(" ({text})"));
            let conn_info = conn_info.unwrap_or_default();
            let revised = revision.is_some();
            let revised = revised.then(|| format!(" revised to {}", String::from_utf8_lossy(data)));
            let revised = revised.unwrap_or_default();
            format!(
                "publish {} by {}{conn_info}{chan_info}{revised}",
                channel.as_str(),
                info.user.as_str()
            )
        }
        Ask::Consult {
            caller, question, ..
        } => format!(
            "{} about {}{}",
            spell_question(question),
            caller.user.as_str(),
            headers::spell(caller.headers.as_deref())
        ),
        Ask::Presence { channel } => format!("presence {}", channel.as_str()),
        Ask::PresenceStats { channel } => format!("presence_stats {}", channel.as_str()),
        Ask::History {
            channel,
            query,
            since,
        } => format!(
            "history {} since {:?} reverse {} limit {}{}",
            channel.as_str(),
            query.since,
            query.reverse,
            query.limit,
            since.map(spell_position).unwrap_or_default()
        ),
    }
}

fn spell_question(question: &Question) -> String {
    match question {
        Question::Subscribe(request) => format!("whether to subscribe {}", request.channel),
        Question::Wishes(wishes) => {
            let names = wishes.iter().map(|wish| wish.channel.as_str());
            format!("for the wishes {}", names.collect::<Vec<_>>().join(", "))
        }
        Question::Publish { channel, .. } => format!("whether to publish {}", channel.as_str()),
        Question::Rpc { method, .. } => format!("rpc {method}"),
        Question::Message(_) => "message".into(),
        Question::Presence(channel) => format!("whether to tell presence {}", channel.as_str()),
        Question::History(channel) => format!("whether to tell history {}", channel.as_str()),
        Question::Connected => "no more than to listen".into(),
        Question::Refresh => "renewal".into(),
        Question::SubRefresh(channel) => format!("renewal of {}", channel.as_str()),
    }
}

pub(super) fn spell_tell(tell: &Tell) -> String {
    match tell {
        Tell::Unsubscribe { channel } => format!("unsubscribe {}", channel.as_str()),
        Tell::RenewPresence { channel, info } => {
            let text = |info: &Option<Payload>| {
                let text = info.as_deref().map(String::from_utf8_lossy);
                text.unwrap_or_default().into_owned()
            };
            let (conn, chan) = (text(&info.conn_info), text(&info.chan_info));
            format!("present {} ({conn}) {chan}", channel.as_str())
        }
        Tell::RemovePresence { channel, .. } => format!("absent {}", channel.as_str()),
        Tell::Disconnected(caller, end) => {
            format!("disconnected {} {}", caller.user.as_str(), end.code)
        }
        Tell::Supersede { user, .. } => format!("supersede {}", user.as_str()),
        Tell::Announce {
            channel,
            attendance,
        } => {
            let (what, info) = match attendance {
                Attendance::Join(info) => ("join", info),
                Attendance::Leave(info) => ("leave", info),
            };
            format!(
                "announce {what} {} {}",
                channel.as_str(),
                info.user.as_str()
            )
        }
    }
}

pub(super) fn spell_body(body: &ReplyBody) -> String {
    match body {
        ReplyBody::Connect(result) => spell_connect(result),
        ReplyBody::Subscribe(result) => format!("subscribe {}", spell_result(result)).trim().into(),
        ReplyBody::Unsubscribe => "unsubscribe".into(),
        ReplyBody::Publish => "publish".into(),
        ReplyBody::Refresh(expiry) => format!("refresh{}", spell_expiry(*expiry)),
        ReplyBody::SubRefresh(expiry) => format!("sub_refresh{}", spell_expiry(*expiry)),
        ReplyBody::Rpc { data } => format!("rpc {}", String::from_utf8_lossy(data)),
        other => format!("{other:?}"),
    }
}

fn spell_connect(result: &ConnectResult) -> String {
    let subs = result.subs.iter();
    let subs = subs.map(|(name, result)| format!(" {name}({})", spell_result(result)));
    let data = result.data.as_deref().map(String::from_utf8_lossy);
    let data = data.map(|text| format!(" data {text}")).unwrap_or_default();
    format!(
        "connect ping {} pong {}{}{data}{}",
        result.ping,
        result.pong,
        spell_expiry(result.expiry),
        subs.collect::<String>()
    )
}

fn spell_result(result: &SubscribeResult) -> String {
    let mut words = Vec::new();
    let mut word = |is_said: bool, text: String| {
        if is_said {
            words.push(text);
        }
    };
    let offsets: Vec<_> = result.publications.iter().map(|p| p.offset).collect();
    word(result.positioned, "positioned".into());
    word(result.recoverable, "recoverable".into());
    let position = result.position.map(spell_position).unwrap_or_default();
    word(result.position.is_some(), position.trim().into());
    word(result.was_recovering, "was_recovering".into());
    word(result.recovered, "recovered".into());
    word(!offsets.is_empty(), format!("{offsets:?}"));
    word(result.delta, "delta".into());
    word(
        result.expiry.ttl.is_some(),
        spell_expiry(result.expiry).trim().into(),
    );
    let data = result.data.as_deref().map(String::from_utf8_lossy);
    word(data.is_some(), format!("data {}", data.unwrap_or_default()));
    words.join(" ")
}

pub(super) fn spell_notice(notice: &Notice) -> String {
    match notice {
        Notice::Connect(result) => spell_connect(result),
        Notice::Unsubscribe(channel, why) => {
            format!("unsubscribe {} {}", channel.as_str(), why.code)
        }
        Notice::Subscribe {
            channel,
            recoverable,
            position,
            ..
        } => format!(
            "subscribe {}{}{}",
            channel.as_str(),
            if *recoverable { " recoverable" } else { "" },
            position.map(spell_position).unwrap_or_default()
        ),
        Notice::Publication(channel, publication) => {
            format!("publication {} {}", channel.as_str(), publication.offset)
        }
        Notice::Message(_) => "message".into(),
        Notice::Refresh(expiry) => format!("refresh{}", spell_expiry(*expiry)),
    }
}

fn word(is_said: bool, word: &str) -> &str {
    if is_said { word } else { "" }
}

pub(super) fn spell_membership(membership: &Membership) -> String {
    [
        spell_position(membership.position).as_str(),
        word(membership.is_positioned, " positioned"),
        word(membership.wants_attendance, " attendance"),
        word(membership.wants_latest_only, " latest"),
        word(membership.filter.is_some(), " filtered"),
        match membership.deltas {
            Deltas::Off => "",
            Deltas::AfterWhole => " deltas after a whole",
            Deltas::Ready => " deltas",
        },
    ]
    .concat()
}

fn spell_attempt(attempt: &Attempt) -> String {
    [
        spell_position(attempt.from).as_str(),
        word(attempt.mode == RecoveryMode::Cache, " cache"),
        word(attempt.filter.is_some(), " filtered"),
    ]
    .concat()
}

fn spell_position(position: Position) -> String {
    format!(" {}@{}", position.epoch.as_str(), position.offset)
}

fn spell_expiry(expiry: Expiry) -> String {
    expiry
        .ttl
        .map(|ttl| format!(" ttl {ttl}"))
        .unwrap_or_default()
}
