//! Times and sizes for people.

use std::time::{Duration, SystemTime};

use actix_web::http::header::HttpDate;
use campanile_engine::store::LogTime;

/// The end of the year 9999, in milliseconds: whoever writes dates gives up there.
const TIME_MAX: LogTime = 253_402_300_799_999;

/// A time of the log, in UTC.
pub(super) fn time(millis: LogTime) -> String {
    let since = Duration::from_millis(millis.min(TIME_MAX));
    let date = HttpDate::from(SystemTime::UNIX_EPOCH + since).to_string();
    // Without the day of the week: it is as long as what it says is short.
    date.split_once(", ")
        .map_or(date.clone(), |(_, rest)| rest.to_owned())
}

/// A number of bytes.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut unit, mut tenths) = (None, bytes.saturating_mul(10));
    for name in UNITS {
        if tenths < 10 * 1024 {
            break;
        }
        tenths /= 1024;
        unit = Some(name);
    }
    match unit {
        None => format!("{bytes} B"),
        Some(unit) => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// One or many.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_told_in_words() {
        assert_eq!(time(1_500_000_000_999), "14 Jul 2017 02:40:00 GMT");
        assert_eq!(time(LogTime::MAX), "31 Dec 9999 23:59:59 GMT");
        let sizes = [0, 1023, 1024, 1536, 16 << 20, 5 << 40];
        let words = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "16.0 MiB", "5.0 TiB"];
        assert_eq!(sizes.map(bytes), words);
    }
}
