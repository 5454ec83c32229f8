//! What a series of samples says: its slope, and whether it grows where it must not. Values in, values out.

/// What was measured again and again: hours since the beginning, and the value then.
pub(super) type Points = Vec<(f64, f64)>;

/// What a series may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// It may rise by so much an hour. Judged once it was watched for `watched` hours, and broken only if it rose by
    /// more than `rise` in all, so that noise is none.
    Slope { per_hour: f64, rise: f64, watched: f64 },
    /// No value may be above.
    AtMost(f64),
    /// It is told and not judged, for this reason.
    Told(&'static str),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Kept,
    Broken,
    /// It was watched for too short a time to mean anything.
    TooShort,
    NotJudged(&'static str),
}

/// A series after its warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// The first value, the last, and the highest.
    pub(super) first: f64,
    pub(super) last: f64,
    pub(super) max: f64,
    /// By least squares.
    pub(super) per_hour: f64,
    pub(super) verdict: Verdict,
}

/// How much of a run is left out: the first half hour, in short runs a fifth.
pub(super) fn warm_up(hours: f64) -> f64 {
    if hours >= 1.0 { 0.5 } else { hours / 5.0 }
}

/// Judges what came after the warm-up; nothing, if that is less than two values.
pub(super) fn judge(points: &[(f64, f64)], warm_up: f64, bound: Bound) -> Option<Found> {
    let points: Points = points.iter().copied().filter(|(hours, _)| *hours >= warm_up).collect();
    let (&(begin, first), &(end, last)) = (points.first()?, points.last()?);
    let per_hour = slope(&points)?;
    let max = points.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
    let span = end - begin;
    let verdict = match bound {
        Bound::Slope { watched, .. } if span < watched => Verdict::TooShort,
        Bound::Slope { per_hour: most, rise, .. } if per_hour > most && per_hour * span > rise => {
            Verdict::Broken
        }
        Bound::AtMost(most) if max > most => Verdict::Broken,
        Bound::Slope { .. } | Bound::AtMost(_) => Verdict::Kept,
        Bound::Told(why) => Verdict::NotJudged(why),
    };
    Some(Found { first, last, max, per_hour, verdict })
}

/// The slope of the line that fits best; none of values that were all taken at once.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = f64::from(u32::try_from(points.len()).ok()?);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let (mut covered, mut squared) = (0.0, 0.0);
    for (x, y) in points {
        covered += (x - mean_x) * (y - mean_y);
        squared += (x - mean_x).powi(2);
    }
    (squared > 0.0).then(|| covered / squared)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Bound = Bound::Slope { per_hour: 1.0, rise: 1.0, watched: 1.0 };

    /// A value a minute for so many hours.
    fn line(hours: u32, value: impl Fn(f64) -> f64) -> Points {
        (0..=hours * 60).map(|minute| f64::from(minute) / 60.0).map(|at| (at, value(at))).collect()
    }

    fn verdict(points: &[(f64, f64)], warm_up: f64, bound: Bound) -> Option<Verdict> {
        judge(points, warm_up, bound).map(|found| found.verdict)
    }

    #[test]
    fn a_slope_is_that_of_the_line_whatever_the_noise() {
        let noisy = line(4, |at| 30.0 + 2.0 * at + if (at * 60.0) % 2.0 < 1.0 { 3.0 } else { -3.0 });
        let found = judge(&noisy, 0.0, MEMORY).map_or(f64::NAN, |found| found.per_hour);
        assert!((found - 2.0).abs() < 0.05, "{found}");
        assert_eq!(slope(&[(1.0, 5.0), (1.0, 6.0)]), None);
        assert_eq!(slope(&[]), None);
    }

    #[test]
    fn what_grows_is_found_and_what_is_steady_is_not() {
        assert_eq!(verdict(&line(4, |at| 30.0 + 1.2 * at), 0.5, MEMORY), Some(Verdict::Broken));
        assert_eq!(verdict(&line(4, |at| 30.0 + 0.5 * at), 0.5, MEMORY), Some(Verdict::Kept));
        assert_eq!(verdict(&line(4, |at| 30.0 - 5.0 * at), 0.5, MEMORY), Some(Verdict::Kept));
    }

    #[test]
    fn what_grows_while_it_warms_up_is_left_out() {
        let warming = |at: f64| if at < 0.5 { 30.0 + 40.0 * at } else { 50.0 };
        assert_eq!(verdict(&line(4, warming), 0.5, MEMORY), Some(Verdict::Kept));
        assert_eq!(verdict(&line(4, warming), 0.0, MEMORY), Some(Verdict::Broken));
        assert!((warm_up(4.0) - 0.5).abs() < f64::EPSILON && (warm_up(0.5) - 0.1).abs() < f64::EPSILON);
    }

    #[test]
    fn a_short_look_proves_no_slope_and_a_small_rise_is_noise() {
        let steep = [(0.0, 30.0), (0.2, 33.0)];
        assert_eq!(verdict(&steep, 0.0, MEMORY), Some(Verdict::TooShort));
        let descriptors = Bound::Slope { per_hour: 2.0, rise: 20.0, watched: 0.05 };
        assert_eq!(verdict(&steep, 0.0, descriptors), Some(Verdict::Kept));
        assert_eq!(verdict(&[(0.0, 30.0), (0.2, 60.0)], 0.0, descriptors), Some(Verdict::Broken));
    }

    #[test]
    fn a_bound_is_broken_by_one_value_above_it() {
        let once = line(1, |at| if (at - 0.5).abs() < 0.001 { 101.0 } else { 3.0 });
        assert_eq!(verdict(&once, 0.0, Bound::AtMost(100.0)), Some(Verdict::Broken));
        assert_eq!(verdict(&once, 0.0, Bound::AtMost(101.0)), Some(Verdict::Kept));
        assert_eq!(verdict(&once, 0.0, Bound::Told("why")), Some(Verdict::NotJudged("why")));
    }
}
