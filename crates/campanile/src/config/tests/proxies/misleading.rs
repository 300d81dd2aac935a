//! What looks as if it did something and would not, or would only show when the server starts.

use super::super::warnings;
use super::connect;

#[test]
fn https_is_https_in_capitals_too() {
    let tls = "[client.proxy.connect.http.tls]\nenabled = true";
    let text = connect(tls).replace("https:", "HTTPS:");
    assert!(warnings(&text).is_empty(), "{:?}", warnings(&text));
}
