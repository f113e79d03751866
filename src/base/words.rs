//! Plurals, lists, quoting: so that no message says "1 steps" and no hostile byte reaches a terminal.

use std::fmt::Write as _;

/// `1 step`, `2 steps`, `0 steps`; words in -y, -s, -x, -ch and -sh are made plural as English does.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {}", plural(noun)) }
}

fn plural(noun: &str) -> String {
    if let Some(stem) = noun.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'i', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    if ["s", "x", "ch", "sh"].iter().any(|ending| noun.ends_with(ending)) {
        return format!("{noun}es");
    }
    format!("{noun}s")
}

/// `a task`, `an image`.
#[must_use]
pub fn with_article(noun: &str) -> String {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { format!("an {noun}") } else { format!("a {noun}") }
}

/// `` `a`, `b` and `c` ``.
#[must_use]
pub fn list<S: AsRef<str>>(items: &[S], last: &str) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("`{}`", item.as_ref())).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// Makes control characters, escape sequences and direction marks visible, so that a text can be shown anywhere.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a character could move the cursor, hide, or turn the direction of the text around it.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{61c}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}

/// Cuts a text to at most `limit` characters and marks the cut.
#[must_use]
pub fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// A cause as the system worded it, without its number and in lower case: `Connection refused (os error 111)`.
#[must_use]
pub fn cause(text: &str) -> String {
    let text = text.rsplit_once(" (os error ").filter(|(_, rest)| rest.ends_with(')')).map_or(text, |(words, _)| words);
    let mut rest = text.chars();
    match (rest.next(), rest.clone().next()) {
        // An abbreviation keeps its capitals.
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(rest).collect(),
        _ => text.to_owned(),
    }
}

/// The candidate that a person who typed `word` most likely meant, if any is near enough.
#[must_use]
pub fn closest<'a, I: IntoIterator<Item = &'a str>>(word: &str, candidates: I) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        // Of two that are as near, the one with the same letters in the same order: `usr` is `user`, not `use`.
        .map(|(distance, candidate)| (distance, -strsim::jaro_winkler(word, candidate), candidate))
        .min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(b.2)))
        .map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_english() {
        for (n, noun, expected) in [
            (1, "step", "1 step"),
            (0, "step", "0 steps"),
            (2, "registry", "2 registries"),
            (3, "key", "3 keys"),
            (2, "match", "2 matches"),
        ] {
            assert_eq!(count(n, noun), expected);
        }
    }

    #[test]
    fn causes_of_the_system_fit_into_a_sentence() {
        for (text, expected) in [
            ("Connection refused (os error 111)", "connection refused"),
            ("No such file or directory (os error 2)", "no such file or directory"),
            ("TLS alert", "TLS alert"),
            ("failed (os error", "failed (os error"),
            ("", ""),
        ] {
            assert_eq!(cause(text), expected);
        }
    }

    #[test]
    fn articles_follow_the_first_letter() {
        assert_eq!((with_article("task"), with_article("image")), ("a task".to_owned(), "an image".to_owned()));
    }

    #[test]
    fn the_closest_word_is_found_and_far_words_are_not() {
        assert_eq!(closest("scna", ["scan", "push"]), Some("scan"));
        assert_eq!(closest("usr", ["use", "user"]), Some("user"));
        assert_eq!(closest("zzz", ["scan", "push"]), None);
    }

    #[test]
    fn escape_sequences_are_shown_not_sent() {
        assert_eq!(visible("a\u{1b}[31m\u{202e}b"), "a\\u{1b}[31m\\u{202e}b");
        assert_eq!(visible("a\u{61c}\u{e0041}b"), "a\\u{61c}\\u{e0041}b");
    }
}
