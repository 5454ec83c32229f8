//! Times and durations as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// In which zone times are shown.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    zone: TimeZone,
    name: String,
}

impl Zone {
    /// The zone of this name: `local`, `utc`, or one of the system's database.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let zone = match name.to_ascii_lowercase().as_str() {
            "local" => TimeZone::system(),
            "utc" => TimeZone::UTC,
            _ => TimeZone::get(name).map_err(|_| {
                format!("there is no time zone {name:?}: say \"local\", \"utc\", or a name like \"Europe/Helsinki\"")
            })?,
        };
        Ok(Self { zone, name: name.to_owned() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// With milliseconds and without the date.
    pub(crate) fn clock(&self, wall_ms: i64) -> String {
        self.show(wall_ms, "%H:%M:%S%.3f")
    }

    /// In full, with the offset.
    pub(crate) fn full(&self, wall_ms: i64) -> String {
        self.show(wall_ms, "%Y-%m-%d %H:%M:%S%.3f %Z")
    }

    /// As it is used in names of files.
    pub(crate) fn stamp(&self, wall_ms: i64) -> String {
        self.show(wall_ms, "%Y%m%d-%H%M%S")
    }

    fn show(&self, wall_ms: i64, format: &str) -> String {
        Timestamp::from_millisecond(wall_ms).map_or_else(
            |_| "unknown".to_owned(),
            |at| at.to_zoned(self.zone.clone()).strftime(format).to_string(),
        )
    }
}

/// Milliseconds since 1970 of an RFC 3339 time, whatever its offset.
pub(crate) fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// A duration with its two greatest units.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=9 => format!("{seconds}.{} s", ms % 1000 / 100),
        10..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {:02} m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// From one time to another, if they are in this order.
pub(crate) fn between(from_ms: i64, to_ms: i64) -> Option<u64> {
    u64::try_from(to_ms.checked_sub(from_ms)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units() {
        let shown = [0, 999, 1500, 12_345, 61_000, 3_661_000, 90_000_000].map(duration);
        assert_eq!(shown, ["0 ms", "999 ms", "1.5 s", "12 s", "1 m 01 s", "1 h 01 m", "1 d 01 h"]);
    }

    #[test]
    fn a_time_is_shown_in_the_chosen_zone() {
        let at = parse("2026-11-22T23:59:59.123Z").unwrap();
        assert_eq!(Zone::named("utc").unwrap().full(at), "2026-11-22 23:59:59.123 UTC");
        assert_eq!(Zone::named("UTC").unwrap().clock(at), "23:59:59.123");
        assert!(Zone::named("Atlantis/Centre").unwrap_err().contains("Atlantis/Centre"));
        assert_eq!(parse("yesterday"), None);
        assert_eq!(Zone::named("utc").unwrap().clock(i64::MAX), "unknown");
    }
}
