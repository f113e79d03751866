//! Patterns that are written in a file below the root, relative to its folder.

use super::{BadPattern, Pattern};
use crate::base::path::RelPath;

impl Pattern {
    /// Reads a pattern that is relative to a folder; its text is the one that would be written at the root.
    ///
    /// # Errors
    /// [`BadPattern`] as for [`Pattern::new`].
    pub fn within(folder: &RelPath, text: &str) -> Result<Self, BadPattern> {
        let (mut folder, mut rest) = (folder.clone(), text);
        loop {
            rest = match (rest.strip_prefix("./"), rest.strip_prefix("../"), folder.parent()) {
                (Some(below), ..) => below,
                (None, Some(beside), Some(parent)) => {
                    folder = parent;
                    beside
                }
                _ => break,
            };
        }
        let whole_folder = rest == "." || (rest.is_empty() && !text.is_empty());
        if folder.is_root() || text.is_empty() || rest.starts_with('/') {
            return Self::new(if whole_folder { "." } else { rest });
        }
        let mut whole = String::new();
        for c in String::from_utf8_lossy(folder.as_bytes()).chars() {
            if matches!(c, '*' | '?' | '[' | '{' | '\\') {
                whole.push('\\');
            }
            whole.push(c);
        }
        whole.push('/');
        whole.push_str(if whole_folder { "" } else { rest });
        Self::new(&whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::BadPath;

    #[test]
    fn a_pattern_of_a_folder_is_the_one_that_would_be_written_at_the_root() {
        for (folder, text, expected) in [
            ("", "src/", "src/"),
            ("ci", "src/**/*.go", "ci/src/**/*.go"),
            ("ci", "./go.mod", "ci/go.mod"),
            ("ci", "../go.mod", "go.mod"),
            ("a/b", "../../go.mod", "go.mod"),
            ("a/b", "../", "a/"),
            ("ci", "../", "."),
            ("ci", ".", "ci/"),
            ("a[1]", "*.go", "a\\[1]/*.go"),
        ] {
            let pattern = Pattern::within(&RelPath::new(folder).unwrap(), text);
            assert_eq!(pattern.as_ref().map(Pattern::as_str), Ok(expected), "{folder} {text}");
            let plain = Pattern::new(expected).unwrap();
            assert_eq!(pattern.as_ref().map(|pattern| (pattern.literal(), pattern.is_folder())), Ok((plain.literal(), plain.is_folder())));
        }
        let path = RelPath::new("a[1]/x.go").unwrap();
        assert!(Pattern::within(&RelPath::new("a[1]").unwrap(), "*.go").unwrap().selects(&path));
        for (text, why) in [("../../x", BadPattern::Path(BadPath::Outside)), ("/x", BadPath::Absolute.into()), ("", BadPattern::Empty)] {
            assert_eq!(Pattern::within(&RelPath::new("ci").unwrap(), text), Err(why), "{text}");
        }
    }
}
