//! `engine.nats`: what it becomes, and what is refused about it.

use std::time::Duration;

use super::{errors, load_toml, warnings};
use crate::config::{Engine, Nats, NatsAccess, Secret, Sources};

const USED: &str = "[engine]\ntype = 'nats'\n";

fn nats(text: &str) -> Nats {
    let loaded = load_toml(&format!("{USED}{text}"), &Sources::default()).expect("no error");
    assert_eq!(loaded.warnings, []);
    match loaded.config.engine {
        Engine::Nats(nats) => *nats,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_settings_it_is_a_server_here() {
    assert_eq!(
        nats(""),
        Nats {
            urls: vec!["nats://127.0.0.1:4222".into()],
            prefix: "campanile".into(),
            replicas: 1,
            is_in_memory: false,
            access: NatsAccess::Anybody,
            tls: None,
            dial_timeout: Duration::from_secs(1),
            io_timeout: Duration::from_secs(4),
        }
    );
}

#[test]
fn it_is_configured_in_every_part() {
    let nats = nats(
        "[engine.nats]\nurl = 'nats://a:1, tls://b:2'\nprefix = 'x_1'\nreplicas = 3\n\
         storage = 'memory'\nuser = 'u'\npassword = 'p'\ndial_timeout = '2s'\nio_timeout = '3s'\n\
         [engine.nats.tls]\nenabled = true\ninsecure_skip_verify = true\n",
    );
    assert_eq!(nats.urls, ["nats://a:1", "tls://b:2"]);
    assert_eq!(
        (&*nats.prefix, nats.replicas, nats.is_in_memory),
        ("x_1", 3, true)
    );
    assert_eq!(
        nats.access,
        NatsAccess::Password("u".into(), Secret::new("p"))
    );
    assert_eq!(nats.dial_timeout, Duration::from_secs(2));
    assert_eq!(nats.io_timeout, Duration::from_secs(3));
    assert!(nats.tls.is_some_and(|tls| tls.insecure_skip_verify));
}

#[test]
fn what_could_not_work_is_refused() {
    for (setting, told) in [
        (
            "url = 'http://a'",
            "url: expected nats:// or tls://, a host and a port",
        ),
        (
            "url = 'nats://u:p@a:1'",
            "url: names and passwords have settings of their own",
        ),
        (
            "prefix = 'a.b'",
            "prefix: expected 1 to 64 letters, digits, - and _",
        ),
        ("replicas = 2", "replicas: expected 1, 3 or 5"),
        ("io_timeout = '0s'", "io_timeout: must not be zero"),
        ("password = 'p'", "password: needs user"),
    ] {
        let text = format!("{USED}[engine.nats]\n{setting}\n");
        assert_eq!(
            errors(&text),
            [format!("campanile.toml:4:1: engine.nats.{told}")]
        );
    }
    let text = format!("{USED}[engine.nats]\nuser = 'u'\ntoken = 't'\n");
    let [told] = &errors(&text)[..] else {
        panic!("one error");
    };
    assert!(
        told.ends_with("engine.nats: expected one of user, token and credentials_file"),
        "{told}"
    );
}

#[test]
fn settings_that_have_no_effect_are_told() {
    assert_eq!(
        warnings("[engine.nats]\nreplicas = 3\n"),
        ["campanile.toml:2:1: engine.nats.replicas: has no effect, as engine.type is \"disk\""]
    );
    assert_eq!(
        warnings(&format!(
            "{USED}[engine.nats.tls]\ninsecure_skip_verify = true\n"
        )),
        [
            "campanile.toml:4:1: engine.nats.tls.insecure_skip_verify: has no effect, as \
             tls.enabled is false"
        ]
    );
}
