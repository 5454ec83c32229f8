//! The name of a deploy for the agents, who compare such names as texts: a later one must be greater, whichever
//! master gave it and whatever its clock says.

use std::fmt;

/// `2026-11-22 18:24:40.123 UTC`, as text. The original left the fraction out; with one it still comes after the same
/// second without.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(String);

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The year 2000 and 9999: within these all have the same number of digits.
const EARLIEST: i64 = 946_684_800_000;
const LATEST: i64 = 253_402_300_799_999;

impl Revision {
    /// What is stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// A revision at this time, in milliseconds since 1970; later if that is needed to come after all of `others`.
    #[must_use]
    pub fn after<'a>(now: i64, others: impl IntoIterator<Item = &'a str>) -> Self {
        let last = others.into_iter().max();
        let mut at = now.clamp(EARLIEST, LATEST);
        if let Some(last) = last
            && format(at).as_str() <= last
        {
            at = parse(last).unwrap_or(at).saturating_add(1).clamp(EARLIEST, LATEST);
        }
        Self(format(at))
    }

    /// As agents get it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn format(millis: i64) -> String {
    let (days, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE / 1000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03} UTC", rest % 1000)
}

fn parse(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let fraction = if text.get(19..20) == Some(".") { number(20, 23)? } else { 0 };
    let time = number(11, 13)? * HOUR + number(14, 16)? * MINUTE + number(17, 19)? * 1000 + fraction;
    // Without a fraction it stands for a whole second.
    Some(days * DAY + time)
}

/// The date of a day, counted from 1970, in the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Years that begin in March put the leap day last; 400 of them have 146,097 days.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_revision_is_the_time_in_words_that_sort() {
        assert_eq!(Revision::after(1_795_371_880_123, []).as_str(), "2026-11-22 18:24:40.123 UTC");
        assert_eq!(Revision::after(951_782_400_000, []).as_str(), "2000-02-29 00:00:00.000 UTC");
        let same_second = ["2026-11-22 18:24:40 UTC"];
        assert_eq!(Revision::after(1_795_371_880_000, same_second).as_str(), "2026-11-22 18:24:40.000 UTC");
        // A clock behind, an original's future, and the same millisecond.
        let future = ["2027-01-01 00:00:00 UTC", "2026-11-22 18:24:40 UTC"];
        assert_eq!(Revision::after(0, future).as_str(), "2027-01-01 00:00:00.001 UTC");
        let fraction = ["2026-12-31 23:59:59.999 UTC"];
        assert_eq!(Revision::after(0, fraction).as_str(), "2027-01-01 00:00:00.000 UTC");
    }

    proptest! {
        #[test]
        fn each_is_greater_than_all_before(times in prop::collection::vec(EARLIEST..4_102_444_800_000_i64, 1..20)) {
            let mut before: Vec<String> = Vec::new();
            for time in times {
                let next = Revision::after(time, before.iter().map(String::as_str));
                prop_assert!(before.iter().all(|last| last.as_str() < next.as_str()));
                prop_assert_eq!(parse(next.as_str()).map(format), Some(next.as_str().to_owned()));
                before.push(next.as_str().to_owned());
            }
        }
    }
}
