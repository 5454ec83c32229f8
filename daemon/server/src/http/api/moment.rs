//! Points in time as people and command lines write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::rfc2822::DateTimeParser;
use jiff::tz::TimeZone;

use crate::clock::wall_ms;

/// As in mails and in HTTP. The day of the week says nothing that the date does not.
static MAIL: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// Milliseconds since 1970. A time without an offset is UTC, one without a date today's, and a day begins at midnight.
pub(super) fn moment(text: &str) -> Option<i64> {
    let now = Timestamp::from_millisecond(wall_ms()).ok()?;
    moment_on(text, TimeZone::UTC.to_datetime(now).date())
}

fn moment_on(text: &str, today: Date) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = MAIL.parse_timestamp(text) {
        return Some(at.as_millisecond());
    }
    let text = ["UTC", "GMT"].into_iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text);
    let text = joined(&dated(text.trim_end(), today));
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    let naive = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(|day| day.at(0, 0, 0, 0)));
    Some(TimeZone::UTC.to_timestamp(naive.ok()?).ok()?.as_millisecond())
}

/// With a date before a time of day.
fn dated(text: &str, today: Date) -> String {
    match text.split_once(':') {
        Some((hour, rest)) if matches!(hour.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'9', b'0'..=b'9']) => {
            format!("{today} {hour:0>2}:{rest}")
        }
        _ => text.to_owned(),
    }
}

/// Without the space before an offset.
fn joined(text: &str) -> String {
    match text.rsplit_once(char::is_whitespace) {
        Some((time, offset)) if offset.starts_with(['+', '-']) => format!("{}{offset}", time.trim_end()),
        _ => text.to_owned(),
    }
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
            "2018-01-31 14:00:00 +0200",
            "2018-01-31 14:00:00 +02:00",
            "2018-01-31 09:30 -0230",
            "2018-01-31 12:00:00 GMT",
            "Wed, 31 Jan 2018 12:00:00 GMT",
            "Wed, 31 Jan 2018 14:00:00 +0200",
            "Mon, 31 Jan 2018 12:00 UTC",
            "31 Jan 2018 12:00:00 +0000",
        ] {
            assert_eq!(moment(text), Some(noon), "{text}");
        }
        assert_eq!(moment("2018-01-31"), Some(noon - 12 * 3_600_000));
        for text in
            ["", "yesterday", "2018-13-31T12:00:00Z", "2018-01-31 12:00 +", "Wed, 32 Jan 2018 12:00 GMT"]
        {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_one_of_today() {
        let (noon, today) = (1_517_400_000_000, jiff::civil::date(2018, 1, 31));
        for text in ["12:00", "12:00:00", " 12:00:00.000 UTC", "12:00Z", "14:00 +0200", "9:30 -02:30"] {
            assert_eq!(moment_on(text, today), Some(noon), "{text}");
        }
        for text in ["12", "24:00", "12:60", "12:", ":30", "112:00", "noon:00"] {
            assert_eq!(moment_on(text, today), None, "{text}");
        }
        assert!(moment("0:00").is_some_and(|midnight| midnight % 86_400_000 == 0 && midnight <= wall_ms()));
    }
}
