//! Comments, and the words that hold one by mistake: `src/**/*.go`, `https://host`, `# text`.
//! In: a scanner that stands at one. Out: the place of the comment, or one token for the word that was meant.
//! Never: takes the rest of the file for a comment because a glob was not quoted.

use crate::syntax::chars;
use crate::syntax::faults::{Fault, quoted, shown};
use crate::syntax::prescan::{DEPTH, Kind, Scanner};

impl Scanner<'_> {
    /// A `//` comment, up to the end of its line.
    pub(super) fn line_comment(&mut self) -> bool {
        let end = chars::line_end(self.text, self.at);
        let newline = &self.text[end..chars::skip_newline(self.text, end)];
        if !matches!(newline, "" | "\n" | "\r\n") {
            self.faults.add(end, end + newline.len(), || {
                let message =
                    format!("this comment is ended by `{}`, which many editors do not show as a line end", newline.escape_unicode());
                Fault::new("syntax::hidden-newline", message, "what follows is not a comment", "end the line with a line feed")
            });
        }
        self.comments.push(self.at..end);
        self.at = end;
        self.spaced = true;
        true
    }

    /// A comment that begins here and is set apart from what stands before it.
    pub(super) fn block_comment(&mut self) -> bool {
        match comment_end(self.text, self.at) {
            CommentEnd::At(end) => {
                self.comments.push(self.at..end);
                self.at = end;
                self.spaced = true;
                true
            }
            CommentEnd::Never { inner } => {
                let start = self.at;
                self.faults.add(start, start + 2, || {
                    let fault =
                        Fault::new("syntax::unclosed-comment", "this comment is never closed", "opened here", "add the `*/` that ends it");
                    match inner {
                        Some(at) => fault.other(at, at + 2, "comments nest: this one took a `*/`"),
                        None => fault,
                    }
                });
                // What follows may be comment or plan: nothing said about it would be sure.
                self.stop(self.at + 2)
            }
            CommentEnd::TooDeep(at) => {
                self.faults.add(at, at + 2, || {
                    let message = format!("comments are nested deeper than {DEPTH}");
                    Fault::new("syntax::too-deep", message, "one too many", "remove the inner `/*` and `*/`")
                });
                self.stop(self.at + 2)
            }
        }
    }

    /// The end of a line continuation: `\`, white space, perhaps a comment, a line end. `from` is after the `\`.
    pub(super) fn line_joint(&mut self, from: usize) -> Option<usize> {
        let mut at = chars::skip_spaces(self.text, from);
        let before = self.comments.len();
        while !self.hopeless && self.text[at..].starts_with("/*") {
            let CommentEnd::At(end) = comment_end(self.text, at) else {
                self.hopeless = true;
                break;
            };
            self.comments.push(at..end);
            at = chars::skip_spaces(self.text, end);
        }
        if self.text[at..].starts_with("//") {
            let end = chars::line_end(self.text, at);
            self.comments.push(at..end);
            at = end;
        }
        if at == self.text.len() || self.text[at..].starts_with(chars::is_newline) {
            return Some(chars::skip_newline(self.text, at));
        }
        self.comments.truncate(before);
        None
    }

    pub(super) fn hash_comment(&mut self) -> bool {
        let end = chars::line_end(self.text, self.at);
        let text = self.text[self.at..end].trim_end();
        self.faults.add(self.at, self.at + text.len(), || {
            let help = match text.strip_prefix("#!") {
                Some(_) => "leave it out; a plan is run by `kiln`".to_owned(),
                None => format!("write `// {}`", shown(text.trim_start_matches(['#', ' ']))),
            };
            Fault::new("syntax::hash-comment", "`#` begins no comment", "comments begin with `//`", help)
        });
        self.comments.push(self.at..end);
        self.at = end;
        self.spaced = true;
        true
    }

    /// `#"text"##`: more `#` behind a raw string than before it.
    pub(super) fn hashes_too_many(&mut self) -> bool {
        let end = self.at + self.text[self.at..].len() - self.text[self.at..].trim_start_matches('#').len();
        self.faults.add(self.at, end, || {
            let message = "a raw string has as many `#` behind it as before it";
            Fault::new("syntax::unquoted-hash", message, "more than before it", "remove it, or write as many before the text")
        });
        self.at = end;
        true
    }

    /// A word in which `//` stands: `https://x`.
    pub(super) fn address(&mut self) -> bool {
        let end = self.text_end(self.at);
        let text = &self.text[self.at..end];
        self.faults.add(self.at, end, || {
            let message = format!("`//` in `{}` begins a comment", shown(text));
            Fault::new("syntax::glued-comment", message, "everything after `//` would be dropped", format!("quote it: `{}`", quoted(text)))
        });
        self.push(Kind::Bad, end)
    }

    /// A word with `/*` at `at`: a glob, or a comment without a space before it.
    pub(super) fn glued_comment(&mut self, at: usize) -> bool {
        let apart = self.text[at + 2..].starts_with(chars::is_blank);
        if apart && !self.hopeless {
            if let CommentEnd::At(end) = comment_end(self.text, at) {
                self.faults.add(at, at + 2, || {
                    let label = "it ends the word before it";
                    let help = "put a space before the comment; if this is a glob, quote it";
                    Fault::new("syntax::glued-comment", "this comment begins in the middle of a word", label, help)
                });
                self.comments.push(at..end);
                self.push(Kind::Word, at);
                self.at = end;
                self.spaced = true;
                return true;
            }
            self.hopeless = true;
        }
        self.glob(self.at)
    }

    pub(super) fn glob(&mut self, start: usize) -> bool {
        let end = self.text_end(start);
        let text = &self.text[start..end];
        self.faults.add(start, end, || {
            let message = format!("`/*` in `{}` begins a comment", shown(text));
            let help = format!("quote this glob: `{}`", quoted(text));
            Fault::new("syntax::glued-comment", message, "parts of it would be dropped", help)
        });
        self.push(Kind::Bad, end)
    }

    /// Where a text ends that was meant as one word: white space, `;`, `"`, or a bracket that it did not open.
    fn text_end(&self, from: usize) -> usize {
        let mut open = 0usize;
        for (n, c) in self.text[from..].char_indices() {
            match c {
                '{' | '(' => open += 1,
                '}' | ')' if open == 0 => return from + n,
                '}' | ')' => open -= 1,
                ';' | '"' => return from + n,
                _ if chars::is_blank(c) => return from + n,
                _ => {}
            }
        }
        self.text.len()
    }
}

