//! Columns side by side: as wide as their cells, and one that gives way when the screen is too narrow.
//! In: painted cells. Out: lines. Never: a line wider than the screen, a blank at a line's end.

use super::paint::{columns, fit, pad};
use super::style::Style;

/// What stands between two columns.
const GAP: &str = "  ";
/// No column is cut below this.
const NARROWEST: usize = 10;

/// Rows of cells. All rows have the same number of cells.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// The columns that may be cut, the first to give way first.
    cut: Vec<usize>,
    /// The columns whose cells stand at their right edge.
    right: Vec<usize>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(cut: &[usize], right: &[usize]) -> Self {
        Self { rows: Vec::new(), cut: cut.to_vec(), right: right.to_vec() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, each behind `indent`.
    #[must_use]
    pub fn lines(&self, style: Style, indent: &str) -> Vec<String> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths: Vec<usize> =
            (0..count).map(|at| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| columns(cell)).max().unwrap_or(0)).collect();
        let gaps = GAP.len() * widths.iter().filter(|width| **width > 0).count().saturating_sub(1);
        let room = style.width.saturating_sub(columns(indent) + gaps);
        for at in &self.cut {
            let over = widths.iter().sum::<usize>().saturating_sub(room);
            if let Some(width) = widths.get_mut(*at) {
                *width = width.saturating_sub(over).max(NARROWEST.min(*width));
            }
        }
        self.rows.iter().map(|row| self.line(row, &widths, style, indent)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize], style: Style, indent: &str) -> String {
        let mut line = indent.to_owned();
        let mut first = true;
        for (at, (cell, width)) in row.iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0) {
            if !std::mem::replace(&mut first, false) {
                line.push_str(GAP);
            }
            let cell = fit(cell, *width, style);
            if self.right.contains(&at) {
                line.push_str(&" ".repeat(width.saturating_sub(columns(&cell))));
                line.push_str(&cell);
            } else {
                line.push_str(&pad(&cell, *width));
            }
        }
        fit(line.trim_end(), style.width, style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_that_may_gives_way() {
        let mut table = Table::new(&[1], &[2]);
        table.row(["a", "a long reason for it", "1 s"].map(String::from));
        table.row(["abc", "", "10 s"].map(String::from));
        let at = |width| table.lines(Style { width, ..Style::PLAIN }, "");
        assert_eq!(at(80), ["a    a long reason for it   1 s", "abc                        10 s"]);
        assert_eq!(at(24), ["a    a long reaso…   1 s", "abc                 10 s"]);
    }

    #[test]
    fn an_empty_column_takes_no_room() {
        let mut table = Table::new(&[], &[]);
        table.row(["a", "", "b"].map(String::from));
        assert_eq!(table.lines(Style::PLAIN, "  "), ["  a  b"]);
    }
}
