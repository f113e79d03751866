//! A step's log: every byte to a file on disk, lines to the listener, memory flat however much comes.
//! In: bytes of both streams. Out: a file to store, events to show. Never: keeps more than [`LogLimits`] allow, in memory or on
//! disk; changes a byte but those of secrets.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::base::id::StepName;
use crate::base::size::ByteSize;
use crate::event::{Event, Listener, Stream};
use crate::sys::file::{self, FileError};

use super::redact::{Needles, Redactor};

/// How much of a step's output is kept and shown.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// The most that a log takes on disk, in bytes. Of a longer one the first and the last half of that are kept.
    pub disk: u64,
    /// The most that is handed to the listener, in bytes; the rest is only in the log.
    pub shown: u64,
    /// The longest piece in one event, in bytes. Lines are joined up to it, and longer ones cut.
    pub piece: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { disk: 64 << 20, shown: 16 << 20, piece: 16 << 10 }
    }
}

/// The bytes of a log.
#[derive(Debug)]
pub enum Kept {
    /// Here: there are few of them.
    Held(Vec<u8>),
    /// In a file, which goes when this is dropped.
    File(File, tempfile::TempPath),
}

/// A finished log.
#[derive(Debug)]
pub struct Log {
    /// The bytes that were kept.
    pub kept: Kept,
    /// Their number.
    pub size: u64,
    /// The bytes that were cut from the middle.
    pub cut: u64,
}

/// Takes the output of one step in.
pub struct LogSink<'a> {
    step: &'a StepName,
    listener: &'a dyn Listener,
    limits: LogLimits,
    disk: Disk,
    streams: [Lines; 2],
    shown: u64,
}

/// One stream on its way to the listener.
struct Lines {
    stream: Stream,
    redactor: Redactor,
    /// What waits for the end of its line.
    part: Vec<u8>,
}

impl<'a> LogSink<'a> {
    /// An empty log. What does not fit in memory goes to a file in `folder`.
    #[must_use]
    pub fn new(folder: &Path, step: &'a StepName, listener: &'a dyn Listener, needles: &Needles, limits: LogLimits) -> Self {
        let lines = |stream| Lines { stream, redactor: Redactor::new(needles), part: Vec::new() };
        let disk = Disk { folder: folder.to_owned(), kept: Kept::Held(Vec::new()), half: (limits.disk / 2).max(1), total: 0, fault: None };
        Self { step, listener, limits, disk, streams: [lines(Stream::Out), lines(Stream::Err)], shown: 0 }
    }

    /// Takes bytes of a stream in. A fault of the disk shows in [`LogSink::finish`], so that the step itself goes on.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let is_shown = self.shown <= self.limits.shown;
        let Self { disk, streams, limits, .. } = self;
        let lines = &mut streams[usize::from(stream == Stream::Err)];
        lines.redactor.push(bytes, &mut |clean| {
            disk.write(clean);
            if is_shown {
                lines.part.extend_from_slice(clean);
            }
        });
        let mut ready = Vec::new();
        lines.take_ready(limits.piece, &mut ready);
        for piece in ready {
            self.show(stream, piece);
        }
    }

    /// Ends the log.
    ///
    /// # Errors
    /// [`FileError`] of this or any earlier write: a full disk, most likely.
    pub fn finish(mut self) -> Result<Log, FileError> {
        for index in 0..2 {
            let Self { disk, streams, .. } = &mut self;
            let lines = &mut streams[index];
            lines.redactor.finish(&mut |clean| {
                disk.write(clean);
                lines.part.extend_from_slice(clean);
            });
            let (stream, rest) = (lines.stream, std::mem::take(&mut lines.part));
            for piece in rest.chunks(self.limits.piece.max(1)) {
                self.show(stream, piece.to_vec());
            }
        }
        self.disk.finish()
    }

    fn show(&mut self, stream: Stream, bytes: Vec<u8>) {
        if self.shown > self.limits.shown {
            return;
        }
        self.shown += bytes.len() as u64;
        if self.shown <= self.limits.shown {
            return self.listener.event(Event::Output { step: self.step.clone(), stream, bytes });
        }
        let text = format!("more than {} of output; the rest is only in the log", ByteSize(self.limits.shown));
        self.listener.event(Event::Notice { step: Some(self.step.clone()), text });
    }
}

