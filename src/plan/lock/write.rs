//! Pins → the one text that says them.

use std::fmt;

use super::{EDITION, Lock};

const HEAD: &str = "// Written by `kiln lock`, to be committed. `kiln lock --update NAME` moves a pin, `kiln lock --check` looks for news.";

impl fmt::Display for Lock {
    /// The canonical text: one pin a line, sorted by kind, name and platform.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}\nlock {EDITION}")?;
        for (name, pin) in &self.images {
            writeln!(f, "image \"{name}\" digest=\"{}\"", pin.digest)?;
            for (platform, digest) in &pin.platforms {
                writeln!(f, "image \"{name}\" platform=\"{platform}\" digest=\"{digest}\"")?;
            }
        }
        for (source, digest) in &self.includes {
            writeln!(f, "include {} digest=\"{digest}\"", quoted(source))?;
        }
        for (name, version) in &self.tools {
            writeln!(f, "tool {} version={}", quoted(name), quoted(version))?;
        }
        Ok(())
    }
}

/// A KDL string on one line. Source: KDL 2.0.0, 3.11.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if crate::base::words::is_hidden(c) => quoted.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
