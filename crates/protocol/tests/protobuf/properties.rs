//! Reading: random commands of the schema, and bytes that are none.

use campanile_protocol::Command;
use campanile_protocol::codec::{DecodeError, json, protobuf};
use campanile_protocol::wire::{Encoding, Wire};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use crate::descriptor;

/// How deep conditions are nested.
const DEPTH: u32 = 4;

/// A message in JSON with some of its fields, those too that nobody looks at.
fn any_message(message: &MessageDescriptor, depth: u32) -> BoxedStrategy<Json> {
    let fields: Vec<_> = message
        .fields()
        .filter(|field| depth > 0 || !matches!(field.kind(), Kind::Message(_)))
        .collect();
    // Few at a time, so that a command often has but one request.
    let chosen = proptest::sample::subsequence(fields.clone(), 0..=fields.len().min(4));
    let object = chosen.prop_flat_map(move |fields| {
        let fields = fields.into_iter().map(|field| {
            let name = field.name().to_owned();
            any_field(&field, depth).prop_map(move |value| (name.clone(), value))
        });
        fields.collect::<Vec<_>>()
    });
    object
        .prop_map(|fields| Json::Object(fields.into_iter().collect()))
        .boxed()
}

fn any_field(field: &FieldDescriptor, depth: u32) -> BoxedStrategy<Json> {
    if field.is_map() {
        let value = any_value(&entry_value(field), depth);
        let entries = btree_map("[a-z#:é]{0,4}", value, 0..3);
        return entries
            .prop_map(|entries| Json::Object(entries.into_iter().collect()))
            .boxed();
    }
    let value = any_value(field, depth);
    if field.is_list() {
        return vec(value, 0..4).prop_map(Json::Array).boxed();
    }
    value
}

fn any_value(field: &FieldDescriptor, depth: u32) -> BoxedStrategy<Json> {
    match field.kind() {
        Kind::Bool => any::<bool>().prop_map(Json::from).boxed(),
        Kind::Uint32 => prop_oneof![0..3_u32, any::<u32>()]
            .prop_map(Json::from)
            .boxed(),
        Kind::Uint64 => any::<u64>().prop_map(Json::from).boxed(),
        Kind::Int32 => any::<i32>().prop_map(Json::from).boxed(),
        Kind::Int64 => any::<i64>().prop_map(Json::from).boxed(),
        Kind::String => "[\\PC\n]{0,20}".prop_map(Json::from).boxed(),
        // A payload: in JSON any value, in Protobuf the text of that value.
        Kind::Bytes => prop_oneof![
            Just(json!(null)),
            any::<i64>().prop_map(Json::from),
            "\\PC{0,200}".prop_map(|text| json!({"text": text, "list": [1, true]})),
        ]
        .boxed(),
        Kind::Message(message) => any_message(&message, depth - 1),
        kind => panic!("no request has a {kind:?}"),
    }
}

/// The Protobuf twin of a message in JSON.
fn twin(message: &MessageDescriptor, json: &Json) -> DynamicMessage {
    let mut twin = DynamicMessage::new(message.clone());
    for (name, value) in object(json) {
        let field = message.get_field_by_name(name).expect("of the schema");
        let value = if field.is_map() {
            let of = entry_value(&field);
            let entries = object(value).iter();
            let entries =
                entries.map(|(key, value)| (MapKey::String(key.clone()), twin_value(&of, value)));
            Value::Map(entries.collect())
        } else if let Json::Array(list) = value
            && field.is_list()
        {
            Value::List(list.iter().map(|value| twin_value(&field, value)).collect())
        } else {
            twin_value(&field, value)
        };
        twin.set_field(&field, value);
    }
    twin
}

fn twin_value(field: &FieldDescriptor, json: &Json) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(typed(json)),
        Kind::Uint32 => Value::U32(typed(json)),
        Kind::Uint64 => Value::U64(typed(json)),
        Kind::Int32 => Value::I32(typed(json)),
        Kind::Int64 => Value::I64(typed(json)),
        Kind::String => Value::String(typed(json)),
        Kind::Bytes => Value::Bytes(json.to_string().into_bytes().into()),
        Kind::Message(message) => Value::Message(twin(&message, json)),
        kind => panic!("no request has a {kind:?}"),
    }
}

