//! Habits of other languages inside a plan: `["a", "b"]`, `"name": value`, `run |`, `<<EOF`.
//! In: the walk over the tokens, where one of them stands. Out: one fault for all of it; the walk stands behind it.
//! Never: a fault for every bracket, comma and line of one list or text.

use crate::syntax::chars;
use crate::syntax::faults::{Fault, shown};
use crate::syntax::prescan::{Kind, Token};
use crate::syntax::shape::Walk;

/// How many tokens a list may have to be recognised.
const REACH: usize = 400;

impl Walk<'_> {
    /// A list between brackets that begins here: the index of the token behind it, and its values as KDL writes them.
    pub(super) fn list_ahead(&self) -> Option<(usize, String)> {
        let first = self.token().filter(|token| token.kind == Kind::Word && self.text_of(*token).starts_with('['))?;
        let mut values = Vec::new();
        for (n, token) in self.tokens[self.next..].iter().enumerate().take(REACH) {
            match token.kind {
                Kind::Word => {
                    let text = self.text_of(*token);
                    values.extend(text.split([',', '[', ']']).filter(|part| !part.is_empty()).map(str::to_owned));
                    if text.trim_end_matches(',').ends_with(']') {
                        // A pattern such as `[0-9]` stands alone, and holds no comma.
                        let pattern = token.start() == first.start() && !text.contains(',') && text != "[]";
                        return (!pattern).then(|| (self.next + n + 1, values.join(" ")));
                    }
                }
                Kind::Text => values.push(self.text_of(*token).to_owned()),
                Kind::Newline => {}
                _ => return None,
            }
        }
        None
    }

    /// Takes a list between brackets; says whether one stood here. `key`: the property that it is the value of.
    pub(super) fn list(&mut self, key: Option<Token>) -> bool {
        let Some((next, values)) = self.list_ahead() else { return false };
        let start = self.token().map_or(0, Token::start);
        self.next = next;
        let key = key.map(|key| self.text_of(key));
        self.fault(start..self.taken_to(), || {
            let help = match key {
                _ if values.is_empty() => "leave it out".to_owned(),
                None => format!("write `{}`", shown(&values)),
                Some(key) => format!("a property has one value; write a node in the block: `{} {}`", shown(key), shown(&values)),
            };
            Fault::new("syntax::unquoted-bracket", "a list has no brackets and no commas", "values stand one after the other", help)
        });
        true
    }

    /// Takes the `:` of `"name": value`; says whether one stood here.
    pub(super) fn colon_after_quotes(&mut self) -> bool {
        let Some(colon) = self.token().filter(|token| token.kind == Kind::Word && !token.spaced) else { return false };
        let Some(before) = self.next.checked_sub(1).map(|n| self.tokens[n]).filter(|token| token.kind == Kind::Text) else { return false };
        if self.text_of(colon) != ":" {
            return false;
        }
        self.next += 1;
        let (name, value) = (shown(self.text_of(before)), self.token());
        let value = value.filter(|token| !matches!(token.kind, Kind::Newline | Kind::Close)).map(|token| shown(self.text_of(token)));
        self.fault(colon.range(), || {
            let help = match value {
                Some(value) if value != "{" => format!("a node is written `{name} {value}`, a property `{name}={value}`"),
                _ => format!("a block stands between braces: `{name} {{ … }}`"),
            };
            Fault::new("syntax::colon-name", "a name is parted from its value by a space or `=`, not by `:`", "no colon here", help)
        });
        true
    }

    /// Takes the mark of a text of several lines as YAML (`|`, `>`) and the shell (`<<EOF`) write it, and the lines of that text.
    pub(super) fn block_text(&mut self) -> bool {
        let Some(mark) = self.token().filter(|token| token.kind == Kind::Word) else { return false };
        let text = self.text_of(mark);
        // A `}` stands on a line of its own when the file is formatted.
        let ends_line =
            self.tokens.get(self.next + 1).is_none_or(|token| matches!(token.kind, Kind::Newline | Kind::Semicolon | Kind::Close));
        let word = text.strip_prefix("<<").map(|word| word.trim_start_matches(['-', '~'])).filter(|word| !word.is_empty());
        if !ends_line || !(matches!(text, "|" | "|-" | "|+" | ">" | ">-" | ">+") || word.is_some()) {
            return false;
        }
        self.next += 1;
        let depth = self.indent_of(mark);
        while let Some(token) = self.token().filter(|token| !matches!(token.kind, Kind::Open | Kind::Close | Kind::Slashdash)) {
            let fresh = self.next > 0 && self.tokens[self.next - 1].kind == Kind::Newline;
            if let Some(word) = word {
                if self.text_of(token) == word {
                    self.next += 1;
                    break;
                }
            } else if fresh && self.indent_of(token) <= depth {
                // The line end before it ends the node.
                self.next -= 1;
                break;
            }
            self.next += 1;
        }
        self.fault(mark.range(), || {
            let help = "write `\"\"\"`, the text on lines of its own, then `\"\"\"`; with `#\"\"\"` on both sides nothing in it is escaped";
            Fault::new("syntax::block-text", format!("`{}` begins no text", shown(text)), "a text stands between quotes", help)
        });
        true
    }

    /// The white space at the beginning of the line of a token, in bytes.
    fn indent_of(&self, token: Token) -> usize {
        let line = self.text[..token.start()].rfind('\n').map_or(0, |n| n + 1);
        chars::skip_spaces(self.text, line) - line
    }
}
