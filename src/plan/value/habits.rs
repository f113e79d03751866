//! Expressions as other languages write them: what is meant, and how it is written here.
//! In: an expression that may not be one here. Out: the part that shows the habit, what is wrong with it, and what to write.
//! Never: an expression that means something here.

use std::ops::Range;

use super::engine::FILTERS;
use super::template::Dotted;

/// A habit that was met.
pub(super) struct Habit {
    /// The part of the expression.
    pub part: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: String,
}

/// Signs of other languages, with what stands for them here.
const SIGNS: &[(&str, &str)] = &[
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("===", "write `==`"),
    ("!==", "write `!=`"),
    ("=~", "texts are compared whole, or searched: `'part' in name`"),
    ("*", "expressions pick and shape texts: names, `.`, `[…]`, `|filter`, `~`, `+`, `-`, comparisons, `if … else …`"),
    ("/", "numbers are added and subtracted only; a path is put together outside: `${folder}/${name}`"),
    ("%", "numbers are added and subtracted only"),
];

/// What values belong to in other tools.
const HOLDERS: &[&str] = &[
    "arg", "args", "each", "input", "inputs", "let", "local", "locals", "matrix", "param", "params", "self", "strategy", "this", "values",
    "var", "vars",
];

/// The first habit of an expression.
pub(super) fn of(text: &str) -> Option<Habit> {
    let plain = unquoted(text);
    let trimmed = plain.trim_start();
    let start = plain.len() - trimmed.len();
    let habit = |part: Range<usize>, message: &str, help: String| Some(Habit { part, message: message.to_owned(), help });
    if trimmed.starts_with('{') {
        let inner = text.trim().trim_matches(['{', '}', ' ']);
        let inner = inner.strip_prefix("github.").map_or_else(|| inner.to_owned(), |rest| format!("git.{rest}"));
        return habit(start..start + 1, "an expression stands in one pair of braces", format!("write `${{{inner}}}`"));
    }
    if let Some(rest) = trimmed.strip_prefix('.') {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
        let here = match name.as_str() {
            "Version" | "Tag" => "git.version".to_owned(),
            "Commit" | "FullCommit" => "git.sha".to_owned(),
            "ShortCommit" => "git.short".to_owned(),
            "Branch" => "git.branch".to_owned(),
            "Os" => "platform.os".to_owned(),
            "Arch" => "platform.arch".to_owned(),
            _ => name.trim_start_matches("Env.").to_owned(),
        };
        return habit(start..start + 1 + name.len(), "a name does not begin with `.`", format!("write `${{{here}}}`"));
    }
    if let Some(at) = [":-", ":=", ":?", ":+"].iter().find_map(|sign| plain.find(sign)) {
        let (name, value) = (text[..at].trim(), text[at + 2..].trim().trim_matches('\''));
        let help = format!("write `${{{name}|default('{value}')}}`; a variable of the environment is `env.{name}`");
        return habit(at..at + 2, "a default is given by a filter", help);
    }
    if let (Some(question), Some(colon)) = (plain.find('?'), plain.rfind(':'))
        && question < colon
    {
        let parts = [&text[..question], &text[question + 1..colon], &text[colon + 1..]].map(str::trim);
        let help = format!("write `${{{} if {} else {}}}`", parts[1], parts[0], parts[2]);
        return habit(question..question + 1, "a choice is written with `if` and `else`", help);
    }
    // The longest sign first, so that `===` is not taken for something shorter.
    let sign = SIGNS.iter().filter_map(|(sign, help)| Some((plain.find(sign)?, *sign, *help)));
    if let Some((at, sign, help)) = sign.min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len()))) {
        return habit(at..at + sign.len(), &format!("`{sign}` is not part of an expression"), help.to_owned());
    }
    if let Some(at) = plain.match_indices('!').map(|(at, _)| at).find(|at| !plain[at + 1..].starts_with('=')) {
        return habit(at..at + 1, "`!` is not part of an expression", "write `not`".to_owned());
    }
    call(&plain, text)
}

