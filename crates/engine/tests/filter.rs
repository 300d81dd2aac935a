//! Filters of tags: which of them make sense, and what they let through.

use campanile_engine::channel::TagsFilter;
use campanile_engine::channel::filter::FilterError;
use campanile_engine::limits::{
    FILTER_BYTES_MAX, FILTER_DEPTH_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX,
};
use campanile_protocol::Tags;
use campanile_protocol::command::FilterNode;
use proptest::prelude::*;

fn leaf(key: &str, cmp: &str, val: &str) -> FilterNode {
    FilterNode {
        key: key.into(),
        cmp: cmp.into(),
        val: val.into(),
        ..FilterNode::default()
    }
}

fn list(key: &str, cmp: &str, vals: &[&str]) -> FilterNode {
    FilterNode {
        vals: vals.iter().map(|val| (*val).into()).collect(),
        ..leaf(key, cmp, "")
    }
}

fn combine(op: &str, nodes: Vec<FilterNode>) -> FilterNode {
    FilterNode {
        op: op.into(),
        nodes,
        ..FilterNode::default()
    }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let owned = pairs
        .iter()
        .map(|(key, val)| ((*key).into(), (*val).into()));
    owned.collect()
}

fn accepts(node: &FilterNode, pairs: &[(&str, &str)]) -> bool {
    let filter = TagsFilter::new(node).expect("it makes sense");
    filter.accepts(Some(&tags(pairs)))
}

#[test]
fn every_comparison_means_what_the_protocol_says() {
    let team = [("team", "red"), ("score", "10.5"), ("empty", "")];
    for (node, expected) in [
        (leaf("team", "eq", "red"), true),
        (leaf("team", "eq", "re"), false),
        (leaf("none", "eq", "red"), false),
        (leaf("team", "neq", "red"), false),
        (leaf("none", "neq", "red"), true),
        (list("team", "in", &["blue", "red"]), true),
        (list("team", "in", &["blue"]), false),
        (list("none", "in", &["blue", ""]), true),
        (list("team", "nin", &["blue"]), true),
        (list("none", "nin", &["blue", ""]), false),
        (leaf("empty", "ex", ""), true),
        (leaf("none", "ex", ""), false),
        (leaf("", "ex", ""), false),
        (leaf("empty", "nex", ""), false),
        (leaf("none", "nex", ""), true),
        (leaf("team", "sw", "re"), true),
        (leaf("team", "sw", "ed"), false),
        (leaf("team", "ew", "ed"), true),
        (leaf("team", "ct", "e"), true),
        (leaf("team", "ct", "E"), false),
        (leaf("none", "ct", "e"), false),
        (leaf("score", "gt", "10.49"), true),
        (leaf("score", "gt", "10.5"), false),
        (leaf("score", "gte", "1.05e1"), true),
        (leaf("score", "lt", "9"), false),
        (leaf("score", "lte", "010.50"), true),
        (leaf("score", "lt", "ten"), false),
        (leaf("team", "gte", "0"), false),
        (leaf("none", "lt", "1"), false),
    ] {
        assert_eq!(accepts(&node, &team), expected, "{node:?}");
    }
}

#[test]
fn a_publication_without_tags_has_no_tags() {
    let filter = |node| TagsFilter::new(&node).expect("it makes sense");
    assert!(!filter(leaf("a", "ex", "")).accepts(None));
    assert!(filter(leaf("a", "neq", "1")).accepts(None));
}

#[test]
fn combinations_nest() {
    let node = combine(
        "and",
        vec![
            leaf("team", "eq", "red"),
            combine("not", vec![leaf("score", "lt", "10")]),
            combine("or", vec![leaf("a", "ex", ""), leaf("b", "ex", "")]),
        ],
    );
    assert!(accepts(
        &node,
        &[("team", "red"), ("score", "10"), ("b", "")]
    ));
    assert!(!accepts(
        &node,
        &[("team", "red"), ("score", "9"), ("b", "")]
    ));
    assert!(!accepts(&node, &[("team", "red"), ("score", "10")]));
}

