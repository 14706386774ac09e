//! Cron schedules of five fields (POSIX crontab, as Kubernetes CronJobs use them), in UTC.

/// A schedule: which minutes it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Day of month and day of week both restrict: then either is enough.
    either_day: bool,
}

/// A text is no schedule.
#[derive(Debug, thiserror::Error)]
#[error("schedule `{text}`: {why}")]
pub(crate) struct ScheduleError {
    text: String,
    why: String,
}

impl Schedule {
    /// Reads `minute hour day month weekday`, with `*`, lists, ranges, steps and English names,
    /// or one of the words `@hourly` and so on.
    pub(crate) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let wrong = |why: String| ScheduleError { text: text.to_owned(), why };
        let plain = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = plain.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(wrong(format!("{} fields instead of 5", fields.len())));
        };
        let read = |field: &str, low, high, names: &[&str]| {
            field_bits(field, low, high, names).map_err(wrong)
        };
        let weekday_bits = read(weekdays, 0, 7, WEEKDAYS)?;
        Ok(Self {
            minutes: read(minutes, 0, 59, &[])?,
            hours: read(hours, 0, 23, &[])?,
            days: read(days, 1, 31, &[])?,
            months: read(months, 1, 12, MONTHS)?,
            // 7 is Sunday too.
            weekdays: weekday_bits | (weekday_bits >> 7 & 1),
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        })
    }

    /// Whether the schedule hits the minute that begins `minutes` after the Unix epoch.
    pub(crate) fn hits(&self, minutes: u64) -> bool {
        let days = minutes / (24 * 60);
        let (month, day) = month_and_day(days);
        // 1 January 1970 was a Thursday.
        let weekday = (days + 4) % 7;
        let has = |bits: u64, value: u64| bits >> value & 1 == 1;
        let (on_day, on_weekday) = (has(self.days, day), has(self.weekdays, weekday));
        let day_hit = if self.either_day { on_day || on_weekday } else { on_day && on_weekday };
        has(self.minutes, minutes % 60)
            && has(self.hours, minutes / 60 % 24)
            && has(self.months, month)
            && day_hit
    }
}

const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// The first name stands for 0, which no month has.
const MONTHS: &[&str] =
    &["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

fn field_bits(field: &str, low: u64, high: u64, names: &[&str]) -> Result<u64, String> {
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().map_err(|_not_a_number| format!("step `{step}`"))?;
        if step == 0 {
            return Err("step 0".to_owned());
        }
        let value = |text: &str| field_value(text, low, high, names);
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (value(from)?, value(to)?),
            None if part.contains('/') => (value(range)?, high),
            None => (value(range)?, value(range)?),
        };
        if from > to {
            return Err(format!("range `{range}` is empty"));
        }
        bits |= (from..=to).step_by(step).fold(0, |bits, value| bits | 1_u64 << value);
    }
    Ok(bits)
}

fn field_value(text: &str, low: u64, high: u64, names: &[&str]) -> Result<u64, String> {
    let upper = text.to_ascii_uppercase();
    let named = names.iter().position(|name| !name.is_empty() && *name == upper);
    let value = named
        .and_then(|index| u64::try_from(index).ok())
        .or_else(|| text.parse().ok())
        .ok_or_else(|| format!("`{text}` is no number"))?;
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(format!("`{text}` is not in {low}-{high}"))
    }
}

/// Month and day of the day `days` after 1 January 1970 (Hinnant, "chrono-compatible low-level
/// date algorithms", civil_from_days).
fn month_and_day(days: u64) -> (u64, u64) {
    let shifted = days + 719_468;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes since the epoch of a time given as seconds since the epoch.
    fn hits(schedule: &str, seconds: u64) -> bool {
        Schedule::parse(schedule).unwrap().hits(seconds / 60)
    }

    #[test]
    fn schedules_hit_their_minutes_and_no_others() {
        // 2026-11-23T01:31:14Z, a Monday.
        let monday = 1_795_397_474;
        assert!(hits("* * * * *", monday));
        assert!(hits("31 1 23 11 *", monday) && !hits("30 1 23 11 *", monday));
        assert!(hits("*/31 * * * MON", monday) && !hits("*/30 * * * MON", monday));
        assert!(hits("1-40/10 * * NOV 1-5", monday) && !hits("* * * * SAT,7", monday));
        // 2024-02-29T00:00:00Z, a Thursday; either day field is enough when both restrict.
        let leap = 1_709_164_800;
        assert!(hits("0 0 29 2 *", leap) && hits("0 0 1 * 4", leap) && hits("@daily", leap));
        assert!(!hits("0 0 1 * 5", leap));
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for text in ["", "* * * *", "60 * * * *", "* * * * MOON", "*/0 * * * *", "5-1 * * * *"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