/// `upper(name)`, `env('HOME')`.
fn call(plain: &str, text: &str) -> Option<Habit> {
    for (open, _) in plain.match_indices('(') {
        let before = plain[..open].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        let name = &plain[before.len()..open];
        if name.is_empty() || before.trim_end().ends_with('|') || ["and", "or", "not", "if", "else", "in", "is"].contains(&name) {
            continue;
        }
        let inside = text[open + 1..].split(')').next().unwrap_or_default().trim();
        let help = if let "env" | "getenv" | "os.getenv" | "env.get" | "env_var" = name {
            format!("write `${{env.{}}}`", inside.split(',').next().unwrap_or_default().trim().trim_matches(['\'', '"']))
        } else if FILTERS.iter().any(|filter| filter.name == name) {
            format!("`{name}` is a filter: write `${{{inside}|{name}}}`")
        } else if let Some((value, method)) = name.rsplit_once('.') {
            let filter = FILTERS.iter().find(|filter| filter.name == method);
            filter.map_or_else(filters, |filter| format!("write `${{{value}|{}}}`", filter.name))
        } else {
            filters()
        };
        return Some(Habit { part: before.len()..open, message: format!("there is no function `{name}`"), help });
    }
    None
}

/// What an unknown name stands for in other tools, and how that is written here.
pub(super) fn name(name: &Dotted, names: &[&str], is_secret: impl Fn(&str) -> bool) -> Option<String> {
    let (root, second) = (name.root(), name.second());
    let secret = |name: &str| {
        let variable = name.to_uppercase().replace(['-', '.'], "_");
        format!("a secret is no value of the plan: `secret \"{name}\"` in a task gives its commands the variable `{variable}`")
    };
    if is_secret(root) {
        return Some(secret(root));
    }
    match (root, second?) {
        ("secret" | "secrets", word) => Some(secret(word)),
        ("github" | "gitlab" | "build", word) => Some(match word {
            "sha" => "write `${git.sha}`".to_owned(),
            "ref" | "ref_name" | "head_ref" => "write `${git.branch}` or `${git.tag}`".to_owned(),
            "run_id" | "run_number" => "write `${ci.run}`".to_owned(),
            _ => "the commit is `git.…`, the CI system `ci.…`".to_owned(),
        }),
        (root, word) if HOLDERS.contains(&root) && names.contains(&word) => Some(format!("names stand alone: write `${{{word}}}`")),
        _ => None,
    }
}

fn filters() -> String {
    let names: Vec<&str> = FILTERS.iter().map(|filter| filter.name).collect();
    format!("values are shaped by filters, `value|filter`: {}", names.join(", "))
}

/// The text with everything between quotes blanked out, byte for byte.
fn unquoted(text: &str) -> String {
    let mut open: Option<char> = None;
    let mut escaped = false;
    let blank = |c: char| " ".repeat(c.len_utf8());
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match open {
            Some(quote) => {
                if c == quote && !escaped {
                    open = None;
                }
                escaped = c == '\\' && !escaped;
                plain.push_str(&blank(c));
            }
            None if matches!(c, '\'' | '"') => {
                open = Some(c);
                plain.push_str(&blank(c));
            }
            None => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_habit_is_answered_with_what_to_write() {
        for (text, part, help) in [
            ("a && b", "&&", "write `and`"),
            ("a || b", "||", "write `or`"),
            ("a === b", "===", "write `==`"),
            ("!a", "!", "write `not`"),
            ("{ github.sha }", "{", "write `${git.sha}`"),
            (".Version", ".Version", "write `${git.version}`"),
            ("TAG:-latest", ":-", "`${TAG|default('latest')}`"),
            ("d ? 'a' : 'b'", "?", "write `${'a' if d else 'b'}`"),
            ("4 / 2", "/", "added and subtracted"),
            ("upper(git.branch)", "upper", "write `${git.branch|upper}`"),
            ("git.branch.lower()", "git.branch.lower", "write `${git.branch|lower}`"),
            ("env('HOME')", "env", "write `${env.HOME}`"),
            ("range(3)", "range", "shaped by filters"),
        ] {
            let found = of(text).unwrap();
            assert_eq!(&text[found.part.clone()], part, "{text}");
            assert!(found.help.contains(help), "{text}: {}", found.help);
        }
    }

    #[test]
    fn what_means_something_here_is_no_habit() {
        for text in
            ["a|replace('/', '-')", "not (a == 'x?y:z')", "a != b", "x['é&&'] ~ 'ü*'", "a if (b) else c", "'it\\'s %'", "a and (b or c)"]
        {
            assert!(of(text).is_none(), "{text}");
        }
    }
}
