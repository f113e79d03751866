//! The last step to a stream: whole pieces, and quiet when nobody reads any more.
//! In: finished text. Out: bytes. Never: an error. A reader that left (`kiln … | head`) is not a fault, and no fault of
//! a screen may change the exit code of a run.

use std::io::{ErrorKind, Write};
use std::time::Duration;

/// How often a stream that was inherited in non-blocking mode is tried again, 2 ms apart.
const PATIENCE: u32 = 5_000;

/// A stream that turns itself off at its first fault.
#[derive(Debug)]
pub struct Sink<W> {
    stream: Option<W>,
}

impl<W: Write> Sink<W> {
    /// Writes on `stream`.
    pub const fn new(stream: W) -> Self {
        Self { stream: Some(stream) }
    }

    /// Whether a fault has closed it.
    pub const fn is_off(&self) -> bool {
        self.stream.is_none()
    }

    /// Writes the text in as few calls as the stream allows, and flushes it.
    pub fn put(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    /// As [`Sink::put`], for what need not be text.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        let Some(stream) = &mut self.stream else { return };
        if write_all(stream, bytes).is_err() {
            self.stream = None;
        }
    }

    /// Gives the stream back, unless it was turned off.
    pub fn into_inner(self) -> Option<W> {
        self.stream
    }
}

/// Like [`Write::write_all`], and waits where a non-blocking stream is full.
fn write_all(stream: &mut impl Write, mut bytes: &[u8]) -> std::io::Result<()> {
    let mut patience = PATIENCE;
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).unwrap_or_default();
                patience = PATIENCE;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && patience > 0 => {
                patience -= 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error),
        }
    }
    match stream.flush() {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each call with the next of a list, then takes everything.
    struct Scripted {
        answers: Vec<Result<usize, ErrorKind>>,
        written: Vec<u8>,
        calls: usize,
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.calls += 1;
            let most = if self.answers.is_empty() { Ok(bytes.len()) } else { self.answers.remove(0) };
            let taken = most.map_err(std::io::Error::from)?.min(bytes.len());
            self.written.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_pipe_in_non_blocking_mode_loses_nothing() {
        let answers = vec![Ok(2), Err(ErrorKind::WouldBlock), Err(ErrorKind::Interrupted), Ok(1)];
        let mut sink = Sink::new(Scripted { answers, written: Vec::new(), calls: 0 });
        sink.put("hello");
        assert_eq!(sink.into_inner().unwrap().written, b"hello");
    }

    #[test]
    fn a_closed_pipe_is_tried_once_and_never_again() {
        let mut sink = Sink::new(Scripted { answers: vec![Err(ErrorKind::BrokenPipe)], written: Vec::new(), calls: 0 });
        sink.put("a");
        sink.put("b");
        assert!(sink.is_off());
    }
}