/// The offset after the comment that begins at `start`; `None` when it is never closed, or nests too deep.
pub(super) fn end_of_block(text: &str, start: usize) -> Option<usize> {
    match comment_end(text, start) {
        CommentEnd::At(end) => Some(end),
        CommentEnd::Never { .. } | CommentEnd::TooDeep(_) => None,
    }
}

enum CommentEnd {
    At(usize),
    /// `inner`: the last comment inside it that was closed.
    Never {
        inner: Option<usize>,
    },
    TooDeep(usize),
}

/// Where the comment that begins at `start` ends; comments nest.
fn comment_end(text: &str, start: usize) -> CommentEnd {
    let bytes = text.as_bytes();
    let (mut at, mut open, mut inner) = (start + 2, vec![start], None);
    while let Some(found) = bytes[at..].iter().position(|byte| matches!(byte, b'*' | b'/')) {
        at += found;
        match bytes.get(at..at + 2) {
            Some(b"/*") if open.len() == DEPTH => return CommentEnd::TooDeep(at),
            Some(b"/*") => {
                open.push(at);
                at += 2;
            }
            Some(b"*/") => {
                inner = open.pop().filter(|begin| *begin != start);
                at += 2;
                if open.is_empty() {
                    return CommentEnd::At(at);
                }
            }
            _ => at += 1,
        }
    }
    CommentEnd::Never { inner }
}