#[test]
fn what_makes_no_sense_is_refused() {
    use FilterError::{UnknownOperator, WrongNodes, WrongOperands};
    let with_vals = |mut node: FilterNode| {
        node.vals = vec!["x".into()];
        node
    };
    for (node, error) in [
        (FilterNode::default(), UnknownOperator),
        (leaf("a", "like", "b"), UnknownOperator),
        (combine("xor", vec![leaf("a", "ex", "")]), UnknownOperator),
        (combine("AND", vec![leaf("a", "ex", "")]), UnknownOperator),
        (combine("and", vec![]), WrongNodes),
        (combine("or", vec![]), WrongNodes),
        (combine("not", vec![]), WrongNodes),
        (
            combine("not", vec![leaf("a", "ex", ""), leaf("b", "ex", "")]),
            WrongNodes,
        ),
        (leaf("", "eq", "b"), WrongOperands),
        (leaf("a", "eq", ""), WrongOperands),
        (leaf("a", "sw", ""), WrongOperands),
        (leaf("a", "gt", ""), WrongOperands),
        (with_vals(leaf("a", "eq", "b")), WrongOperands),
        (leaf("a", "in", ""), WrongOperands),
        (with_vals(leaf("a", "in", "b")), WrongOperands),
        (with_vals(leaf("", "in", "")), WrongOperands),
        (leaf("a", "ex", "b"), WrongOperands),
        (with_vals(leaf("a", "nex", "")), WrongOperands),
    ] {
        assert_eq!(TagsFilter::new(&node), Err(error), "{node:?}");
        let inside = combine("or", vec![leaf("a", "ex", ""), node.clone()]);
        assert_eq!(TagsFilter::new(&inside), Err(error), "{node:?}");
    }
}

#[test]
fn what_is_superfluous_is_passed_over() {
    let mut node = combine("and", vec![leaf("a", "eq", "1")]);
    (node.key, node.cmp, node.val) = ("b".into(), "like".into(), "2".into());
    assert!(accepts(&node, &[("a", "1")]));
    let mut node = leaf("a", "eq", "1");
    node.nodes = vec![FilterNode::default()];
    assert!(accepts(&node, &[("a", "1")]));
}

#[test]
fn a_filter_is_bounded_in_every_direction() {
    let is_fine = |node: &FilterNode| match TagsFilter::new(node) {
        Ok(_) => true,
        Err(FilterError::TooLarge) => false,
        Err(other) => panic!("{other}"),
    };
    let deep =
        |levels: usize| (1..levels).fold(leaf("a", "ex", ""), |node, _| combine("not", vec![node]));
    assert!(is_fine(&deep(FILTER_DEPTH_MAX)) && !is_fine(&deep(FILTER_DEPTH_MAX + 1)));
    let wide = |nodes: usize| combine("or", vec![leaf("a", "ex", ""); nodes - 1]);
    assert!(is_fine(&wide(FILTER_NODES_MAX)) && !is_fine(&wide(FILTER_NODES_MAX + 1)));
    let many = |values: usize| list("a", "in", &vec!["x"; values]);
    assert!(is_fine(&many(FILTER_VALUES_MAX)) && !is_fine(&many(FILTER_VALUES_MAX + 1)));
    let long = |bytes: usize| leaf("a", "eq", &"x".repeat(bytes - 1));
    assert!(is_fine(&long(FILTER_BYTES_MAX)) && !is_fine(&long(FILTER_BYTES_MAX + 1)));
}

/// The rules of section 11 once more, as they are written there, on small numbers only.
fn is_valid(node: &FilterNode) -> bool {
    let (val, vals) = (!node.val.is_empty(), !node.vals.is_empty());
    match node.op.as_str() {
        "" => match node.cmp.as_str() {
            "ex" | "nex" => !val && !vals,
            "in" | "nin" => !node.key.is_empty() && vals && !val,
            "eq" | "neq" | "sw" | "ew" | "ct" | "lt" | "lte" | "gt" | "gte" => {
                !node.key.is_empty() && val && !vals
            }
            _ => false,
        },
        "and" | "or" => !node.nodes.is_empty() && node.nodes.iter().all(is_valid),
        "not" => node.nodes.len() == 1 && is_valid(&node.nodes[0]),
        _ => false,
    }
}

