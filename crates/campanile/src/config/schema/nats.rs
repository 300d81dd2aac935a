//! The table about NATS.

use super::Setting;

pub(super) const NATS: &[Setting] = &[
    Setting::text(
        "url",
        "nats://127.0.0.1:4222",
        "Servers of one NATS cluster, with commas between them: nats:// or tls://, host, port.",
    )
    .ours(),
    Setting::text(
        "prefix",
        "campanile",
        "What all subjects and streams begin with: letters, digits, - and _. One for each system.",
    )
    .ours(),
    Setting::size(
        "replicas",
        "1",
        "How many servers keep each history: 1, 3 or 5. Of streams that are there it is not changed.",
    )
    .ours(),
    Setting::one_of(
        "storage",
        &["file", "memory"],
        "file",
        "Where servers keep histories. In memory they are lost when a majority of replicas stops.",
    )
    .ours(),
    Setting::text("user", "", "Name to be let in by; empty for none.").ours(),
    Setting::secret("password", "Its password.").ours(),
    Setting::secret("token", "Token to be let in by, instead of a name.").ours(),
    Setting::text(
        "credentials_file",
        "",
        "Path of a .creds file to be let in by, instead of these. Read at the start.",
    )
    .ours(),
    Setting::duration("dial_timeout", "1s", "How long connecting to one server may take.").ours(),
    Setting::duration(
        "io_timeout",
        "4s",
        "How long an answer may take; after it, nobody knows whether a publication was stored.",
    )
    .ours(),
];
