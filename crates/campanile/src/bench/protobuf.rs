//! The little of the protocol's Protobuf encoding that a load generator needs: two commands out, and
//! a look at what comes in. Knows field numbers, no connection.

use super::scan::Counts;

/// Keys of fields with a length: eight times the number, plus 2.
const TEXT_1: u8 = 0x0a;
const ERROR: u8 = 0x12;
const PUSH: u8 = 0x22;
const PUSH_CHANNEL: u8 = 0x12;
const PUSH_PUBLICATION: u8 = 0x22;
const CONNECT: u8 = 0x22;
const CONNECT_NAME: u8 = 0x22;
const SUBSCRIBE: u8 = 0x2a;
/// Key of a field with a number: that of a message's id.
const ID: u8 = 0x08;

/// A connect command.
pub(super) fn connect(name: &str, token: Option<&str>, out: &mut Vec<u8>) {
    let mut request = Vec::new();
    if let Some(token) = token {
        field(TEXT_1, token.as_bytes(), &mut request);
    }
    field(CONNECT_NAME, name.as_bytes(), &mut request);
    command(1, CONNECT, &request, out);
}

/// A subscribe command.
pub(super) fn subscribe(channel: &str, out: &mut Vec<u8>) {
    let mut request = Vec::new();
    field(TEXT_1, channel.as_bytes(), &mut request);
    command(2, SUBSCRIBE, &request, out);
}

fn command(id: u8, key: u8, request: &[u8], out: &mut Vec<u8>) {
    let mut message = vec![ID, id];
    field(key, request, &mut message);
    varint(message.len(), out);
    out.extend_from_slice(&message);
}

fn field(key: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(key);
    varint(content.len(), out);
    out.extend_from_slice(content);
}

fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

/// What a frame of replies says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) counts: Counts,
    /// The last id that was answered.
    pub(super) answered: Option<u64>,
    pub(super) is_refusal: bool,
}

/// Looks through a frame; `None` when it is not one of this encoding.
pub(super) fn hear(mut frame: &[u8]) -> Option<Heard> {
    let mut heard = Heard::default();
    while !frame.is_empty() {
        let message = delimited(&mut frame)?;
        match message {
            [] => heard.counts.pings += 1,
            [PUSH, push @ ..] => {
                let mut push = push;
                let mut push = delimited(&mut push)?;
                if let [PUSH_CHANNEL, rest @ ..] = push {
                    push = rest;
                    delimited(&mut push)?;
                }
                heard.counts.publications += u32::from(push.first() == Some(&PUSH_PUBLICATION));
            }
            [ID, reply @ ..] => {
                let mut reply = reply;
                heard.answered = Some(number(&mut reply)?);
                heard.is_refusal |= reply.first() == Some(&ERROR);
            }
            _ => return None,
        }
    }
    Some(heard)
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_what_is_asked() {
        use campanile_protocol::codec::protobuf::Commands;
        use campanile_protocol::command::{Command, Request};
        let token = "t".repeat(300);
        let mut frame = Vec::new();
        connect("bench", Some(&token), &mut frame);
        subscribe("news", &mut frame);
        let mut requests = Commands::of_frame(&frame).map(|command| match command {
            Ok(Command::Request { id, request }) => (id, request),
            other => panic!("{other:?} is no request"),
        });
        let Some((1, Request::Connect(connect))) = requests.next() else {
            panic!("it connects first");
        };
        assert_eq!((connect.name.as_str(), connect.token), ("bench", token));
        let Some((2, Request::Subscribe(subscribe))) = requests.next() else {
            panic!("then it subscribes");
        };
        assert_eq!(subscribe.channel, "news");
        assert!(requests.next().is_none());
    }

    #[test]
    fn messages_joined_in_one_frame_are_counted_one_by_one() {
        // A publication, a ping, a push of a join, the answer to 300, and a publication.
        let frame = b"\x09\x22\x07\x12\x01c\x22\x02\x30\x01\0\x07\x22\x05\x12\x01c\x2a\0\
            \x05\x08\xac\x02\x32\0\x06\x22\x04\x22\x02\x30\x02";
        let heard = hear(frame).unwrap();
        let counts = Counts {
            publications: 2,
            pings: 1,
        };
        let answered = Some(300);
        assert_eq!(
            heard,
            Heard {
                counts,
                answered,
                is_refusal: false
            }
        );
        assert!(hear(b"\x06\x08\x01\x12\x02\x08\x66").unwrap().is_refusal);
        for frame in [&b"\x05"[..], b"{}", b"\x80"] {
            assert_eq!(hear(frame), None, "{frame:?}");
        }
    }
}
