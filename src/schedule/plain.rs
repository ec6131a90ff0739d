//! Cron expressions in the words of other schedulers, where these can say exactly the same.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// The days of the week as systemd calls them and orders them.
const SYSTEMD_WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A cron expression of numbers, names, ranges, lists and steps, which every scheduler knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    values: BTreeSet<u32>,
    range: RangeInclusive<u32>,
    /// As it was written.
    text: String,
}

impl Plain {
    /// Reads an expression; none that says more, such as `L` for the last day of a month.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return None;
        };
        let mut weekdays = Field::read(weekdays, 0..=7, &WEEKDAYS, 0)?;
        // Both 0 and 7 are Sunday, which is the last for systemd.
        if weekdays.values.remove(&0) {
            weekdays.values.insert(7);
        }
        weekdays.range = 1..=7;
        Some(Self {
            minutes: Field::read(minutes, 0..=59, &[], 0)?,
            hours: Field::read(hours, 0..=23, &[], 0)?,
            days: Field::read(days, 1..=31, &[], 1)?,
            months: Field::read(months, 1..=12, &MONTHS, 1)?,
            weekdays,
        })
    }

    /// What systemd's timers say for it: one expression, or two that count together (systemd.time(7)).
    ///
    /// Where both a day of the month and a day of the week are given, cron means either, and systemd both.
    #[must_use]
    pub fn on_calendar(&self, zone: &str) -> Vec<String> {
        let [days, months] = [&self.days, &self.months].map(Field::padded);
        let [hours, minutes] = [&self.hours, &self.minutes].map(Field::padded);
        let rest = format!("{hours}:{minutes}:00 {zone}");
        let weekdays = self.weekdays.named();
        if self.names_both_days() {
            return vec![
                format!("*-{months}-{days} {rest}"),
                format!("{weekdays} *-{months}-* {rest}"),
            ];
        }
        let weekdays = match self.weekdays.text.as_str() {
            "*" => String::new(),
            _ => format!("{weekdays} "),
        };
        vec![format!("{weekdays}*-{months}-{days} {rest}")]
    }

    /// Whether Kubernetes and the usual crons read it as we do.
    ///
    /// A day that begins with a star, such as `*/2`, is no restriction for them when it meets a day of the week; for us it is one.
    #[must_use]
    pub fn is_common(&self) -> bool {
        let has_star = |field: &Field| field.text.contains('*');
        !self.names_both_days() || !has_star(&self.days) && !has_star(&self.weekdays)
    }

    fn names_both_days(&self) -> bool {
        self.days.text != "*" && self.weekdays.text != "*"
    }
}

impl Field {
    /// `names` stand for the numbers from `first` on.
    fn read(text: &str, range: RangeInclusive<u32>, names: &[&str], first: u32) -> Option<Self> {
        let number = |word: &str| {
            let named = names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(word));
            let number = match named {
                Some(index) => first + u32::try_from(index).ok()?,
                None if word.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().ok()?,
                None => return None,
            };
            range.contains(&number).then_some(number)
        };
        let mut values = BTreeSet::new();
        for item in text.split(',') {
            let (span, step) = match item.split_once('/') {
                Some((span, step)) => (span, Some(step.parse::<usize>().ok()?)),
                None => (item, None),
            };
            let (from, to) = match span.split_once('-') {
                _ if span == "*" => (*range.start(), *range.end()),
                Some((from, to)) => (number(from)?, number(to)?),
                // `5/10` means something else to each.
                None if step.is_some() => return None,
                None => (number(span)?, number(span)?),
            };
            if from > to || step == Some(0) {
                return None;
            }
            values.extend((from..=to).step_by(step.unwrap_or(1)));
        }
        Some(Self {
            values,
            range,
            text: text.to_owned(),
        })
    }

    /// As systemd takes numbers: `*`, `00/15`, `01,03..05`.
    fn padded(&self) -> String {
        if self.values.len() == self.range.clone().count() {
            return "*".to_owned();
        }
        if let Some((first, step)) = self.steps() {
            return format!("{first:02}/{step}");
        }
        self.listed(|value| format!("{value:02}"))
    }

    /// As systemd takes days of the week: `Mon..Fri`.
    fn named(&self) -> String {
        self.listed(|value| SYSTEMD_WEEKDAYS[value as usize - 1].to_owned())
    }

    /// Beginning and step, if the values go on by one step to the end of the range.
    fn steps(&self) -> Option<(u32, u32)> {
        let values: Vec<u32> = self.values.iter().copied().collect();
        let (first, step) = (values[0], values.get(1)? - values[0]);
        let goes_on = values.windows(2).all(|pair| pair[1] - pair[0] == step);
        let ends = values[values.len() - 1] + step > *self.range.end();
        (step > 1 && values.len() > 2 && goes_on && ends).then_some((first, step))
    }

    fn listed(&self, say: impl Fn(u32) -> String) -> String {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for value in &self.values {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == *value => *last = *value,
                _ => runs.push((*value, *value)),
            }
        }
        let words: Vec<String> = runs
            .into_iter()
            .map(|(first, last)| match first == last {
                true => say(first),
                false => format!("{}..{}", say(first), say(last)),
            })
            .collect();
        words.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_can_say_is_said_as_it_would() {
        for (cron, lines) in [
            ("*/30 * * * *", &["*-*-* *:00,30:00 UTC"][..]),
            ("*/15 * * * *", &["*-*-* *:00/15:00 UTC"]),
            ("10 3 * * *", &["*-*-* 03:10:00 UTC"]),
            ("30 3 * * 0", &["Sun *-*-* 03:30:00 UTC"]),
            ("30 3 * * 7", &["Sun *-*-* 03:30:00 UTC"]),
            (
                "0 8-18/2 1,15 * *",
                &["*-*-01,15 08,10,12,14,16,18:00:00 UTC"],
            ),
            (
                "0 6 * JAN-mar mon-FRI",
                &["Mon..Fri *-01..03-* 06:00:00 UTC"],
            ),
            ("0 0 * * 0-6", &["Mon..Sun *-*-* 00:00:00 UTC"]),
            (
                "0 0 13 * 5",
                &["*-*-13 00:00:00 UTC", "Fri *-*-* 00:00:00 UTC"],
            ),
        ] {
            assert_eq!(
                Plain::read(cron).unwrap().on_calendar("UTC"),
                lines,
                "{cron}"
            );
        }
    }

    #[test]
    fn what_not_everybody_understands_is_not_plain() {
        for cron in [
            "0 3 L * *",
            "0 3 15W * *",
            "0 3 * * 5#2",
            "0 3 ? * *",
            "5/10 * * * *",
            "@daily",
            "60 * * * *",
            "",
            "0 0 9-3 * *",
            "*/0 * * * *",
            "* * * * * *",
            "0 0 * * +5",
            "0 0 * FOO *",
            "-1 * * * *",
            ", * * * *",
        ] {
            assert_eq!(Plain::read(cron), None, "{cron}");
        }
        assert!(Plain::read("0 0 13 * 5").unwrap().is_common());
        assert!(!Plain::read("0 0 */2 * 5").unwrap().is_common());
        assert!(Plain::read("0 0 */2 * *").unwrap().is_common());
    }
}
