//! Expressions read by words alone, for those who test by them: crontab(5) in its plainest form.

/// Whether a field holds a number: a list of numbers, ranges and `*`, each perhaps with a step.
pub fn holds(field: &str, least: i16, at: i16) -> bool {
    field.split(',').any(|item| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let number = |text: &str| text.parse::<i16>().expect("a number");
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from), number(to)),
            None if range == "*" => (least, i16::MAX),
            None => (number(range), number(range)),
        };
        (from..=to).contains(&at) && (at - from) % number(step) == 0
    })
}

/// Whether an expression of five fields means a minute of the wall clock.
pub fn means(fields: &[&str; 5], wall: jiff::civil::DateTime) -> bool {
    let [minute, hour, day, month, weekday] = fields;
    let sunday_0 = i16::from(wall.weekday().to_sunday_zero_offset());
    let of_month = holds(day, 1, i16::from(wall.day()));
    let of_week = holds(weekday, 0, sunday_0) || sunday_0 == 0 && holds(weekday, 0, 7);
    let either = !day.starts_with('*') && !weekday.starts_with('*');
    holds(minute, 0, i16::from(wall.minute()))
        && holds(hour, 0, i16::from(wall.hour()))
        && holds(month, 1, i16::from(wall.month()))
        && if either { of_month || of_week } else { of_month && of_week }
}
