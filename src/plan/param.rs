//! Values from outside: what a `param` may be, what it is now, and who said so; the profiles that can be chosen.
//! In: a text. Out: the typed value, or why the text is none. Never: looks anything up.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Span;
use crate::base::path::RelPath;
use crate::base::words;

/// A declared parameter: what help, completion and the schema say about it, and its value in this plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ParamDef {
    /// Its name.
    pub name: String,
    /// What its value must be.
    pub kind: ParamKind,
    /// One line about it.
    pub doc: Option<String>,
    /// The default as it is written, `${…}` and all; `None` when a value must be given.
    pub default: Option<String>,
    /// The only values that it may have; empty when there is no such list.
    pub choices: Vec<String>,
    /// The value as text; `None` when there is none, or when it rests on something that was not asked.
    pub value: Option<String>,
    /// Who gave the value.
    pub origin: ParamOrigin,
    /// The name in the source.
    pub span: Span,
}

/// The types of parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParamKind {
    /// Any text.
    Text,
    /// A whole number of 64 bits.
    Int,
    /// A finite number.
    Number,
    /// `true` or `false`.
    Bool,
    /// A path of the project.
    Path,
    /// A version with three numbers.
    Semver,
}

/// Who gave a parameter its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParamOrigin {
    /// `--set`.
    CommandLine,
    /// The file that includes the one which declares it.
    Include,
    /// The environment variable of this name.
    Environment(String),
    /// The profile of this name.
    Profile(String),
    /// `default=`.
    Default,
    /// Nobody.
    Missing,
}

/// A declared profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProfileDef {
    /// Its name.
    pub name: String,
    /// One line about it.
    pub doc: Option<String>,
    /// Whether it was chosen.
    pub active: bool,
    /// The name in the source.
    pub span: Span,
}

/// The value of a parameter, typed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Typed {
    Text(String),
    Int(i64),
    Number(f64),
    Bool(bool),
}

impl Typed {
    /// The text of it; that of a number is as it was written.
    pub(super) fn text(self, written: &str) -> String {
        match self {
            Self::Text(text) => text,
            Self::Bool(flag) => flag.to_string(),
            Self::Int(_) | Self::Number(_) => written.to_owned(),
        }
    }

    /// The number, if it is one.
    pub(super) const fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Bool(_) => None,
        }
    }
}

impl ParamKind {
    /// The types by their words in the plan.
    pub const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Text, "text"),
        (Self::Int, "int"),
        (Self::Number, "number"),
        (Self::Bool, "bool"),
        (Self::Path, "path"),
        (Self::Semver, "semver"),
    ];

    /// The word in the plan.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("text", |(_, word)| word)
    }

    /// Whether `min=` and `max=` mean something.
    pub(super) const fn has_range(self) -> bool {
        matches!(self, Self::Int | Self::Number)
    }

    /// Reads a text as a value of this type.
    ///
    /// # Errors
    /// Why it is none, to follow the text in a message, and what to do when that can be said.
    pub(super) fn read(self, text: &str) -> Result<Typed, (String, Option<String>)> {
        let refuse = |why: &str, help: Option<String>| Err((why.to_owned(), help));
        match self {
            Self::Text => Ok(Typed::Text(text.to_owned())),
            Self::Int => match text.parse::<i64>() {
                Ok(number) if number.to_string() == text => Ok(Typed::Int(number)),
                Ok(number) => refuse("is not written like a whole number", Some(format!("write `{number}`"))),
                Err(_) if !text.is_empty() && text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) => {
                    refuse("is beyond what a whole number can be (64 bits)", None)
                }
                Err(_) => refuse("is not a whole number", None),
            },
            Self::Number => {
                let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'));
                match text.parse::<f64>() {
                    Ok(number) if plain && number.is_finite() => Ok(Typed::Number(number)),
                    Ok(_) if plain => refuse("is beyond what a number can be", None),
                    _ => refuse("is not a number", None),
                }
            }
            Self::Bool => match text {
                "true" => Ok(Typed::Bool(true)),
                "false" => Ok(Typed::Bool(false)),
                "1" | "yes" | "on" | "True" | "TRUE" | "#true" => refuse("is not `true` or `false`", Some("write `true`".to_owned())),
                "0" | "no" | "off" | "False" | "FALSE" | "#false" => refuse("is not `true` or `false`", Some("write `false`".to_owned())),
                _ => refuse("is not `true` or `false`", None),
            },
            Self::Path if text.is_empty() => refuse("names no path", Some("`.` is the whole project".to_owned())),
            Self::Path => match RelPath::new(text) {
                Ok(path) => Ok(Typed::Text(path.to_string())),
                Err(why) => Err((why.to_string(), Some("a `path` lies below the project; any other path is a `text`".to_owned()))),
            },
            Self::Semver => match semver::Version::parse(text) {
                Ok(_) => Ok(Typed::Text(text.to_owned())),
                Err(error) => {
                    let bare = text.strip_prefix('v').filter(|rest| semver::Version::parse(rest).is_ok());
                    let help =
                        bare.map_or_else(|| "a version has three numbers, like `1.4.2`".to_owned(), |rest| format!("write `{rest}`"));
                    Err((format!("is not a version: {error}"), Some(help)))
                }
            },
        }
    }

    /// A value of the right form for one that nobody gave.
    pub(super) fn stand_in(self) -> Typed {
        match self {
            Self::Text | Self::Path | Self::Semver => Typed::Text(super::facts::STAND_IN.to_owned()),
            Self::Int => Typed::Int(0),
            Self::Number => Typed::Number(0.0),
            Self::Bool => Typed::Bool(false),
        }
    }
}

impl fmt::Display for ParamOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("--set"),
            Self::Include => f.write_str("`include`"),
            Self::Environment(variable) => f.write_str(variable),
            Self::Profile(name) => write!(f, "profile `{}`", words::visible(name)),
            Self::Default => f.write_str("its default"),
            Self::Missing => f.write_str("nobody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_value_of_a_type_only_when_it_is_written_like_one() {
        for (kind, good, bad) in [
            (
                ParamKind::Int,
                &["0", "-7", "9223372036854775807"][..],
                &["", "+7", "007", "1.0", "1e3", "0x1f", "9223372036854775808", " 7", "٣"][..],
            ),
            (ParamKind::Number, &["0", "-1.5", "1e3"], &["", "nan", "inf", "1e400", "-1e400", "1,5", "1_000", "0x1f"]),
            (ParamKind::Bool, &["true", "false"], &["", "1", "yes", "True", "#true"]),
            (ParamKind::Path, &["a", "a/b.c"], &["", "/etc", "../x", "a/../../x", "a\0b"]),
            (ParamKind::Semver, &["1.2.3", "1.2.3-rc.1+b"], &["", "v1.2.3", "1.2", "1.2.3.4", "01.2.3"]),
        ] {
            good.iter().for_each(|text| assert!(kind.read(text).is_ok(), "{kind:?} {text}"));
            bad.iter().for_each(|text| assert!(kind.read(text).is_err(), "{kind:?} {text}"));
        }
    }
}
