//! A table of text: as wide as what is in it, or as narrow as the terminal that it is shown on.
//! Lays out, and knows nothing of what it shows.

/// What is put between two columns.
const GAP: &str = "  ";
/// What a column that had to give way still has.
const LEAST: usize = 8;

/// A table.
pub struct Table<const COLUMNS: usize> {
    /// The columns that may be made narrower, first those that go first.
    pub give_way: &'static [usize],
    /// The rows, the first of them the names of the columns.
    pub rows: Vec<[String; COLUMNS]>,
    /// How a laid out cell is coloured, given its column and what it says: the colour takes no
    /// room. `None` leaves every cell as it is.
    pub paint: Option<fn(usize, &str, String) -> String>,
}

/// How wide the terminal is that standard output goes to; `None` if it goes to a file or a pipe,
/// which take lines of any length.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// The table in lines, none of them longer than `width`, if that is possible at all.
    #[must_use]
    pub fn show(&self, width: Option<usize>) -> String {
        let widths = self.widths(width.unwrap_or(usize::MAX));
        let mut text = String::new();
        for row in &self.rows {
            let filled = row.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
            let cells = row.iter().zip(widths).enumerate().take(filled);
            let cells = cells.map(|(column, (cell, width))| {
                let shown = shortened(cell, width);
                // Nothing is put after the last one: no line ends with blanks.
                let fill = if column + 1 == filled {
                    0
                } else {
                    width.saturating_sub(shown.chars().count())
                };
                let shown = match self.paint {
                    Some(paint) => paint(column, cell, shown),
                    None => shown,
                };
                shown + &" ".repeat(fill)
            });
            text.push_str(&cells.collect::<Vec<_>>().join(GAP));
            text.push('\n');
        }
        text
    }

    fn widths(&self, width: usize) -> [usize; COLUMNS] {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for column in self.give_way {
            let all = widths.iter().sum::<usize>() + GAP.len() * COLUMNS.saturating_sub(1);
            if let Some(own) = widths.get_mut(*column) {
                let least = LEAST.min(*own);
                *own = own.saturating_sub(all.saturating_sub(width)).max(least);
            }
        }
        widths
    }
}

/// A text of at most so many characters; one that was cut says so. What would move the terminal's
/// cursor shows as a space: names come from strangers.
fn shortened(text: &str, width: usize) -> String {
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.clone().count() <= width {
        return text.collect();
    }
    text.take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<3> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let rows = vec![
            row(["ID", "STATE", "NAME"]),
            row(["0123456789", "running", "the weather station's nightly upload"]),
            row(["1", "accepted", "\u{1b}[31mred"]),
        ];
        Table { give_way: &[2, 1], rows, paint: None }
    }

    #[test]
    fn a_table_is_as_wide_as_it_has_to_be_and_no_wider_than_the_terminal() {
        let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let whole = table().show(None);
        assert!(whole.contains("the weather station's nightly upload"), "{whole}");
        let narrow = table().show(Some(40));
        assert_eq!(widest(&narrow), 40, "{narrow}");
        assert!(narrow.contains("the weather stati…") && narrow.contains("accepted"), "{narrow}");
        let narrower = table().show(Some(10));
        assert!(narrower.contains("the wea…") && narrower.contains("0123456789"), "{narrower}");
        assert!(!whole.contains('\u{1b}') && whole.contains("[31mred"));
        assert!(whole.lines().all(|line| !line.ends_with(' ')));
    }

    #[test]
    fn colours_take_no_room() {
        let paint = |column, cell: &str, shown: String| match (column, cell) {
            (1, "running") => format!("<{shown}>"),
            _ => shown,
        };
        let plain = table().show(Some(40));
        let coloured = Table { paint: Some(paint), ..table() }.show(Some(40));
        assert!(coloured.contains("<running>  "), "{coloured}");
        assert_eq!(coloured.replace(['<', '>'], ""), plain);
    }
}
