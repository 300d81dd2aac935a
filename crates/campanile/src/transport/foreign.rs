//! Upgrades that are not ours: an embedding application's own WebSocket routes.
//!
//! actix takes such a request away from its `App` as soon as there is an upgrade service. To give
//! it back, the request's head is written out again in front of the connection, which then goes
//! through a second HTTP service that has no upgrade service: to the handler it looks as if nothing
//! had happened.

use actix_http::Request;
use bytes::{BufMut as _, Bytes, BytesMut};

/// The bytes of a request's head, and of what was read behind it.
pub(super) fn rewind(request: &Request, read: &[u8]) -> Bytes {
    let head = request.head();
    let mut bytes = BytesMut::with_capacity(512 + read.len());
    bytes.put_slice(head.method.as_str().as_bytes());
    bytes.put_u8(b' ');
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    bytes.put_slice(target.as_bytes());
    bytes.put_slice(b" HTTP/1.1\r\n");
    for (name, value) in head.headers() {
        bytes.put_slice(name.as_str().as_bytes());
        bytes.put_slice(b": ");
        bytes.put_slice(value.as_bytes());
        bytes.put_slice(b"\r\n");
    }
    bytes.put_slice(b"\r\n");
    bytes.put_slice(read);
    bytes.freeze()
}
