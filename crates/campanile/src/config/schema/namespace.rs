//! The options of a namespace (client protocol, section 14.2).

use super::{Kind, Setting};

/// In the order of the reference. `name` is not an option: it is where they apply.
pub(crate) const NAMESPACE_OPTIONS: &[Setting] = &[
    Setting::flag("presence", "Keep who is in a channel now."),
    Setting::flag("join_leave", "Emit an event when a client joins or leaves."),
    Setting::flag(
        "force_push_join_leave",
        "Deliver these events to every subscriber, asked for or not.",
    ),
    Setting::count(
        "history_size",
        "0",
        "Publications kept per channel; needs history_ttl.",
    ),
    Setting::duration(
        "history_ttl",
        "0s",
        "How long a publication is kept; needs history_size.",
    ),
    Setting::duration(
        "history_meta_ttl",
        "0s",
        "How long a channel's epoch and offset are kept; 0s for channel.history_meta_ttl.",
    ),
    Setting::flag("force_positioning", "Watch every subscription for gaps."),
    Setting::flag(
        "allow_positioning",
        "Let clients ask to be watched for gaps.",
    ),
    Setting::flag("force_recovery", "Make every subscription recoverable."),
    Setting::flag("allow_recovery", "Let clients ask for recovery."),
    Setting::one_of(
        "force_recovery_mode",
        &["", "stream", "cache"],
        "",
        "Recover every missed publication (stream) or only the latest (cache).",
    ),
    Setting::flag(
        "auto_cache_recover",
        "Recover the latest publication without being asked.",
    ),
    Setting::new(
        "allowed_delta_types",
        Kind::ListOf(&["fossil"]),
        "",
        "Delta encodings that clients may negotiate.",
    ),
    Setting::flag(
        "delta_publish",
        "Treat every publish as one that asks for deltas.",
    ),
    Setting::flag(
        "publish_locally_if_unreachable",
        "Without history: while the broker is down, publish to this node's subscribers alone.",
    ),
    Setting::flag(
        "allow_tags_filter",
        "Let subscribers filter publications by tags.",
    ),
    Setting::flag(
        "allow_subscribe_for_client",
        "Let users subscribe without a subscription token.",
    ),
    Setting::flag(
        "allow_subscribe_for_anonymous",
        "Let anonymous users subscribe too.",
    ),
    Setting::flag("allow_publish_for_client", "Let any client publish."),
    Setting::flag("allow_publish_for_subscriber", "Let subscribers publish."),
    Setting::flag(
        "allow_publish_for_anonymous",
        "Let anonymous users publish too.",
    ),
    Setting::flag("allow_presence_for_client", "Let any client read presence."),
    Setting::flag(
        "allow_presence_for_subscriber",
        "Let subscribers read presence.",
    ),
    Setting::flag(
        "allow_presence_for_anonymous",
        "Let anonymous users read presence too.",
    ),
    Setting::flag("allow_history_for_client", "Let any client read history."),
    Setting::flag(
        "allow_history_for_subscriber",
        "Let subscribers read history.",
    ),
    Setting::flag(
        "allow_history_for_anonymous",
        "Let anonymous users read history too.",
    ),
    Setting::flag(
        "allow_user_limited_channels",
        "Let names such as dialog#42,43 list who may subscribe.",
    ),
    Setting::regex(
        "channel_regex",
        "What the name after the namespace must match, instead of being ASCII.",
    ),
    Setting::one_of(
        "publication_data_format",
        &["", "json", "json_object", "binary"],
        "",
        "What data must be; empty for channel.publication_data_format.",
    ),
    Setting::flag(
        "subscribe_proxy_enabled",
        "Ask a service about who may subscribe.",
    ),
    Setting::text(
        "subscribe_proxy_name",
        "default",
        "Which of proxies; default for channel.proxy.subscribe.",
    ),
    Setting::flag(
        "publish_proxy_enabled",
        "Ask a service about what clients publish.",
    ),
    Setting::text(
        "publish_proxy_name",
        "default",
        "Which of proxies; default for channel.proxy.publish.",
    ),
    Setting::flag(
        "sub_refresh_proxy_enabled",
        "Ask a service about the expiry of subscriptions.",
    ),
    Setting::text(
        "sub_refresh_proxy_name",
        "default",
        "Which of proxies; default for channel.proxy.sub_refresh.",
    ),
];
