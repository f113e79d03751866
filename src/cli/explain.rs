//! `kiln explain CODE`: what a fault means, with an example that is wrong and one that is right.

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::words;
use crate::plan;
use crate::report::paint::wrap;
use crate::report::style::Style;
use crate::syntax;

use super::codes;
use super::output::Output;

/// Longer lines of prose are hard to follow.
const READABLE: usize = 100;

/// Prints the explanation of a code, and gives the exit code.
pub fn explain(output: &Output, code: &str) -> u8 {
    if let Some(known) = syntax::explain::explanation(code) {
        let right = if known.right.is_empty() { String::new() } else { format!("\nright:\n    {}\n", known.right.replace('\n', "\n    ")) };
        output.answer(&format!("{code}\n\n{}\n\nwrong:\n    {}\n{right}", prose(output, known.text), known.wrong.replace('\n', "\n    ")));
        return 0;
    }
    if let Some((code, text)) = later().find(|(known, _)| *known == code) {
        output.answer(&format!("{code}\n\n{}\n", prose(output, text.trim())));
        return 0;
    }
    let fault =
        Diagnostic::new(Class::Usage, "cli::unknown-code", format!("there is no fault `{}`", words::shorten(&words::visible(code), 80)));
    let fault = match words::closest(code, codes()) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => fault.help("a fault's code stands in front of it, for instance `plan::circle`"),
    };
    output.faults(fault.into())
}

/// A paragraph for the screen that it is read on.
fn prose(output: &Output, text: &str) -> String {
    if output.out.width == Style::UNCUT {
        return text.to_owned();
    }
    text.lines().map(|line| wrap(line, output.out.width.min(READABLE), "")).collect::<Vec<_>>().join("\n")
}

/// Every code that can be explained.
pub fn codes() -> impl Iterator<Item = &'static str> {
    syntax::explain::EXPLANATIONS.iter().map(|known| known.code).chain(later().map(|(code, _)| *code))
}

/// The codes that have a paragraph alone.
fn later() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    plan::explain::CODES.iter().chain(codes::CODES)
}
