//! What a client makes of payloads that may be deltas.

use campanile_protocol::delta;

/// Reads the payloads of one subscription as section 10 of the protocol wants clients to.
#[derive(Clone, Default, Debug)]
pub struct PayloadReader {
    last: Option<String>,
}

impl PayloadReader {
    /// The payload that a client takes `data`, the string of a delta subscription, to mean.
    ///
    /// # Panics
    /// It means nothing: it is a difference from something else than what came last.
    pub fn read(&mut self, data: &str, is_delta: bool) -> &str {
        let text = if is_delta {
            let last = self.last.as_deref().expect("a whole one comes first");
            let text = delta::apply(last.as_bytes(), data.as_bytes(), usize::MAX);
            let text = text.unwrap_or_else(|error| panic!("{error}: {data:?} after {last:?}"));
            String::from_utf8(text).expect("JSON is UTF-8")
        } else {
            data.to_owned()
        };
        self.last.insert(text)
    }
}
