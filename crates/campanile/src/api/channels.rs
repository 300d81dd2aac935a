//! What is known of channels: `presence`, `presence_stats`, `history`, `history_remove` and
//! `channels`; sections 2.7 to 2.11.

use campanile_engine::node::{HistoryRequest, NameFilter, Node};
use campanile_protocol::Refusal;
use globset::GlobBuilder;

use super::request::{Channels, History, InChannel, Since, required};
use super::response::Response;

/// The longest pattern, in bytes: what it is compiled to is much larger.
const PATTERN_BYTES_MAX: usize = 1024;

pub(super) async fn presence(node: &Node, request: InChannel) -> Result<Response, Refusal> {
    let channel = required(request.channel)?;
    Ok(Response::Presence {
        presence: node.presence(&channel).await?.into(),
    })
}

pub(super) async fn presence_stats(node: &Node, request: InChannel) -> Result<Response, Refusal> {
    let channel = required(request.channel)?;
    let stats = node.presence_stats(&channel).await?;
    Ok(Response::PresenceStats {
        num_clients: stats.clients,
        num_users: stats.users,
    })
}

pub(super) async fn history(node: &Node, request: History) -> Result<Response, Refusal> {
    let channel = required(request.channel)?;
    let wanted = HistoryRequest {
        limit: limit(request.limit.unwrap_or_default())?,
        since: request.since.as_ref().map(Since::position),
        reverse: request.reverse.unwrap_or_default(),
    };
    let page = node.history(&channel, wanted).await.map_err(|refusal| {
        // Here it has another number: nothing but `reverse` from the start is left to be wrong.
        if refusal == Refusal::BAD_REQUEST {
            Refusal::INTERNAL
        } else {
            refusal
        }
    })?;
    Ok(Response::history(page))
}

/// How many publications: 0 for none, -1 for all.
fn limit(limit: i32) -> Result<Option<usize>, Refusal> {
    match limit {
        -1 => Ok(None),
        limit => usize::try_from(limit)
            .map(Some)
            .map_err(|_| Refusal::BAD_REQUEST),
    }
}

pub(super) async fn history_remove(node: &Node, request: InChannel) -> Result<Response, Refusal> {
    let channel = required(request.channel)?;
    node.remove_history(&channel).await?;
    Ok(Response::Done {})
}

pub(super) async fn channels(node: &Node, request: Channels) -> Result<Response, Refusal> {
    let filter = filter(&request.pattern.unwrap_or_default()).ok_or(Refusal::INTERNAL)?;
    Ok(Response::channels(node.channels(filter).await?))
}

/// Which names a pattern means; `None` when it is no pattern. A bad one is 100, not 107.
fn filter(pattern: &str) -> Option<NameFilter> {
    if pattern.is_empty() {
        return Some(NameFilter::beginning_with(""));
    }
    if pattern.len() > PATTERN_BYTES_MAX {
        return None;
    }
    // Names are no paths: a slash is a character like any other.
    let glob = GlobBuilder::new(pattern)
        .literal_separator(false)
        .backslash_escape(true)
        .build()
        .ok()?;
    let matcher = glob.compile_matcher();
    Some(NameFilter::new(beginning(pattern), move |name| {
        matcher.is_match(name)
    }))
}

/// What all names begin with that a pattern means: as far as it says so by itself.
fn beginning(pattern: &str) -> &str {
    let end = pattern.find(['*', '?', '[', '{', '\\']);
    &pattern[..end.unwrap_or(pattern.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_names() {
        for (pattern, name, is_chosen) in [
            ("", "chat:1", true),
            ("*", "chat:a/b", true),
            ("chat:*", "chat:", true),
            ("chat:*", "news:1", false),
            ("chat:?", "chat:1", true),
            ("chat:?", "chat:12", false),
            ("chat:[0-9]", "chat:7", true),
            ("chat:[0-9]", "chat:x", false),
            ("{chat,news}:1", "news:1", true),
            ("{chat,news}:1", "game:1", false),
            ("chat:**", "chat:1/2", true),
            (r"chat:\*", "chat:*", true),
            (r"chat:\*", "chat:1", false),
            ("cafés:*", "cafés:ü", true),
        ] {
            let filter = filter(pattern).unwrap();
            assert_eq!(filter.accepts(name), is_chosen, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_noticed() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        for pattern in ["[", "{a", "[z-a]", long.as_str()] {
            assert!(filter(pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn a_limit_is_a_number_nothing_or_everything() {
        assert_eq!(limit(0), Ok(Some(0)));
        assert_eq!(limit(7), Ok(Some(7)));
        assert_eq!(limit(-1), Ok(None));
        assert_eq!(limit(-2), Err(Refusal::BAD_REQUEST));
    }
}
