//! A terminal in memory, as far as kiln's screens need one: wraps, scrolls, moves up, erases, hides the cursor.
//! In: what is written on it. Out: what a person would see. Unknown sequences end the test: nobody may send them.

use unicode_width::UnicodeWidthChar as _;

/// Rows that only grow at the end; the last `height` are the screen.
pub struct Vt {
    width: usize,
    height: usize,
    rows: Vec<Vec<char>>,
    /// Whether a row goes on in the next one because the text was too long for it.
    wrapped: Vec<bool>,
    row: usize,
    column: usize,
    hidden: bool,
}

impl Vt {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rows: vec![Vec::new()], wrapped: vec![false], row: 0, column: 0, hidden: false }
    }

    pub const fn cursor_is_shown(&self) -> bool {
        !self.hidden
    }

    /// Whether any line was too long for its row.
    pub fn has_wrapped(&self) -> bool {
        self.wrapped.contains(&true)
    }

    /// All that was written, with wrapped rows joined and blanks at the end of lines removed.
    pub fn screen(&self) -> String {
        let mut text = String::new();
        for (row, wrapped) in self.rows.iter().zip(&self.wrapped) {
            text.extend(row.iter().filter(|c| **c != '\0'));
            if !wrapped {
                text.truncate(text.trim_end_matches(' ').len());
                text.push('\n');
            }
        }
        let end = text.trim_end_matches('\n').len();
        text.truncate(end);
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }

    /// Makes the terminal narrower or wider, and wraps its rows anew as most terminals do.
    pub fn resize(&mut self, width: usize) {
        let mut joined: Vec<Vec<char>> = Vec::new();
        let mut open = false;
        for (row, wrapped) in self.rows.iter().zip(&self.wrapped) {
            if open {
                joined.last_mut().unwrap().extend(row);
            } else {
                joined.push(row.clone());
            }
            open = *wrapped;
        }
        let at_end = self.row + 1 == self.rows.len();
        assert!(at_end, "the cursor stands behind the last live line");
        (self.width, self.rows, self.wrapped) = (width, Vec::new(), Vec::new());
        for line in joined {
            let pieces: Vec<Vec<char>> =
                if line.is_empty() { vec![Vec::new()] } else { line.chunks(width).map(<[char]>::to_vec).collect() };
            let last = pieces.len() - 1;
            for (n, piece) in pieces.into_iter().enumerate() {
                self.rows.push(piece);
                self.wrapped.push(n < last);
            }
        }
        self.row = self.rows.len() - 1;
        self.column = self.rows[self.row].len();
    }

    pub fn feed(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\x1b[") {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                self.control(&sequence[..end], &sequence[end..=end]);
                rest = &sequence[end + 1..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '\n' => self.down(false),
                '\r' => self.column = 0,
                c => {
                    assert!(!c.is_control(), "{c:?} was sent to a terminal");
                    self.put(c);
                }
            }
        }
    }

    fn put(&mut self, c: char) {
        let columns = c.width().unwrap_or(0);
        if columns == 0 {
            return;
        }
        if self.column + columns > self.width {
            self.down(true);
            self.column = 0;
        }
        let row = &mut self.rows[self.row];
        while row.len() < self.column + columns {
            row.push(' ');
        }
        row[self.column] = c;
        // The right half of a wide character.
        (1..columns).for_each(|n| row[self.column + n] = '\0');
        self.column += columns;
    }

    fn down(&mut self, wrapped: bool) {
        self.wrapped[self.row] = wrapped;
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push(Vec::new());
            self.wrapped.push(false);
        }
    }

    fn control(&mut self, parameters: &str, end: &str) {
        match (parameters, end) {
            (_, "m") | ("?2026", "h" | "l") => {}
            ("?25", "l") => self.hidden = true,
            ("?25", "h") => self.hidden = false,
            (up, "A") => {
                let top = self.rows.len().saturating_sub(self.height);
                self.row = self.row.saturating_sub(up.parse().unwrap()).max(top);
            }
            ("", "K") => self.rows[self.row].truncate(self.column),
            ("", "J") => {
                self.rows[self.row].truncate(self.column);
                self.rows.truncate(self.row + 1);
                self.wrapped.truncate(self.row + 1);
                self.wrapped[self.row] = false;
            }
            other => panic!("{other:?} was sent to a terminal"),
        }
    }
}
