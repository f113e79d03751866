//! Asks the person at the terminal for one line.
//! In: a question. Out: what was typed. Never: leaves the terminal in another mode, shows a password, reads a pipe.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A line, without its end.
    Line(String),
    /// The person wants to stop.
    Stopped,
    /// Nobody is there.
    NoTerminal,
}

/// The keys that mean something while a password is typed.
const STOP: u8 = 0x03;
const END: u8 = 0x04;
const CLEAR: u8 = 0x15;

/// Asks at the terminal of this process, also where standard input is another. What is typed is shown only when `seen`.
///
/// # Errors
/// What the terminal says; a line longer than `limit` bytes, or one that is not UTF-8.
pub fn ask(question: &str, seen: bool, limit: u64) -> io::Result<Typed> {
    let Ok(mut terminal) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Ok(Typed::NoTerminal) };
    terminal.write_all(question.as_bytes())?;
    let typed = if seen { shown(&mut terminal, limit) } else { hidden(&mut terminal, limit) }?;
    Ok(match typed {
        None => Typed::Stopped,
        Some(bytes) => Typed::Line(String::from_utf8(bytes).map_err(|_| io::Error::other("what was typed is not UTF-8"))?),
    })
}

fn shown(terminal: &mut File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    while let Some(byte) = next(terminal)? {
        if byte == b'\n' {
            return Ok(Some(line));
        }
        push(&mut line, byte, limit)?;
    }
    Ok(None)
}

/// Puts the terminal's mode back however the reading ends.
struct Mode<'t>(&'t File, Termios);

impl Drop for Mode<'_> {
    fn drop(&mut self) {
        // Nothing better can be done where it fails; the terminal is gone.
        let _ = tcsetattr(self.0, OptionalActions::Flush, &self.1);
    }
}

/// Keys arrive one by one and raise no signal, so that the mode is put back before the process ends.
fn hidden(terminal: &mut File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut keys = terminal.try_clone()?;
    let old = tcgetattr(&*terminal)?;
    let mut quiet = old.clone();
    quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
    quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
    quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
    let line = {
        let _mode = Mode(terminal, old);
        tcsetattr(&*terminal, OptionalActions::Flush, &quiet)?;
        password(&mut keys, limit)
    };
    terminal.write_all(b"\n")?;
    line
}

fn password(keys: &mut File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        match next(keys)? {
            Some(b'\r' | b'\n') => return Ok(Some(line)),
            None | Some(STOP) => return Ok(None),
            Some(END) => return Ok(if line.is_empty() { None } else { Some(line) }),
            Some(CLEAR) => line.clear(),
            // A character of several bytes goes as one.
            Some(0x7f | 0x08) => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            Some(byte) => push(&mut line, byte, limit)?,
        }
    }
}

fn next(from: &mut File) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok(if from.read(&mut byte)? == 1 { Some(byte[0]) } else { None })
}

fn push(line: &mut Vec<u8>, byte: u8, limit: u64) -> io::Result<()> {
    if line.len() as u64 >= limit {
        return Err(io::Error::other("what was typed is too long"));
    }
    line.push(byte);
    Ok(())
}
