//! What the definitions of a plan rest on: the chosen profiles, arguments, `param`s, `let`s and facts, each with its value.
//! In: every value that is looked up. Out: which ones a definition took, and, for a plan as it would be with former values, those.
//! Never: the value of a stand-in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;

/// Values by name, as JSON: `param level`, `let version`, `arg deploy env`, `profile`, `git.sha`, `env.HOME`. A fact that is absent
/// is `null`.
pub type Values = BTreeMap<String, String>;

/// Places in the list of all values.
pub(super) type Used = BTreeSet<u32>;

/// Notes what is looked up.
pub(super) struct Basis<'a> {
    former: &'a Values,
    values: RefCell<IndexMap<String, String>>,
    used: RefCell<Used>,
}

impl<'a> Basis<'a> {
    pub(super) fn new(former: &'a Values) -> Self {
        Self { former, values: RefCell::default(), used: RefCell::default() }
    }

    /// The former value of this name, if the plan is asked for with that one.
    pub(super) fn former(&self, name: &str) -> Option<serde_json::Value> {
        serde_json::from_str(self.former.get(name)?).ok()
    }

    /// Notes that a value was looked up.
    pub(super) fn note(&self, name: &str, value: impl FnOnce() -> Option<String>) {
        let known = self.values.borrow().get_index_of(name);
        let at = known.or_else(|| Some(self.values.borrow_mut().insert_full(name.to_owned(), value()?).0));
        self.used.borrow_mut().extend(at.and_then(|at| u32::try_from(at).ok()));
    }

    /// Notes that all that these stand for was looked up.
    pub(super) fn note_all(&self, used: &Used) {
        self.used.borrow_mut().extend(used);
    }

    /// Does `work`, and says what it looked up. Whoever asks around it hears of it too.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> (T, Used) {
        let before = self.used.take();
        let made = work();
        let used = self.used.replace(before);
        self.note_all(&used);
        (made, used)
    }

    /// All values that were looked up, in the order of the first time.
    pub(super) fn values(&self) -> IndexMap<String, String> {
        self.values.borrow().clone()
    }
}

/// A text as a value.
pub(super) fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
