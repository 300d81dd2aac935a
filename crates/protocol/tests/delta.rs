//! Differences between payloads: section 10.4 of the protocol.

use campanile_protocol::delta::{DeltaError, apply, patch};
use proptest::prelude::*;
use proptest::sample::Index;

/// The difference, or the target as the only thing inserted; made sure to bring the target back.
fn difference(source: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let patch = patch(source, target)?;
    assert!(patch.len() < target.len());
    assert_eq!(
        apply(source, &patch, target.len()).as_deref(),
        Ok(target),
        "{:?}",
        String::from_utf8_lossy(&patch)
    );
    Some(patch)
}

#[test]
fn the_example_of_the_protocol_is_spelled_as_there() {
    let source = br#"{"n":1,"text":"abcdefghijklmnop"}"#;
    let target = br#"{"n":2,"text":"abcdefghijklmnop"}"#;
    let spelled = b"X\n6:{\"n\":2R@6,1fbTur;";
    assert_eq!(difference(source, target).as_deref(), Some(&spelled[..]));
}

#[test]
fn what_would_not_be_shorter_is_not_said() {
    for (source, target) in [
        ("", ""),
        ("a", ""),
        ("", "a"),
        ("abc", "abd"),
        ("abcdefghijklmno", "abcdefghijklmno"),
        ("", "a text that is in no source at all"),
        ("something else", "a text that is in no source at all"),
    ] {
        assert_eq!(
            patch(source.as_bytes(), target.as_bytes()),
            None,
            "{target}"
        );
    }
    let large = vec![b'a'; 4 * 1024 * 1024 + 1];
    assert_eq!(patch(&large, b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), None);
    assert_eq!(patch(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &large), None);
}

