//! Where streams are kept, and what is refused about it.

use std::path::Path;
use std::time::Duration;

use super::{environment, errors, load_toml, warnings};
use crate::config::{
    Disk, Durability, Engine, Flag, Redis, RedisAccess, RedisServers, Sources, load,
};

fn disk(text: &str) -> Disk {
    let loaded = load_toml(text, &Sources::default()).expect("no error");
    match loaded.config.engine {
        Engine::Disk(disk) => disk,
        other => panic!("{other:?}"),
    }
}

#[test]
fn streams_are_kept_on_disk_unless_something_else_is_said() {
    assert_eq!(
        disk(""),
        Disk {
            path: "campanile-data".into(),
            durability: Durability::Relaxed {
                sync_interval: Duration::from_millis(200)
            },
            size_limit: None,
            cache_size: 64 * 1024 * 1024,
        }
    );
    let memory = "[engine]\ntype = 'memory'\n";
    let loaded = load_toml(memory, &Sources::default()).unwrap();
    assert_eq!(loaded.config.engine, Engine::Memory);
    assert_eq!(loaded.warnings, []);
}

#[test]
fn the_disk_is_configured_in_every_part() {
    let disk = disk(
        "[engine.disk]\npath = '/srv/campanile'\ndurability = 'relaxed'\nsync_interval = '1s'\n\
         size_limit = 1073741824\ncache_size = 0\n",
    );
    assert_eq!(disk.path, Path::new("/srv/campanile"));
    let sync_interval = Duration::from_secs(1);
    assert_eq!(disk.durability, Durability::Relaxed { sync_interval });
    assert_eq!(disk.size_limit.unwrap().get(), 1 << 30);
    assert_eq!(disk.cache_size, 0);
}

#[test]
fn durability_has_two_values() {
    let text = "[engine.disk]\ndurability = 'sync'\n";
    assert_eq!(disk(text).durability, Durability::Sync);
    assert!(warnings(text).is_empty());
    assert_eq!(
        errors("[engine.disk]\ndurability = 'async'\n"),
        [
            "campanile.toml:2:1: engine.disk.durability: expected one of \"relaxed\", \"sync\", \
          found \"async\""
        ]
    );
}

#[test]
fn a_disk_that_could_not_work_is_refused() {
    for (setting, told) in [
        ("path = ''", "path: expected the path of a directory"),
        (
            "size_limit = 1048576",
            "size_limit: expected 16777216 (16 MiB) or more, or 0 for no limit",
        ),
        (
            "sync_interval = '0s'",
            "sync_interval: expected 1ms to 60s; to lose nothing in a power cut, set \
             engine.disk.durability to \"sync\"",
        ),
        (
            "sync_interval = '200m'",
            "sync_interval: expected 1ms to 60s; to lose nothing in a power cut, set \
             engine.disk.durability to \"sync\"",
        ),
    ] {
        let told = format!("campanile.toml:2:1: engine.disk.{told}");
        assert_eq!(errors(&format!("[engine.disk]\n{setting}\n")), [told]);
    }
}

#[test]
fn settings_of_the_disk_that_have_no_effect_are_told() {
    assert_eq!(
        warnings("[engine]\ntype = 'memory'\n[engine.disk]\npath = 'x'\nsize_limit = 1\n"),
        [
            "campanile.toml:4:1: engine.disk.path: has no effect, as engine.type is \"memory\"",
            "campanile.toml:5:1: engine.disk.size_limit: has no effect, as engine.type is \
             \"memory\"",
        ]
    );
    assert_eq!(
        warnings("[engine.disk]\ndurability = 'sync'\nsync_interval = '1s'\n"),
        [
            "campanile.toml:3:1: engine.disk.sync_interval: has no effect, as \
          engine.disk.durability is \"sync\""
        ]
    );
}

