//! Columns side by side: as wide as their cells; when the screen is too narrow, some go and the widest of others give way.
//! In: painted cells. Out: lines. Never: a line wider than the screen, a blank at a line's end.

use super::paint::{columns, fit, pad};
use super::style::Style;

/// What stands between two columns.
const GAP: &str = "  ";
/// No column is cut below this.
const NARROWEST: usize = 10;
/// Nor below this, as long as a later one may be cut in its place.
const FAIR: usize = 24;

/// Rows of cells. All rows have the same number of cells.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// The columns that may be cut, the first to give way first; when each has given what is fair, the widest.
    cut: Vec<usize>,
    /// The columns that go before any is cut.
    spare: Vec<usize>,
    /// The columns whose cells stand at their right edge.
    right: Vec<usize>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(cut: &[usize], right: &[usize]) -> Self {
        Self { rows: Vec::new(), cut: cut.to_vec(), spare: Vec::new(), right: right.to_vec() }
    }

    /// Leaves these columns out, one after the other, where there is no room for all.
    #[must_use]
    pub fn sparing(mut self, columns: &[usize]) -> Self {
        self.spare = columns.to_vec();
        self
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
        let room = style.width.saturating_sub(columns(indent));
        for at in &self.spare {
            if over(&widths, room) > 0
                && let Some(width) = widths.get_mut(*at)
            {
                *width = 0;
            }
        }
        for at in &self.cut {
            let over = over(&widths, room);
            if let Some(width) = widths.get_mut(*at) {
                *width = width.saturating_sub(over).max(FAIR.min(*width));
            }
        }
        for _ in &self.cut {
            self.narrow(&mut widths, room);
        }
        self.rows.iter().map(|row| self.line(row, &widths, style, indent)).collect()
    }

    /// Takes from the widest columns that may be cut what is too much, but not so much that the next one is wider.
    fn narrow(&self, widths: &mut [usize], room: usize) {
        let mut those: Vec<usize> = self.cut.iter().filter_map(|at| widths.get(*at).copied()).collect();
        those.sort_unstable();
        let Some(widest) = those.pop() else { return };
        let next = those.iter().copied().rfind(|width| *width < widest).unwrap_or(0);
        let alike = 1 + those.iter().filter(|width| **width == widest).count();
        let limit = widest.saturating_sub(over(widths, room).div_ceil(alike)).max(next).max(NARROWEST.min(widest));
        for at in &self.cut {
            if let Some(width) = widths.get_mut(*at) {
                *width = limit.min(*width);
            }
        }
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

/// By how much columns and the gaps between them are too wide.
fn over(widths: &[usize], room: usize) -> usize {
    let gaps = GAP.len() * widths.iter().filter(|width| **width > 0).count().saturating_sub(1);
    (widths.iter().sum::<usize>() + gaps).saturating_sub(room)
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
    fn the_widest_of_several_gives_way_until_they_are_alike() {
        let mut table = Table::new(&[0, 2], &[]);
        table.row(["a name of twenty-two..", "run", "a reason of 18 ...."].map(String::from));
        let at = |width| table.lines(Style { width, ..Style::PLAIN }, "").remove(0);
        assert_eq!(at(48), "a name of twenty-two..  run  a reason of 18 ....");
        assert_eq!(at(46), "a name of twenty-tw…  run  a reason of 18 ....");
        assert_eq!(at(37), "a name of twen…  run  a reason of 18…");
        assert_eq!(at(20), "a name of…  run  a …", "no column is less than ten wide; then the line is cut");
    }

    #[test]
    fn a_reason_gives_way_before_a_name_until_it_says_too_little() {
        let mut table = Table::new(&[1, 0], &[]);
        table.row(["compile[bin=worker]@linux/amd64", "src/main.rs and 3 more files changed"].map(String::from));
        let at = |width| table.lines(Style { width, ..Style::PLAIN }, "").remove(0);
        assert_eq!(at(60), "compile[bin=worker]@linux/amd64  src/main.rs and 3 more fil…");
        assert_eq!(at(50), "compile[bin=worker]@lin…  src/main.rs and 3 more …");
        assert_eq!(at(40), "compile[bin=worker…  src/main.rs and 3 …");
    }

    #[test]
    fn what_can_be_spared_goes_before_anything_is_cut() {
        let mut table = Table::new(&[1], &[]).sparing(&[2, 3]);
        table.row(["20261122-1", "all and more", "saved 3 s", "x"].map(String::from));
        let at = |width| table.lines(Style { width, ..Style::PLAIN }, "").remove(0);
        assert_eq!(at(38), "20261122-1  all and more  saved 3 s  x");
        assert_eq!(at(37), "20261122-1  all and more  x");
        assert_eq!(at(24), "20261122-1  all and more");
        assert_eq!(at(23), "20261122-1  all and mo…");
    }

    #[test]
    fn an_empty_column_takes_no_room() {
        let mut table = Table::new(&[], &[]);
        table.row(["a", "", "b"].map(String::from));
        assert_eq!(table.lines(Style::PLAIN, "  "), ["  a  b"]);
    }
}
