//! Names that tell the time at which they were made.

use super::names::Looks;
use crate::record::Record;

const SECOND_MS: i64 = 1_000;
const DAY_MS: i64 = 86_400 * SECOND_MS;

/// When the runs of a record took place.
#[derive(Default)]
pub(super) struct Clock {
    /// Begin and end of each run, Unix time in milliseconds.
    pub(super) runs: Vec<(i64, i64)>,
}

impl Clock {
    pub(super) fn of(record: &Record) -> Self {
        let span = |begin: u64, length: u64| Some((i64::try_from(begin).ok()?, i64::try_from(length).ok()?));
        let spans = record.runs.values().filter_map(|run| span(run.started_ms, run.elapsed_ms));
        Self { runs: spans.map(|(begin, length)| (begin, begin.saturating_add(length))).collect() }
    }

    /// Whether `text`, a date or a number, is the day of a run, in any time zone, or a moment of it.
    pub(super) fn shows(&self, looks: Looks, text: &[u8]) -> bool {
        let told = match looks {
            Looks::Date => day(text).and_then(|day| Some((day.checked_mul(DAY_MS)?, DAY_MS))),
            // In seconds since 1970, or in thousandths, as they are written since 2001.
            Looks::Number if text.len() == 10 => number(text).map(|seconds| (seconds * SECOND_MS, SECOND_MS)),
            Looks::Number if text.len() == 13 => number(text).map(|moment| (moment, 1)),
            _ => None,
        };
        let slack = if looks == Looks::Date { DAY_MS } else { SECOND_MS };
        told.is_some_and(|(begin, length)| {
            self.runs.iter().any(|(from, to)| begin <= to + slack && begin + length >= from - slack)
        })
    }
}

/// The days from 1970 to a date, `2026-11-24` or `20261124`, in the calendar of today.
fn day(text: &[u8]) -> Option<i64> {
    let digits = text.iter().copied().filter(u8::is_ascii_digit).collect::<Vec<_>>();
    let (year, month, day) = (number(digits.get(..4)?)?, number(digits.get(4..6)?)?, number(digits.get(6..8)?)?);
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        for (date, expected) in [
            ("1970-01-01", 0),
            ("1970-03-01", 59),
            ("20000229", 11_016),
            ("2000-03-01", 11_017),
            ("2026-11-24", 20_781),
        ] {
            assert_eq!(day(date.as_bytes()), Some(expected), "{date}");
        }
    }

    #[test]
    fn a_run_shows_its_day_and_its_moments() {
        let begin = 20_781 * DAY_MS + 5 * SECOND_MS;
        let clock = Clock { runs: vec![(begin, begin + 10 * SECOND_MS)] };
        for (looks, text, shown) in [
            (Looks::Date, "2026-11-24", true),
            (Looks::Date, "20261123", true),
            (Looks::Date, "2026-11-21", false),
            (Looks::Date, "2026-11-27", false),
            (Looks::Number, "1795478407", true),
            (Looks::Number, "1795478407123", true),
            (Looks::Number, "1795478500", false),
            (Looks::Number, "1795478407123456", false),
            (Looks::Number, "20781", false),
        ] {
            assert_eq!(clock.shows(looks, text.as_bytes()), shown, "{text}");
        }
        assert!(!Clock::default().shows(Looks::Date, b"2026-11-24"));
    }
}