#[test]
fn what_is_no_engine_is_refused() {
    assert_eq!(
        errors("[engine]\ntype = 'tape'\n"),
        [
            "campanile.toml:2:1: engine.type: expected one of \"disk\", \"memory\", \
          \"nats\", \"redis\", found \"tape\""
        ]
    );
}

fn redis(text: &str) -> Redis {
    let text = format!("[engine]\ntype = 'redis'\n[engine.redis]\n{text}");
    let loaded = load_toml(&text, &Sources::default()).expect("no error");
    match loaded.config.engine {
        Engine::Redis(redis) => *redis,
        other => panic!("{other:?}"),
    }
}

#[test]
fn redis_is_one_or_behind_sentinels_or_a_cluster() {
    let single = redis("address = 'rediss://cache:7000/2'\npassword = 'p'\n");
    assert_eq!(single.servers, RedisServers::Single("cache:7000".into()));
    assert_eq!((single.db, single.access.tls.is_some()), (2, true));
    assert_eq!(single.access.password.expose(), "p");
    let sentinel = redis("sentinel_address = ['a:1', 'b:2']\nsentinel_master_name = 'm'\n");
    let expected = RedisServers::Sentinel {
        addresses: vec!["a:1".into(), "b:2".into()],
        master_name: "m".into(),
        access: RedisAccess::default(),
    };
    assert_eq!(sentinel.servers, expected);
    let cluster = redis("cluster_address = ['a:1']\n");
    assert_eq!(cluster.servers, RedisServers::Cluster(vec!["a:1".into()]));
}

#[test]
fn settings_of_redis_that_make_no_sense_are_refused() {
    let text = "[engine]\ntype = 'redis'\n[engine.redis]\naddress = 'redis://:p@a:1'\n\
                sentinel_address = ['a', ':p@b:1']\nprefix = 'a{b}'\nio_timeout = '0s'\n";
    let found = errors(text);
    for expected in [
        "address: must not have a user or a password",
        "sentinel_address: \"a\" is no host:port",
        "sentinel_address: names and passwords have settings of their own",
        "sentinel_master_name: must not be empty",
        "prefix: expected 1 to 64 visible ASCII characters",
        "io_timeout: must not be zero",
    ] {
        let is_told = found.iter().any(|problem| problem.contains(expected));
        assert!(is_told, "{expected}: {found:?}");
    }
    assert!(
        !found.iter().any(|problem| problem.contains(":p@")),
        "{found:?}"
    );
}

#[test]
fn tls_that_an_address_asks_for_is_not_dropped_without_a_word() {
    for servers in [
        "cluster_address = ['a:1']",
        "sentinel_address = ['a:1']\nsentinel_master_name = 'm'",
    ] {
        let settings = format!("address = 'rediss://a:1'\n{servers}\n");
        let text = format!("[engine]\ntype = 'redis'\n[engine.redis]\n{settings}");
        let found = errors(&text);
        let is_told = found.iter().any(|problem| problem.contains("tls.enabled"));
        assert!(is_told, "{found:?}");
        let both = redis(&format!("{settings}tls.enabled = true\n"));
        assert!(both.access.tls.is_some());
    }
}

#[test]
fn the_environment_and_flags_say_where_the_data_is() {
    let mut sources = environment(&[
        ("CAMPANILE_ENGINE_DISK_PATH", "/a"),
        ("CAMPANILE_ENGINE_DISK_DURABILITY", "sync"),
    ]);
    let path = |sources: &Sources| match load(sources).unwrap().config.engine {
        Engine::Disk(disk) => disk.path,
        other => panic!("{other:?}"),
    };
    assert_eq!(path(&sources), Path::new("/a"));
    sources.flags.push(Flag {
        name: "--data-dir",
        path: "engine.disk.path",
        text: "/b".into(),
    });
    assert_eq!(path(&sources), Path::new("/b"));
    let memory = environment(&[("CENTRIFUGO_ENGINE_TYPE", "memory")]);
    assert_eq!(load(&memory).unwrap().config.engine, Engine::Memory);
}
