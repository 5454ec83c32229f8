//! Points in time as people and command lines write them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Milliseconds since 1970. A time without an offset is UTC, a day begins at midnight.
pub(super) fn moment(text: &str) -> Option<i64> {
    let text = text.trim();
    let text = text.strip_suffix("UTC").unwrap_or(text).trim_end();
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    let naive = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(|day| day.at(0, 0, 0, 0)));
    Some(TimeZone::UTC.to_timestamp(naive.ok()?).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_an_offset_are_understood() {
        let noon = 1_517_400_000_000;
        for text in [
            "2018-01-31T12:00:00Z",
            "2018-01-31T12:00:00.000Z",
            "2018-01-31T12:00:00",
            "2018-01-31 12:00:00",
            " 2018-01-31 12:00:00 UTC ",
            "2018-01-31T14:00:00+02:00",
            "2018-01-31 14:00:00+0200",
        ] {
            assert_eq!(moment(text), Some(noon), "{text}");
        }
        assert_eq!(moment("2018-01-31"), Some(noon - 12 * 3_600_000));
        for text in ["", "yesterday", "2018-13-31T12:00:00Z", "12:00"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
