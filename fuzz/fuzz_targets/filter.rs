//! Any filter that a client may spell, against any tags: it must not panic or outgrow its bounds, and
//! what it says must agree with what its negation says.
//!
//! Input: one line of tags as `key=value,key=value`, then the filter as JSON.
#![no_main]

use campanile_engine::channel::TagsFilter;
use campanile_protocol::Tags;
use campanile_protocol::codec::json::Commands;
use campanile_protocol::command::{Command, FilterNode, Request};
use libfuzzer_sys::fuzz_target;

fn filter(json: &[u8]) -> Option<Box<FilterNode>> {
    let frame = [br#"{"id":1,"subscribe":{"channel":"c","tf":"#, json, b"}}"];
    let frame = frame.concat();
    match Commands::of_frame(&frame).next()? {
        Ok(Command::Request {
            request: Request::Subscribe(request),
            ..
        }) => request.filter,
        _ => None,
    }
}

fuzz_target!(|input: &[u8]| {
    let Some(line_end) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (Ok(line), Some(node)) = (
        std::str::from_utf8(&input[..line_end]),
        filter(&input[line_end..]),
    ) else {
        return;
    };
    let pairs = line.split(',').filter_map(|pair| pair.split_once('='));
    let tags: Tags = pairs.map(|(key, val)| (key.into(), val.into())).collect();
    let negation = FilterNode {
        op: "not".into(),
        nodes: vec![(*node).clone()],
        ..FilterNode::default()
    };
    let (filter, negation) = (TagsFilter::new(&node), TagsFilter::new(&negation));
    if let (Ok(filter), Ok(negation)) = (filter, negation) {
        assert!(filter.accepts(Some(&tags)) != negation.accepts(Some(&tags)));
        assert!(filter.accepts(None) != negation.accepts(None));
    }
});
