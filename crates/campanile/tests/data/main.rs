//! `campanile data` as a shell sees it: what it prints, how it ends, and what it leaves alone.

mod place;

use std::fs;

use campanile_engine::store::OsDirectory;
use serde_json::Value;

use place::Place;

/// An export without what an import changes.
fn lasting(export: &str) -> Vec<Value> {
    let lines = export.lines().skip(1).map(|line| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        if let Some(channel) = line.get_mut("channel").and_then(Value::as_object_mut) {
            channel.remove("epoch");
        }
        line
    });
    lines.collect()
}

#[test]
fn info_tells_what_is_there_and_changes_nothing() {
    let place = Place::with_log("info");
    let before = place.files("data");
    let info = place.run("info data --channels");
    assert_eq!((info.code, &*info.stderr), (Some(0), ""));
    for line in [
        "last run      stopped as it should",
        "publications  11",
        "durability    relaxed",
    ] {
        assert!(info.stdout.contains(line), "{}", info.stdout);
    }
    assert!(info.stdout.contains("\nnews "), "{}", info.stdout);
    let json = place.run("info --data-dir data --channels --json").json();
    assert_eq!(json["channels"], 2);
    assert_eq!(json["last_run"], "stopped");
    assert_eq!(json["keys"], 11);
    assert_eq!(json["channel_list"][1]["channel"], "news");
    assert_eq!(json["channel_list"][1]["top"], 10);
    assert!(json["live_bytes"].as_u64() <= json["bytes"].as_u64());
    assert!(place.files("data") == before, "something was changed");
}

#[test]
fn the_directory_is_the_configured_one_unless_it_is_named() {
    let place = Place::with_log("configured");
    fs::write(
        place.0.join("disk.toml"),
        "[engine.disk]\npath = \"data\"\n",
    )
    .unwrap();
    fs::write(place.0.join("memory.toml"), "[engine]\ntype = \"memory\"\n").unwrap();
    assert_eq!(place.run("verify -c disk.toml").code, Some(0));
    let memory = place.run("verify -c memory.toml");
    assert_eq!(memory.code, Some(2));
    assert!(
        memory.stderr.contains("name a directory"),
        "{}",
        memory.stderr
    );
    let default = place.run("verify");
    assert_eq!(default.code, Some(1));
    assert!(
        default.stderr.contains("campanile-data"),
        "{}",
        default.stderr
    );
    assert_eq!(place.run("verify -c nowhere.toml").code, Some(78));
    assert_eq!(place.run("verify data --data-dir data").code, Some(2));
}

#[test]
fn a_directory_that_a_server_has_is_left_alone() {
    let place = Place::with_log("locked");
    let _lock = OsDirectory::lock(&place.0.join("data")).expect("nobody else has it");
    let before = place.files("data");
    for line in [
        "info data",
        "verify data",
        "compact data",
        "export data",
        "renew data",
        "repair data new",
        "import data",
    ] {
        let ended = place.run(line);
        assert_eq!(ended.code, Some(1), "{line}");
        assert!(ended.stderr.contains("data is in use"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    assert!(place.files("data") == before, "something was changed");
    assert_eq!(place.names(), ["data"]);
}

#[test]
fn what_is_no_data_directory_is_not_made_one() {
    let place = Place::new("none");
    fs::create_dir(place.0.join("empty")).unwrap();
    fs::create_dir(place.0.join("other")).unwrap();
    fs::write(place.0.join("other/notes.txt"), "x").unwrap();
    for command in ["info", "verify", "compact", "export", "renew"] {
        for (name, reason) in [
            ("empty", "is no data directory"),
            ("other", "is no data directory"),
            ("nowhere", "there is no directory nowhere"),
            ("other/notes.txt", "not a directory"),
        ] {
            let ended = place.run(&format!("{command} {name}"));
            assert_eq!(ended.code, Some(1), "{command} {name}");
            assert!(ended.stderr.contains(reason), "{}", ended.stderr);
        }
    }
    let import = place.run("import other");
    assert_eq!(import.code, Some(1));
    assert!(
        import.stderr.contains("is no data directory"),
        "{}",
        import.stderr
    );
    assert!(place.files("empty").is_empty());
    assert_eq!(place.files("other").len(), 1);
    assert!(!place.0.join("nowhere").exists());
}

/// As the mark of a later version begins and ends.
fn newer_mark() -> String {
    let text = "campanile publication log\nformat 2\nanything else\n";
    let sum = !text.bytes().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1))
        })
    });
    format!("{text}checksum {sum:08x}\n")
}