impl Lines {
    /// Moves whole lines out of `part`, joined to pieces of at most `limit` bytes; a line longer than that leaves in pieces.
    fn take_ready(&mut self, limit: usize, ready: &mut Vec<Vec<u8>>) {
        let limit = limit.max(1);
        let mut from = 0;
        loop {
            let rest = &self.part[from..];
            let window = &rest[..rest.len().min(limit)];
            let end = match window.iter().rposition(|byte| *byte == b'\n') {
                Some(newline) => newline + 1,
                None if rest.len() >= limit => limit,
                None => break,
            };
            ready.push(rest[..end].to_vec());
            from += end;
        }
        self.part.drain(..from);
    }
}

/// Logs up to this size, in bytes, need no file.
const HELD: u64 = 64 << 10;

/// What is kept: in memory, or in a file whose first half is written once, its second half round and round.
struct Disk {
    folder: PathBuf,
    kept: Kept,
    half: u64,
    /// All bytes that came.
    total: u64,
    /// The first thing that went wrong; nothing is written after it.
    fault: Option<io::Error>,
}

impl Disk {
    fn write(&mut self, bytes: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if let Kept::Held(held) = &mut self.kept {
            if self.total + bytes.len() as u64 <= HELD.min(2 * self.half) {
                held.extend_from_slice(bytes);
                self.total += bytes.len() as u64;
                return;
            }
            let held = std::mem::take(held);
            match tempfile::Builder::new().prefix("log-").tempfile_in(&self.folder) {
                Ok(file) => {
                    let (file, path) = file.into_parts();
                    (self.kept, self.total) = (Kept::File(file, path), 0);
                    self.write(&held);
                }
                Err(fault) => self.fault = Some(fault),
            }
        }
        let written = self.write_round(bytes);
        self.fault = self.fault.take().or(written.err());
    }

