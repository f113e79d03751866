//! Lines of a journal that are the same in each run but for the digest of the line before and the time: a run in which nothing
//! changed writes them down without making each anew.
//! In: ends of steps. Out: the bytes that [`RunLog::append`] would write for them, had they all ended at one moment. Never: a line
//! without its place in the chain.

use std::io::Write as _;

use crate::base::digest::Digest;
use crate::event::Event;
use crate::sys::file::{self, FileError};

use super::journal::{Line, RunLog};

/// Ends of steps as lines that lack what is another in each run: the digest of the line before, and the time.
///
/// Each line is the length of its first part (4), the first part, the length of the second (4), the second. The digest stands
/// before the first part, the time between the two.
#[derive(Debug, Clone, Copy)]
pub struct Drafts<'b>(pub &'b [u8]);

/// Stands for the time in a draft: no run lasts so long.
const NO_TIME: u64 = u64::MAX;

/// Drafts the lines of these events, each of which is an [`Event::StepEnded`]; `None` when one is another.
#[must_use]
pub fn drafts(events: &[Event]) -> Option<Vec<u8>> {
    let none = Digest::of(b"");
    let before = format!("{{\"prev\":\"{none}\"");
    let time = format!("\"at_ms\":{NO_TIME}");
    let mut bytes = Vec::new();
    for event in events {
        let mut event = event.clone();
        let Event::StepEnded { at_ms, .. } = &mut event else { return None };
        *at_ms = NO_TIME;
        let line = serde_json::to_string(&Line { schema: None, prev: none, event }).ok()?;
        let (first, second) = line.strip_prefix(&before)?.split_once(&time)?;
        for part in [&format!("{first}\"at_ms\":"), second] {
            bytes.extend_from_slice(&u32::try_from(part.len()).ok()?.to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    Some(bytes)
}

impl<'b> Iterator for Drafts<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut part = || {
            let (length, rest) = self.0.split_first_chunk()?;
            let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            self.0 = rest;
            Some(part)
        };
        Some((part()?, part()?))
    }
}

/// Lines of a draft are written together, up to so many bytes.
const TOGETHER: usize = 1 << 20;

impl RunLog {
    /// Appends the ends of steps that all ended at the same time, each on its line.
    ///
    /// # Errors
    /// [`FileError`] when the disk refuses.
    pub fn append_drafts(&mut self, drafts: Drafts<'_>, at_ms: u64) -> Result<(), FileError> {
        let time = at_ms.to_string();
        let mut lines = Vec::with_capacity(TOGETHER + 4_096);
        for (first, second) in drafts {
            let start = lines.len();
            lines.extend_from_slice(b"{\"prev\":\"");
            self.prev.push_to(&mut lines);
            lines.push(b'"');
            for part in [first, time.as_bytes(), second] {
                lines.extend_from_slice(part);
            }
            self.prev = Digest::of(&lines[start..]);
            lines.push(b'\n');
            if lines.len() > TOGETHER {
                file::at("write", &self.path, self.file.write_all(&lines))?;
                lines.clear();
            }
        }
        file::at("write", &self.path, self.file.write_all(&lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::{ActionKey, ContentDigest};
    use crate::base::id::{RunId, StepKind, StepName};
    use crate::base::time::Moment;
    use crate::event::{Ended, Origin};
    use crate::record::journal::Journal;

    fn ended(name: &str, at_ms: u64) -> Event {
        Event::StepEnded {
            step: StepName::new(name.parse().unwrap(), StepKind::Run),
            at_ms,
            took_ms: 7,
            ended: Ended::Cached { from: Origin::InPlace },
            key: Some(ActionKey(Digest::of(name.as_bytes()))),
            manifest: Some(ContentDigest(Digest::of(b"m"))),
            log: None,
            detail: Some(format!("says \"at_ms\":{NO_TIME}")),
            asked: name == "b",
        }
    }

    #[test]
    fn drafted_lines_are_the_lines_that_each_event_would_have_got() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let names: Vec<String> = (0..5_000).map(|n| format!("step-{n}")).chain(["b".to_owned()]).collect();
        let started =
            |run: &str| Event::RunStarted { run: RunId(run.into()), at: Moment(1), targets: Vec::new(), steps: 1, plan: "p".into() };
        let write = |drafted: bool| {
            // The name of a run is where its chain begins, so it is the same one twice.
            let run = RunId("r".to_owned());
            let mut log = journal.begin(&run).unwrap();
            log.append(&started("r")).unwrap();
            if drafted {
                let events: Vec<Event> = names.iter().map(|name| ended(name, 3)).collect();
                log.append_drafts(Drafts(&drafts(&events).unwrap()), 12).unwrap();
            } else {
                names.iter().for_each(|name| log.append(&ended(name, 12)).unwrap());
            }
            log.append(&Event::Notice { step: None, text: "end".into() }).unwrap();
            let bytes = file::read(journal.path(&run).unwrap(), 1 << 30).unwrap();
            file::remove(journal.path(&run).unwrap()).unwrap();
            bytes
        };
        assert!(write(true) == write(false));
        assert!(drafts(&[started("r")]).is_none());
    }
}