fn typed<T: DeserializeOwned>(json: &Json) -> T {
    serde_json::from_value(json.clone()).expect("made for this field")
}

/// What a map has behind its keys.
fn entry_value(map: &FieldDescriptor) -> FieldDescriptor {
    let kind = map.kind();
    let entry = kind.as_message().expect("maps are lists of messages");
    entry.map_entry_value_field()
}

fn object(json: &Json) -> &Map<String, Json> {
    json.as_object().expect("a message")
}

fn protobuf_frame(commands: &[Json]) -> Vec<u8> {
    let command = descriptor("Command");
    let commands = commands.iter();
    commands
        .flat_map(|json| twin(&command, json).encode_length_delimited_to_vec())
        .collect()
}

fn json_frame(commands: &[Json]) -> String {
    let lines: Vec<_> = commands.iter().map(Json::to_string).collect();
    lines.join("\n")
}

/// Most commands want an answer.
fn any_frame() -> impl Strategy<Value = Vec<Json>> {
    let id = proptest::option::weighted(0.9, prop_oneof![1..100_u32, any::<u32>()]);
    let command = (any_message(&descriptor("Command"), DEPTH), id);
    let command = command.prop_map(|(mut command, id)| {
        if let Some(id) = id {
            command["id"] = id.into();
        }
        command
    });
    vec(command, 1..4)
}

fn decoded(frame: &[u8]) -> Vec<Result<Command, DecodeError>> {
    protobuf::Commands::of_frame(frame).collect()
}

proptest! {
    #[test]
    fn a_command_means_what_its_json_twin_means(commands in any_frame()) {
        let text = json_frame(&commands);
        let of_json: Vec<_> = json::Commands::of_frame(text.as_bytes()).collect();
        prop_assert_eq!(decoded(&protobuf_frame(&commands)), of_json);
    }

    /// Each command on its own, with the rest handed over as it is when one has to wait.
    #[test]
    fn decoding_can_stop_behind_any_command(commands in any_frame()) {
        let frame = protobuf_frame(&commands);
        let wire = Wire::WebSocket(Encoding::Protobuf);
        let mut piecewise = Vec::new();
        let mut rest = frame.clone();
        let mut next = wire.commands(&frame);
        while let Some(command) = next.next() {
            piecewise.push(command);
            rest = next.rest().to_vec();
            next = wire.remaining_commands(&rest);
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(piecewise, decoded(&frame));
    }

    #[test]
    fn damaged_frames_are_decoded_or_refused(
        commands in any_frame(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        kept in any::<prop::sample::Index>(),
    ) {
        let mut frame = protobuf_frame(&commands);
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame.truncate(kept.index(frame.len()) + 1);
        let decoded = decoded(&frame);
        // A command has at least its length, and behind an error there is nothing.
        prop_assert!((1..=frame.len()).contains(&decoded.len()));
        let (_, before) = decoded.split_last().unwrap();
        prop_assert!(before.iter().all(Result::is_ok));
    }

    #[test]
    fn garbage_is_decoded_or_refused(garbage in vec(any::<u8>(), 0..300)) {
        decoded(&garbage);
        let _ = protobuf::emulation_request(&garbage);
    }

    #[test]
    fn an_emulation_request_is_read_as_it_was_written(
        session in "\\PC{0,40}",
        node in "\\PC{0,40}",
        frame in vec(any::<u8>(), 0..200),
    ) {
        let mut request = DynamicMessage::new(descriptor("EmulationRequest"));
        request.set_field_by_name("session", Value::String(session.clone()));
        request.set_field_by_name("node", Value::String(node.clone()));
        request.set_field_by_name("data", Value::Bytes(frame.clone().into()));
        let read = Encoding::Protobuf.emulation_request(&request.encode_to_vec()).unwrap();
        prop_assert_eq!((read.session, read.node, read.data.to_vec()), (session, node, frame));
    }
}

#[test]
fn the_schema_reaches_every_request() {
    let command = descriptor("Command");
    assert_eq!(command.fields().count(), 13);
    let twin = twin(&command, &json!({"id": 1, "rpc": {"method": "m"}}));
    assert_eq!(twin.descriptor().name(), "Command");
    assert!(matches!(
        decoded(&twin.encode_length_delimited_to_vec())[..],
        [Ok(Command::Request { id: 1, .. })]
    ));
}