#[test]
fn the_data_of_a_newer_version_is_left_alone() {
    let place = Place::with_log("newer");
    fs::write(place.0.join("data/mark"), newer_mark()).unwrap();
    let before = place.files("data");
    for line in [
        "info data",
        "verify data",
        "compact data",
        "renew data",
        "repair data new",
    ] {
        let ended = place.run(line);
        assert_eq!(ended.code, Some(65), "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains("has format 2"), "{}", ended.stderr);
    }
    assert!(place.files("data") == before, "something was changed");
    assert_eq!(place.names(), ["data"]);
}

#[test]
fn damage_is_told_with_what_it_affects_and_what_to_do() {
    let place = Place::with_log("damage");
    assert_eq!(place.run("verify data").code, Some(0));
    place.damage();
    let before = place.files("data");
    let verify = place.run("verify data");
    assert_eq!(verify.code, Some(1));
    assert!(
        verify.stdout.contains("0000000001.segment, bytes "),
        "{}",
        verify.stdout
    );
    assert!(verify.stdout.contains("1 commit lost"), "{}", verify.stdout);
    assert!(
        verify.stdout.contains("channel \"news\": publications"),
        "{}",
        verify.stdout
    );
    assert!(
        verify
            .stderr
            .contains("campanile data repair data data-repaired")
    );
    let json = place.run("verify data --json");
    assert_eq!(json.code, Some(1));
    let json = json.json();
    assert_eq!(
        (&json["ok"], &json["problems"][0]["commits_lost"]),
        (&false.into(), &1.into())
    );
    assert_eq!(json["incomplete"][0]["channel"], "news");
    let info = place.run("info data --json");
    assert_eq!(info.code, Some(1));
    assert_eq!(info.json()["is_damaged"], true);
    for line in ["compact data", "export data", "renew data"] {
        let ended = place.run(line);
        assert_eq!((ended.code, &*ended.stdout), (Some(65), ""), "{line}");
        assert!(
            ended.stderr.contains("campanile data verify"),
            "{}",
            ended.stderr
        );
    }
    assert!(place.files("data") == before, "something was changed");
}

#[test]
fn repair_makes_a_new_directory_and_leaves_the_old_one() {
    let place = Place::with_log("repair");
    place.damage();
    let before = place.files("data");
    let repair = place.run("repair data new --json");
    assert_eq!(repair.code, Some(0), "{}", repair.stderr);
    assert!(
        repair.stderr.contains("--data-dir new"),
        "{}",
        repair.stderr
    );
    let told = repair.json();
    assert_eq!(told["losses"][0]["channel"], "news");
    assert!(place.files("data") == before, "something was changed");
    let info = place.run("info new --json --channels").json();
    assert_eq!(info["publications"], told["publications"]);
    assert_eq!(info["channel_list"][1]["top"], 10);
    assert_ne!(info["channel_list"][1]["epoch"], "first");
    assert_eq!(place.run("verify new").code, Some(0));

    let again = place.run("repair data new");
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);
    let mut names = place.names();
    names.sort();
    assert_eq!(names, ["data", "new"]);
}

