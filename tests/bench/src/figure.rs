//! What a benchmark gives back, and the table that all of it makes.

/// What a benchmark gives back.
#[derive(Debug, Default)]
pub struct Measured {
    /// The lines of the table.
    pub rows: Vec<Row>,
    /// What else was seen: how it came about, what limits it.
    pub notes: Vec<String>,
}

impl Measured {
    /// Adds a line to the table.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds something that was seen.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

/// One figure.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    unit: &'static str,
    reached: f64,
    at_least: f64,
    aim: f64,
    more_is_better: bool,
}

impl Row {
    /// A figure that is to be small.
    pub fn small(
        what: impl Into<String>,
        unit: &'static str,
        reached: f64,
        at_least: f64,
        aim: f64,
    ) -> Self {
        Self { what: what.into(), unit, reached, at_least, aim, more_is_better: false }
    }

    /// A figure that is to be large.
    pub fn large(
        what: impl Into<String>,
        unit: &'static str,
        reached: f64,
        at_least: f64,
        aim: f64,
    ) -> Self {
        Self { more_is_better: true, ..Self::small(what, unit, reached, at_least, aim) }
    }

    fn stands(&self, bound: f64) -> bool {
        if self.more_is_better { self.reached >= bound } else { self.reached <= bound }
    }

    /// How the figure stands to what is asked of it.
    fn standing(&self) -> &'static str {
        match (self.stands(self.aim), self.stands(self.at_least)) {
            (true, _) => "aim reached",
            (false, true) => "bound reached",
            (false, false) => "below the bound",
        }
    }
}

/// The table, as people and Markdown read it.
pub fn table(rows: &[Row]) -> String {
    let heads = ["figure", "reached", "at least", "aim for", ""];
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let with_unit = |value| format!("{} {}", number(value), row.unit).trim_end().to_owned();
        let bounds = [row.reached, row.at_least, row.aim].map(with_unit);
        let [reached, at_least, aim] = bounds;
        [row.what.clone(), reached, at_least, aim, row.standing().to_owned()]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..heads.len()).map(|column| width(column).unwrap_or(0)).collect();
    let cell = |(text, width): (&String, &usize)| format!(" {text:<width$} ");
    let print = |line: &[String; 5]| {
        let cells: Vec<String> = line.iter().zip(&widths).map(cell).collect();
        format!("|{}|\n", cells.join("|"))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let mut text = print(&lines[0]);
    text.push_str(&format!("|{}|\n", rule.join("|")));
    text.extend(lines[1..].iter().map(print));
    text
}

/// A number as precise as it is worth, with thousands apart.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    let digits = match magnitude {
        _ if value == 0.0 => 0,
        0.0..0.1 => 3,
        0.1..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.trim_start_matches('-');
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let sign = if whole.starts_with('-') { "-" } else { "" };
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

/// The middle one of some values, as is usual of two the larger; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this share of all values lies below.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(last)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let read = |value| number(value);
        assert_eq!(
            [read(0.0), read(1_234_567.8), read(0.5), read(20.0)],
            ["0", "1,234,568", "0.5", "20"]
        );
        assert_eq!(
            [read(3.999), read(12.34), read(-4_096.0), read(0.0123)],
            ["4", "12.3", "-4,096", "0.012"]
        );
    }

    #[test]
    fn a_figure_says_how_it_stands() {
        let standing = |reached| Row::small("x", "s", reached, 5.0, 1.0).standing();
        assert_eq!(standing(1.0), "aim reached");
        assert_eq!(standing(4.0), "bound reached");
        assert_eq!(standing(5.1), "below the bound");
        assert_eq!(Row::large("x", "", 7.0, 5.0, 6.0).standing(), "aim reached");
    }

    #[test]
    fn the_table_lines_up() {
        let text = table(&[
            Row::small("one", "s", 1.0, 2.0, 3.0),
            Row::small("a longer one", "MB", 1e6, 2.0, 3.0),
        ]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 4);
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }

    #[test]
    fn the_middle_of_several() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 1.0), 4.0);
        assert_eq!(median(&[]), 0.0);
    }
}
