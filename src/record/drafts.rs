//! Lines of a journal that are the same in each run but for the digest of the line before and the time: a run in which nothing
//! changed writes them down without making each anew.
//! In: ends of steps. Out: the bytes that [`RunLog::append`] would write for them, had they all ended at one moment. Never: a line
//! without its place in the chain.

use std::io::Write as _;

use crate::base::digest::Digest;
use crate::event::Event;
use crate::sys::file::{self, FileError};

use super::journal::{Line, RunLog};

/// A line for the end of a step: what stands between the digest of the line before and the time, and what stands behind that.
pub type Draft<P> = [P; 2];

/// Stands for the time; no run takes so long.
const NO_TIME: u64 = u64::MAX;

/// Drafts a line; `None` for anything but the end of a step.
#[must_use]
pub fn draft(event: &Event) -> Option<Draft<String>> {
    let none = Digest::of(b"");
    let mut event = event.clone();
    let Event::StepEnded { at_ms, .. } = &mut event else { return None };
    *at_ms = NO_TIME;
    let line = serde_json::to_string(&Line { schema: None, prev: none, event }).ok()?;
    let (first, second) = line.strip_prefix(&format!("{{\"prev\":\"{none}\""))?.split_once(&format!("\"at_ms\":{NO_TIME}"))?;
    Some([format!("{first}\"at_ms\":"), second.to_owned()])
}

/// Bytes that are written at once.
const TOGETHER: usize = 1 << 20;

impl RunLog {
    /// Writes the lines of steps that all ended `at_ms` after the run began.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn append_drafts<'b>(&mut self, drafts: impl Iterator<Item = Draft<&'b [u8]>>, at_ms: u64) -> Result<(), FileError> {
        let time = at_ms.to_string();
        let mut lines = Vec::with_capacity(TOGETHER + 4_096);
        for [first, second] in drafts {
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
                let drafts: Vec<Draft<String>> = events.iter().map(|event| draft(event).unwrap()).collect();
                log.append_drafts(drafts.iter().map(|parts| parts.each_ref().map(String::as_bytes)), 12).unwrap();
            } else {
                names.iter().for_each(|name| log.append(&ended(name, 12)).unwrap());
            }
            log.append(&Event::Notice { step: None, text: "end".into() }).unwrap();
            let bytes = file::read(journal.path(&run).unwrap(), 1 << 30).unwrap();
            file::remove(journal.path(&run).unwrap()).unwrap();
            bytes
        };
        assert!(write(true) == write(false));
        assert!(draft(&started("r")).is_none());
    }
}