#[test]
fn an_export_is_imported_as_it_was_but_for_epochs() {
    let place = Place::with_log("export");
    let export = place.run("export data");
    assert_eq!(export.code, Some(0));
    let first: Value = serde_json::from_str(export.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["export"]["format"], 1);
    assert!(export.stdout.contains(r#""offset":1,"data":{"n":1}}"#));
    assert!(
        export
            .stdout
            .contains(r#""offset":2,"data_base64":"bm90IEpTT04="}"#)
    );
    let import = place.run_with_input("import new", &export.stdout);
    assert_eq!(import.code, Some(0), "{}", import.stderr);
    assert_eq!(
        import.stdout,
        "new: 2 channels with 11 publications and 11 keys\n"
    );
    let again = place.run("export new").stdout;
    assert_eq!(lasting(&again), lasting(&export.stdout));
    assert!(export.stdout.contains(r#""epoch":"first""#) && !again.contains(r#""epoch":"first""#));
}

#[test]
fn an_import_into_a_directory_that_is_there_replaces_on_request_only() {
    let place = Place::with_log("merge");
    let export = place.run("export data").stdout;
    fs::write(place.0.join("all.jsonl"), &export).unwrap();
    let refused = place.run("import data all.jsonl");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains(r#"["chat", "news"]"#),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--replace"), "{}", refused.stderr);
    assert_eq!(
        place.run("export data").stdout.lines().nth(1),
        export.lines().nth(1)
    );
    let replaced = place.run("import data all.jsonl --replace --json");
    assert_eq!(replaced.code, Some(0), "{}", replaced.stderr);
    assert_eq!(replaced.json()["publications"], 11);
    let after = place.run("export data").stdout;
    assert_eq!(lasting(&after), lasting(&export));
    assert!(!after.contains(r#""epoch":"first""#));
    assert!(!place.0.join("data.unfinished").exists());
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_imported() {
    let place = Place::with_log("lines");
    let export = place.run("export data").stdout;
    let lines: Vec<&str> = export.lines().collect();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line;
        lines.join("\n")
    };
    let without_end = lines[..lines.len() - 1].join("\n");
    let short = lines[..4].join("\n") + "\n" + lines[lines.len() - 1];
    for (input, reason) in [
        (
            String::new(),
            "standard input: this is not all of an export",
        ),
        (without_end, "standard input: this is not all of an export"),
        (short, "standard input:5: lines are missing"),
        (
            with(0, lines[1]),
            "standard input:1: an export begins with its format",
        ),
        (
            with(0, r#"{"export":{"format":2}}"#),
            "standard input:1: the export has format 2",
        ),
        (
            with(2, "{\"publication\":"),
            "standard input:3: column 15: EOF",
        ),
        (
            with(1, r#"{"channnel":{}}"#),
            "standard input:2: column 11: unknown variant",
        ),
        (
            with(
                2,
                "{\"key\":{\"channel\":\"chat\",\"key\":\"k\",\"expires\":1}}",
            ),
            "standard input:5: the channel before ends without",
        ),
        (
            with(5, lines[6]),
            "standard input:6: expected the publication with offset",
        ),
        (export.clone() + "{}\n", "standard input:"),
    ] {
        let ended = place.run_with_input("import new", &input);
        assert_eq!(ended.code, Some(1), "{reason}");
        assert!(
            ended.stderr.starts_with(reason),
            "{reason}: {}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "");
        assert_eq!(place.names(), ["data"], "{reason}");
    }
    assert_eq!(place.run("import new nowhere.jsonl").code, Some(2));
}

#[test]
fn compact_and_renew_say_what_they_did() {
    let place = Place::with_log("compact");
    let export = place.run("export data").stdout;
    let compact = place.run("compact data --json");
    assert_eq!((compact.code, &*compact.stderr), (Some(0), ""));
    let told = compact.json();
    assert!(
        told["bytes"].as_u64() < told["bytes_before"].as_u64(),
        "{told}"
    );
    let after = place.run("export data").stdout;
    assert_eq!(
        after.lines().skip(1).collect::<Vec<_>>(),
        export.lines().skip(1).collect::<Vec<_>>()
    );

    let renew = place.run("renew data");
    assert_eq!(renew.stdout, "data: new epochs for 2 channels\n");
    let renewed = place.run("export data").stdout;
    assert_eq!(lasting(&renewed), lasting(&export));
    assert!(!renewed.contains(r#""epoch":"first""#));
}
