//! What a watch says between runs, to people and to programs.

use crate::exec::sight::{Became, Change};
use crate::report::watch::{self as screen, ChangedFile};

use super::rounds::Watching;
use super::session::Session;

impl Watching<'_> {
    pub(super) fn say(&self, text: &str) {
        self.tell(&serde_json::json!({ "event": "notice", "text": text }), || screen::notice(self.output.out, text));
    }

    /// `files` is `None` when a plan with faults is waited out.
    pub(super) fn say_waiting(&self, files: Option<usize>, targets: &[String]) {
        let json = serde_json::json!({ "event": "watching", "files": files, "targets": targets });
        self.tell(&json, || screen::waiting(self.output.out, files, targets, self.watcher.polls()));
    }

    pub(super) fn say_changes(&self, session: &Session, changes: &[Change]) {
        let file = |change: &Change| {
            let became = match change.became {
                Became::New => "is new",
                Became::Gone => "is gone",
                Became::Other => "changed",
            };
            ChangedFile { path: change.path.to_string(), became, steps: session.names(&change.steps) }
        };
        self.say_changed(&changes.iter().map(file).collect::<Vec<_>>());
    }

    pub(super) fn say_changed(&self, files: &[ChangedFile]) {
        self.tell(&serde_json::json!({ "event": "changed", "files": files }), || screen::changed(self.output.out, files));
    }

    fn tell(&self, json: &serde_json::Value, text: impl FnOnce() -> String) {
        self.output.answer(&if self.output.json { format!("{json}\n") } else { text() });
    }
}