fn evaluate(node: &FilterNode, tags: &Tags) -> bool {
    let tag = tags.get(&node.key);
    let number = |text: &str| text.parse::<i64>().ok();
    let numbers = || Some((number(tag?)?, number(&node.val)?));
    match (node.op.as_str(), node.cmp.as_str()) {
        ("and", _) => node.nodes.iter().all(|node| evaluate(node, tags)),
        ("or", _) => node.nodes.iter().any(|node| evaluate(node, tags)),
        ("not", _) => !evaluate(&node.nodes[0], tags),
        (_, "eq") => tag == Some(&node.val),
        (_, "neq") => tag != Some(&node.val),
        (_, "in") => node.vals.contains(&tag.cloned().unwrap_or_default()),
        (_, "nin") => !node.vals.contains(&tag.cloned().unwrap_or_default()),
        (_, "ex") => tag.is_some(),
        (_, "nex") => tag.is_none(),
        (_, "sw") => tag.is_some_and(|tag| tag.starts_with(&node.val)),
        (_, "ew") => tag.is_some_and(|tag| tag.ends_with(&node.val)),
        (_, "ct") => tag.is_some_and(|tag| tag.contains(&node.val)),
        (_, "lt") => numbers().is_some_and(|(tag, val)| tag < val),
        (_, "lte") => numbers().is_some_and(|(tag, val)| tag <= val),
        (_, "gt") => numbers().is_some_and(|(tag, val)| tag > val),
        (_, "gte") => numbers().is_some_and(|(tag, val)| tag >= val),
        other => panic!("{other:?} is not valid"),
    }
}

const COMPARISONS: [&str; 13] = [
    "eq", "neq", "in", "nin", "ex", "nex", "sw", "ew", "ct", "lt", "lte", "gt", "gte",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,2}", "-?[0-9]{1,2}"]
}

fn any_leaf() -> impl Strategy<Value = FilterNode> {
    let cmp = proptest::sample::select(&COMPARISONS[..]);
    let vals = proptest::collection::vec(word(), 0..3);
    // Mostly operands that fit the comparison: those that do not are refused, which is one test.
    ("[ab]?", cmp, word(), vals, 0..8).prop_map(|(key, cmp, val, vals, misfit)| {
        let takes = |what: &str| match cmp {
            "ex" | "nex" => false,
            "in" | "nin" => what == "vals",
            _ => what == "val",
        };
        FilterNode {
            val: if takes("val") || misfit == 0 {
                val
            } else {
                String::new()
            },
            vals: if takes("vals") || misfit == 1 {
                vals
            } else {
                Vec::new()
            },
            ..leaf(&key, cmp, "")
        }
    })
}

fn any_filter() -> impl Strategy<Value = FilterNode> {
    any_leaf().prop_recursive(4, 24, 3, |inner| {
        let op = proptest::sample::select(&["and", "or", "not", "not"][..]);
        (op, proptest::collection::vec(inner, 1..3)).prop_map(|(op, mut nodes)| {
            if op == "not" {
                nodes.truncate(1);
            }
            combine(op, nodes)
        })
    })
}

proptest! {
    #[test]
    fn a_filter_does_what_its_rules_say(
        node in any_filter(),
        tags in proptest::collection::btree_map("[ab]", word(), 0..3),
    ) {
        let filter = TagsFilter::new(&node);
        prop_assert_eq!(filter.is_ok(), is_valid(&node));
        if let Ok(filter) = filter {
            prop_assert_eq!(filter.accepts(Some(&tags)), evaluate(&node, &tags));
        }
    }
}
