//! The few live lines at the foot of a terminal, redrawn in place while finished lines scroll away above them.
//! In: lines that scroll, lines that live. Out: one text for one write per frame. Never: a live line that wraps, a
//! cursor left hidden after [`Canvas::clear`].
//!
//! Only what every terminal knows is used: cursor up, erase, show and hide. The marks of a synchronised update (DEC
//! private mode 2026) are skipped by terminals that do not know them.

use std::fmt::Write as _;

use super::paint;
use super::style::Style;

const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const ERASE_LINE: &str = "\x1b[K";
const ERASE_BELOW: &str = "\x1b[J";

/// What stands on the screen.
#[derive(Debug, Default)]
pub struct Canvas {
    /// The columns of each live line; the cursor stands behind the last one.
    drawn: Vec<usize>,
    hidden: bool,
}

impl Canvas {
    /// The text that scrolls `above` (whole lines, each ended by a line feed) and replaces the live lines.
    ///
    /// Live lines are cut to one column less than `style.width`: a full line would leave the cursor in a state that
    /// terminals disagree about.
    pub fn frame(&mut self, above: &str, live: &[String], style: Style) -> String {
        let mut frame = BEGIN.to_owned();
        if !live.is_empty() && !std::mem::replace(&mut self.hidden, true) {
            frame.push_str(HIDE_CURSOR);
        }
        self.home(&mut frame, style.width);
        if !above.is_empty() {
            frame.push_str(ERASE_BELOW);
            for line in above.lines() {
                frame.push_str(line);
                frame.push_str("\r\n");
            }
        }
        self.drawn.clear();
        for (index, line) in live.iter().enumerate() {
            let line = paint::fit(line, style.width.saturating_sub(1), style);
            frame.push_str(if index == 0 { "" } else { "\r\n" });
            let _ = write!(frame, "{ERASE_LINE}{line}");
            self.drawn.push(paint::columns(&line));
        }
        frame.push_str(ERASE_BELOW);
        if live.is_empty() && std::mem::take(&mut self.hidden) {
            frame.push_str(SHOW_CURSOR);
        }
        frame.push_str(END);
        frame
    }

    /// The text that removes the live lines and shows the cursor again; empty when there is nothing to remove.
    pub fn clear(&mut self, style: Style) -> String {
        if self.drawn.is_empty() && !self.hidden { String::new() } else { self.frame("", &[], style) }
    }

    /// Moves to the first column of the first live line. A terminal that became narrower has wrapped the lines.
    fn home(&self, frame: &mut String, width: usize) {
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(width.max(1)).max(1)).sum();
        if rows > 1 {
            let _ = write!(frame, "\x1b[{}A", rows - 1);
        }
        if rows > 0 {
            frame.push('\r');
        }
    }
}