#[test]
fn an_edit_of_a_document_costs_about_as_much_as_the_edit() {
    let items: Vec<_> = (0..200)
        .map(|n| format!(r#"{{"id":{n},"name":"item {n}"}}"#))
        .collect();
    let source = format!("[{}]", items.join(","));
    let edits = [
        source.replace("item 100", "another"),
        source.replace("item 7\"", "item 🎉\""),
        source.replace(r#"{"id":150,"name":"item 150"},"#, ""),
        source.replace("]", r#",{"id":200,"name":"item 200"}]"#),
        source
            .replace("item 3\"", "ITEM 3\"")
            .replace("item 160", "ITEM 160"),
    ];
    for target in edits {
        let patch = difference(source.as_bytes(), target.as_bytes()).expect("much is equal");
        assert!(patch.len() < 70, "{}", String::from_utf8_lossy(&patch));
    }
}

#[test]
fn parts_that_moved_are_found() {
    let part = |seed: u8| -> Vec<u8> {
        let byte = |n: u8| n.wrapping_mul(37).wrapping_add(seed).rotate_left(3) ^ seed;
        (0..200).map(byte).collect()
    };
    let (a, b, c) = (part(1), part(90), part(171));
    let source = [a.clone(), b.clone(), c.clone()].concat();
    let target = [c, b"new".to_vec(), b, a].concat();
    let patch = difference(&source, &target).expect("all of it is there");
    assert!(patch.len() < 60, "{} bytes", patch.len());
}

#[test]
fn a_character_is_never_cut() {
    // Emoji that differ in their last byte alone, and in their first bytes alone.
    let text = |face: &str| {
        format!(
            "{{\"who\":\"somebody with a name\",\"mood\":\"{face}\",\"since\":\"this very morning\"}}"
        )
    };
    for (before, after) in [
        ("🙂", "🙃"),
        ("é", "è"),
        ("🙂", "\u{1F742}"),
        ("a", "🙂"),
        ("", "🙂🙃🙂"),
    ] {
        let (before, after) = (text(before), text(after));
        let patch = difference(before.as_bytes(), after.as_bytes()).expect("much is equal");
        assert!(std::str::from_utf8(&patch).is_ok(), "{patch:?}");
    }
}

#[test]
fn repetition_takes_no_more_time_than_anything_else() {
    // Quadratic time would be hours.
    let size = 512 * 1024;
    let zeros = vec![0; size];
    let mut other = zeros.clone();
    for at in (0..size).step_by(size / 50) {
        other[at] = 1;
    }
    difference(&zeros, &other).expect("much is equal");
    difference(&other, &zeros).expect("much is equal");
    let words = b"one two ".repeat(size / 8);
    let shifted = [b"x".as_slice(), &words[3..], b"y"].concat();
    difference(&words, &shifted).expect("much is equal");
    // Every block is in the source sixteen times and more, and followed by something else.
    let source: Vec<u8> = (0..size / 32)
        .flat_map(|n| [[b'a'; 28].as_slice(), &n.to_le_bytes()[..4]].concat())
        .collect();
    let target: Vec<u8> = (0..size / 32)
        .flat_map(|n| [[b'a'; 28].as_slice(), &(n ^ 0x55_5555).to_le_bytes()[..4]].concat())
        .collect();
    let _ = difference(&source, &target);
}

#[test]
fn what_is_no_difference_is_refused() {
    let source = br#"{"n":1,"text":"abcdefghijklmnop"}"#;
    let whole = b"X\n6:{\"n\":2R@6,1fbTur;";
    for end in 0..whole.len() {
        let error = apply(source, &whole[..end], 1000);
        assert_eq!(error, Err(DeltaError::Unterminated), "cut at {end}");
    }
    for (delta, error) in [
        ("X\n6:{\"n\":2R@6,1fbTus;", DeltaError::WrongChecksum),
        ("Y\n6:{\"n\":2R@6,1fbTur;", DeltaError::WrongLength),
        ("W\n6:{\"n\":2R@6,1fbTur;", DeltaError::WrongLength),
        ("X\n6:{\"n\":2R@7,1fbTur;", DeltaError::OutsideSource),
        ("X\n6:{\"n\":2R@3~~~~~,1fbTur;", DeltaError::OutsideSource),
        ("X\n6:{\"n\":2R@6,1fbTur;;", DeltaError::Trailing),
        ("X\n6!{\"n\":2R@6,1fbTur;", DeltaError::UnknownOperator),
        ("X\n6:{\"n\":2R@6.1fbTur;", DeltaError::UnknownOperator),
        ("X6:{\"n\":2R@6,1fbTur;", DeltaError::UnknownOperator),
        ("X\n6:{\"n\":2@6,1fbTur;", DeltaError::BadNumber),
        ("\n6:{\"n\":2R@6,1fbTur;", DeltaError::BadNumber),
        ("4000000\n0;", DeltaError::BadNumber),
        ("3~~~~~\n0;", DeltaError::TooLong),
        ("!", DeltaError::BadNumber),
    ] {
        let refused = apply(source, delta.as_bytes(), 1000);
        assert_eq!(refused, Err(error), "{delta:?}");
    }
    assert_eq!(apply(source, whole, 32), Err(DeltaError::TooLong));
    assert!(apply(source, whole, 33).is_ok());
    assert_eq!(apply(b"", b"0\n0;", 0), Ok(Vec::new()));
}

/// Payloads, and others made of them by a few edits.
fn edited(payload: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let edit = (
        any::<Index>(),
        any::<Index>(),
        prop::collection::vec(any::<u8>(), 0..20),
    );
    (payload, prop::collection::vec(edit, 0..6)).prop_map(|(source, edits)| {
        let mut target = source.clone();
        for (start, length, new) in edits {
            let start = start.index(target.len() + 1);
            let end = start + length.index(40).min(target.len() - start);
            target.splice(start..end, new);
        }
        (source, target)
    })
}

/// The same for texts.
fn edited_text() -> impl Strategy<Value = (String, String)> {
    let character = prop_oneof![3 => prop::char::range('a', 'c'), 1 => prop::char::range('🙀', '🙃'), 1 => prop::char::range('à', 'é')];
    let text = prop::collection::vec(character.clone(), 0..400);
    let edit = (any::<Index>(), prop::collection::vec(character, 0..20));
    (text, prop::collection::vec(edit, 0..6)).prop_map(|(source, edits)| {
        let mut target = source.clone();
        for (start, new) in edits {
            let start = start.index(target.len() + 1);
            target.splice(start..start, new);
        }
        (source.into_iter().collect(), target.into_iter().collect())
    })
}

proptest! {
    #[test]
    fn a_difference_brings_the_target_back(
        (source, target) in prop_oneof![
            edited(prop::collection::vec(any::<u8>(), 0..600)),
            edited(prop::collection::vec(0..3_u8, 0..600)),
            edited(prop::collection::vec(0..1_u8, 0..600)),
        ]
    ) {
        difference(&source, &target);
        difference(&target, &source);
    }

    #[test]
    fn the_difference_of_texts_is_a_text((source, target) in edited_text()) {
        for (source, target) in [(&source, &target), (&target, &source)] {
            if let Some(patch) = difference(source.as_bytes(), target.as_bytes()) {
                prop_assert!(String::from_utf8(patch).is_ok());
            }
        }
    }

    #[test]
    fn garbage_is_an_error_and_never_longer_than_allowed(
        source in prop::collection::vec(any::<u8>(), 0..40),
        delta in "[0-9A-Z_a-z~]{0,2}\n([0-9A-B]{0,2}[@:,;\n!][0-9a-c]{0,20}){0,8}",
    ) {
        if let Ok(target) = apply(&source, delta.as_bytes(), 100) {
            prop_assert!(target.len() <= 100);
        }
    }
}

/// What a difference costs: prints nanoseconds, with the difference's size.
///
/// `cargo test --release -p campanile-protocol --test delta -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn cost() {
    let items: Vec<_> = (0..100)
        .map(|n| format!(r#"{{"id":{n},"name":"item number {n}","ok":true}}"#))
        .collect();
    let source = format!("[{}]", items.join(","));
    let moved = format!("[{},{}]", items[50..].join(","), items[..50].join(","));
    for (what, target) in [
        ("one change", source.replace("number 50", "number 51!")),
        (
            "two changes",
            source
                .replace("number 2\"", "2\"")
                .replace("number 90", "90"),
        ),
        ("halves swapped", moved),
        (
            "nothing in common",
            "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}".repeat(600),
        ),
    ] {
        let rounds = 10_000;
        let begun = std::time::Instant::now();
        let mut bytes = 0;
        for _ in 0..rounds {
            let source = std::hint::black_box(source.as_bytes());
            bytes = patch(source, std::hint::black_box(target.as_bytes())).map_or(0, |p| p.len());
        }
        let each = begun.elapsed() / rounds;
        println!(
            "{what:18} {each:>10.2?}   {} bytes -> {bytes}",
            target.len()
        );
    }
}