    fn write_round(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Kept::File(file, _) = &self.kept else { return Ok(()) };
        while !bytes.is_empty() {
            let place = if self.total < self.half { self.total } else { self.half + (self.total - self.half) % self.half };
            let room = if place < self.half { self.half - place } else { 2 * self.half - place };
            let count = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            file.write_all_at(&bytes[..count], place)?;
            self.total += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Log, FileError> {
        let limit = self.half * 2;
        let cut = self.total.saturating_sub(limit);
        let fault = self.fault.take().map_or(Ok(()), Err);
        let done = fault.and_then(|()| match self.kept {
            Kept::File(file, _) if self.total > limit => straighten(&file, &self.folder, self.half, self.total),
            kept => Ok((kept, self.total)),
        });
        let (kept, size) = file::at("write", &self.folder, done)?;
        Ok(Log { kept, size, cut })
    }
}

/// Writes a log that went round in its right order to a new file, with a line that tells how much is missing.
fn straighten(from: &File, folder: &Path, half: u64, total: u64) -> io::Result<(Kept, u64)> {
    let mut straight = tempfile::Builder::new().prefix("log-").tempfile_in(folder)?;
    copy_range(from, 0, half, straight.as_file_mut())?;
    write!(straight, "\n[kiln: {} of output were cut here]\n", ByteSize(total - half * 2))?;
    let oldest = (total - half) % half;
    copy_range(from, half + oldest, half - oldest, straight.as_file_mut())?;
    copy_range(from, half, oldest, straight.as_file_mut())?;
    let size = straight.as_file_mut().seek(SeekFrom::End(0))?;
    let (file, path) = straight.into_parts();
    Ok((Kept::File(file, path), size))
}

fn copy_range(from: &File, mut place: u64, mut count: u64, to: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while count > 0 {
        let part = buffer.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        from.read_exact_at(&mut buffer[..part], place)?;
        to.write_all(&buffer[..part])?;
        place += part as u64;
        count -= part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crate::base::id::StepKind;

    use super::*;

    #[derive(Default)]
    struct Ear(Mutex<Vec<Event>>);

    impl Listener for Ear {
        fn event(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    impl Ear {
        fn pieces(&self) -> Vec<(Stream, String)> {
            let events = self.0.lock().unwrap();
            events
                .iter()
                .filter_map(|event| match event {
                    Event::Output { stream, bytes, .. } => Some((*stream, String::from_utf8_lossy(bytes).into_owned())),
                    _ => None,
                })
                .collect()
        }
    }

    fn run(limits: LogLimits, secrets: &[&[u8]], chunks: &[(Stream, &[u8])]) -> (Ear, Vec<u8>, u64) {
        let folder = tempfile::tempdir().unwrap();
        let (ear, step) = (Ear::default(), StepName::new("t".parse().unwrap(), StepKind::Run));
        let needles = Needles::new(secrets.iter().copied());
        let mut sink = LogSink::new(folder.path(), &step, &ear, &needles, limits);
        for (stream, bytes) in chunks {
            sink.write(*stream, bytes);
        }
        let log = sink.finish().unwrap();
        let bytes = match &log.kept {
            Kept::Held(bytes) => bytes.clone(),
            Kept::File(_, path) => file::read(path, u64::MAX - 1).unwrap(),
        };
        assert_eq!(bytes.len() as u64, log.size);
        let cut = log.cut;
        drop(log);
        assert_eq!(file::names(folder.path()).unwrap(), Vec::<Vec<u8>>::new(), "nothing stays beside the log");
        (ear, bytes, cut)
    }

    #[test]
    fn the_log_keeps_every_byte_and_the_listener_gets_whole_lines() {
        let chunks: &[(Stream, &[u8])] =
            &[(Stream::Out, b"one\ntw"), (Stream::Err, b"\x1b[31m\xff\n"), (Stream::Out, b"o\nthree\r"), (Stream::Out, b"end")];
        let (ear, bytes, cut) = run(LogLimits::default(), &[], chunks);
        assert_eq!((bytes.as_slice(), cut), (&b"one\ntw\x1b[31m\xff\no\nthree\rend"[..], 0));
        let expected = [(Stream::Out, "one\n"), (Stream::Err, "\u{1b}[31m\u{fffd}\n"), (Stream::Out, "two\n"), (Stream::Out, "three\rend")];
        assert_eq!(ear.pieces(), expected.map(|(stream, text)| (stream, text.to_owned())));
    }

    #[test]
    fn a_long_line_leaves_in_pieces_and_short_ones_leave_together() {
        let limits = LogLimits { piece: 8, ..LogLimits::default() };
        let (ear, ..) = run(limits, &[], &[(Stream::Out, b"a\nb\nc\n0123456789\nx\n")]);
        let texts: Vec<String> = ear.pieces().into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["a\nb\nc\n", "01234567", "89\nx\n"]);
    }

    #[test]
    fn a_log_over_its_limit_keeps_its_beginning_and_its_end() {
        for length in [7_usize, 8, 9, 11, 12, 13, 16, 29] {
            let text: Vec<u8> = (0..length).map(|n| b'a' + n as u8).collect();
            let limits = LogLimits { disk: 8, ..LogLimits::default() };
            let chunks: Vec<(Stream, &[u8])> = text.chunks(3).map(|chunk| (Stream::Out, chunk)).collect();
            let (_, bytes, cut) = run(limits, &[], &chunks);
            let expected = match length.checked_sub(8) {
                None | Some(0) => text.clone(),
                Some(cut) => [&text[..4], format!("\n[kiln: {cut} B of output were cut here]\n").as_bytes(), &text[length - 4..]].concat(),
            };
            assert_eq!((String::from_utf8(bytes), cut), (String::from_utf8(expected), length.saturating_sub(8) as u64));
        }
    }

    #[test]
    fn the_listener_hears_once_that_there_is_more_in_the_log() {
        let limits = LogLimits { shown: 10, ..LogLimits::default() };
        let (ear, bytes, _) = run(limits, &[], &[(Stream::Out, b"12345\n"), (Stream::Out, b"67890\n"), (Stream::Err, b"more\n")]);
        assert_eq!(bytes.len(), 17);
        let events = ear.0.lock().unwrap();
        assert!(matches!(&events[..], [Event::Output { .. }, Event::Notice { .. }]), "{events:?}");
    }

    #[test]
    fn a_secret_across_two_chunks_reaches_neither_log_nor_listener() {
        let chunks: &[(Stream, &[u8])] = &[(Stream::Out, b"token=hun"), (Stream::Err, b"between\n"), (Stream::Out, b"ter2!\n")];
        let (ear, bytes, _) = run(LogLimits::default(), &[b"hunter2!"], chunks);
        assert_eq!(bytes, b"token=between\n***\n");
        assert!(ear.pieces().contains(&(Stream::Out, "token=***\n".to_owned())));
    }
}
