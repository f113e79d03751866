//! The difference of two small texts, line by line.
//! In: two texts. Out: lines that went, came, or stayed next to one that did. Never: more than [`SHOWN`] lines, or work
//! that grows with the product of two large texts.

/// Lines of a difference that are shown.
const SHOWN: usize = 40;
/// The largest product of line counts that is compared in full.
const LARGEST: usize = 1_000_000;

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiffLine {
    /// In both, beside a change.
    Same(String),
    /// Only in the old text.
    Gone(String),
    /// Only in the new text.
    New(String),
    /// So many lines are left out here.
    Left(usize),
}

/// The changed lines with one line before and after each change.
#[must_use]
pub fn lines(old: &str, new: &str) -> Vec<DiffLine> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut all: Vec<DiffLine> = old[..start].iter().map(|line| DiffLine::Same((*line).to_owned())).collect();
    all.extend(middle(&old[start..old.len() - end], &new[start..new.len() - end]));
    all.extend(old[old.len() - end..].iter().map(|line| DiffLine::Same((*line).to_owned())));
    around_changes(all)
}

/// The longest common subsequence, by the textbook's table; everything gone and new where that would be too large.
fn middle(old: &[&str], new: &[&str]) -> Vec<DiffLine> {
    let (rows, columns) = (old.len(), new.len());
    let gone = |line: &&str| DiffLine::Gone((*line).to_owned());
    let came = |line: &&str| DiffLine::New((*line).to_owned());
    if rows.saturating_mul(columns) > LARGEST {
        return old.iter().map(gone).chain(new.iter().map(came)).collect();
    }
    let at = |row: usize, column: usize| row * (columns + 1) + column;
    let mut longest = vec![0_u32; (rows + 1) * (columns + 1)];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            longest[at(row, column)] = if old[row] == new[column] {
                longest[at(row + 1, column + 1)] + 1
            } else {
                longest[at(row + 1, column)].max(longest[at(row, column + 1)])
            };
        }
    }
    let (mut row, mut column, mut all) = (0, 0, Vec::new());
    while row < rows && column < columns {
        if old[row] == new[column] {
            all.push(DiffLine::Same(old[row].to_owned()));
            (row, column) = (row + 1, column + 1);
        } else if longest[at(row + 1, column)] >= longest[at(row, column + 1)] {
            all.push(gone(&old[row]));
            row += 1;
        } else {
            all.push(came(&new[column]));
            column += 1;
        }
    }
    all.extend(old[row..].iter().map(gone));
    all.extend(new[column..].iter().map(came));
    all
}

fn around_changes(all: Vec<DiffLine>) -> Vec<DiffLine> {
    let changed = |line: Option<&DiffLine>| matches!(line, Some(DiffLine::Gone(_) | DiffLine::New(_)));
    let near: Vec<bool> = (0..all.len()).map(|at| (at.saturating_sub(1)..=at + 1).any(|neighbour| changed(all.get(neighbour)))).collect();
    let mut shown = Vec::new();
    let mut left = 0;
    for (line, near) in all.into_iter().zip(near) {
        if !near || shown.len() >= SHOWN {
            left += 1;
            continue;
        }
        if left > 0 {
            shown.push(DiffLine::Left(std::mem::take(&mut left)));
        }
        shown.push(line);
    }
    if left > 0 {
        shown.push(DiffLine::Left(left));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> Vec<String> {
        lines(old, new)
            .into_iter()
            .map(|line| match line {
                DiffLine::Same(line) => format!(" {line}"),
                DiffLine::Gone(line) => format!("-{line}"),
                DiffLine::New(line) => format!("+{line}"),
                DiffLine::Left(n) => format!("@{n}"),
            })
            .collect()
    }

    #[test]
    fn only_changes_and_their_neighbours_are_shown() {
        for (old, new, expected) in [
            ("a\nb\nc", "a\nB\nc", vec![" a", "-b", "+B", " c"]),
            ("1\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\n6\n7", vec!["@5", " 6", "+7"]),
            ("a\nb\nc\nd", "b\nc\nx\nd", vec!["-a", " b", " c", "+x", " d"]),
            ("", "a", vec!["+a"]),
            ("a", "a", vec!["@1"]),
        ] {
            assert_eq!(shown(old, new), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn two_large_texts_cost_little() {
        let text = |word: &str| (0..50_000).map(|n| format!("{word}{n}\n")).collect::<String>();
        assert!(lines(&text("a"), &text("b")).len() <= SHOWN + 1);
    }
}
