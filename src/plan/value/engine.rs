//! The expression engine: minijinja with a short list of filters, strict about undefined names, bounded in what it makes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, filters};

use crate::base::platform::Platform;

use super::compare::{COMPARE, compare};

/// The most bytes that one value may have, all parts of a list or map together.
pub(in crate::plan) const VALUE_LIMIT: usize = 64 * 1024;
/// The most bytes that all values of a plan may have together.
pub(in crate::plan) const PLAN_LIMIT: usize = 64 * 1024 * 1024;
/// The most bytes of one expression.
pub(in crate::plan) const EXPRESSION_LIMIT: usize = 1024;

/// A filter: `value|name`.
pub(in crate::plan) struct Filter {
    /// Its name.
    pub name: &'static str,
    /// What it gives.
    pub doc: &'static str,
    /// An expression that uses it, and the text that this gives. A test evaluates each.
    pub example: (&'static str, &'static str),
}

const fn filter(name: &'static str, doc: &'static str, expression: &'static str, text: &'static str) -> Filter {
    Filter { name, doc, example: (expression, text) }
}

/// The filters that an expression may use.
pub(in crate::plan) const FILTERS: &[Filter] = &[
    filter("default", "another value where there is none", "env.TAG|default('dev')", "dev"),
    filter("first", "the first item of a list or character of a text", "['api', 'worker']|first", "api"),
    filter("join", "the items of a list as one text", "['api', 'worker']|join(',')", "api,worker"),
    filter("last", "the last item of a list or character of a text", "['api', 'worker']|last", "worker"),
    filter("length", "the number of items or characters", "['api', 'worker']|length", "2"),
    filter("lower", "in lower case", "'README'|lower", "readme"),
    filter("major", "the first number of a version", "'1.4.2'|major", "1"),
    filter("minor", "its second number", "'1.4.2'|minor", "4"),
    filter("patch", "its third number", "'1.4.2'|patch", "2"),
    filter("replace", "with one part replaced by another", "'my_app'|replace('_', '-')", "my-app"),
    filter(
        "slug",
        "in lower case, all but letters, digits, `.` and `_` as `-`, at most 128 characters",
        "'feature/New login'|slug",
        "feature-new-login",
    ),
    filter("sort", "the items of a list in order", "['b', 'c', 'a']|sort|join(' ')", "a b c"),
    filter("split", "a list of the parts of a text", "'a/b/c'|split('/')|last", "c"),
    filter("trim", "without spaces at both ends", "' x '|trim", "x"),
    filter("unique", "the items of a list, each once", "['a', 'b', 'a']|unique|join(' ')", "a b"),
    filter("upper", "in upper case", "'dev'|upper", "DEV"),
];

/// The tests that may follow `is`, with one line each.
pub(in crate::plan) const TESTS: &[(&str, &str)] = &[("defined", "whether there is a value: `env.CI is defined`")];

/// What else an expression may say, with the text that it gives. A test evaluates each.
pub(in crate::plan) const FORMS: &[(&str, &str, &str)] = &[
    ("an item, a key", "['a', 'b'][1]", "b"),
    ("texts put together", "'web' ~ '-' ~ 2", "web-2"),
    ("sums of numbers", "8080 + 1 - 2", "8079"),
    ("comparisons", "1 < 2 and 'a' != 'b'", "true"),
    ("whether a list or a text holds something", "'b' in ['a', 'b']", "true"),
    ("the contrary", "not ('x' == 'y')", "true"),
    ("a choice", "'debug' if 1 == 2 else 'release'", "release"),
];

/// Makes the engine. It knows [`FILTERS`], [`TESTS`], and no function that an expression can name.
pub(in crate::plan) fn engine() -> Environment<'static> {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.add_filter("default", filters::default);
    engine.add_filter("first", filters::first);
    engine.add_filter("join", join);
    engine.add_filter("last", filters::last);
    engine.add_filter("length", filters::length);
    engine.add_filter("lower", |text: Cow<'_, str>| text.to_lowercase());
    engine.add_filter("major", |text: Cow<'_, str>| version(&text).map(|version| version.major.to_string()));
    engine.add_filter("minor", |text: Cow<'_, str>| version(&text).map(|version| version.minor.to_string()));
    engine.add_filter("patch", |text: Cow<'_, str>| version(&text).map(|version| version.patch.to_string()));
    engine.add_filter("replace", replace);
    engine.add_filter("slug", |text: Cow<'_, str>| slug(&text).ok_or_else(|| bad(format!("`{text}` has no letter or digit for a slug"))));
    engine.add_filter("sort", sort);
    engine.add_filter("split", filters::split);
    engine.add_filter("trim", |text: Cow<'_, str>| text.trim().to_owned());
    engine.add_filter("unique", unique);
    engine.add_filter("upper", |text: Cow<'_, str>| text.to_uppercase());
    engine.add_test("defined", minijinja::tests::is_defined);
    engine.add_function(COMPARE, |left: &str, operator: &str, right: &str| compare(left, operator, right));
    engine
}

fn bad(text: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

fn too_large() -> Error {
    bad(format!("the text grows beyond {}", crate::base::size::ByteSize(VALUE_LIMIT as u64)))
}

fn version(text: &str) -> Result<semver::Version, Error> {
    let number = text.strip_prefix('v').unwrap_or(text);
    semver::Version::parse(number).map_err(|error| bad(format!("`{text}` is not a version: {error}")))
}

/// A text for tags, host names and paths; `None` when nothing is left.
pub(in crate::plan) fn slug(text: &str) -> Option<String> {
    slug_within(text, TAG_LIMIT)
}

/// The most characters of a tag. Source: distribution-spec 1.1, "Pulling manifests".
pub(in crate::plan) const TAG_LIMIT: usize = 128;

/// A slug of at most so many characters.
pub(in crate::plan) fn slug_within(text: &str, limit: usize) -> Option<String> {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() || (matches!(c, '.' | '_') && !slug.is_empty()) {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= limit {
            break;
        }
    }
    let slug = slug.trim_end_matches(['-', '.', '_']);
    (!slug.is_empty()).then(|| slug.to_owned())
}

fn join(list: &Value, separator: Option<Cow<'_, str>>) -> Result<String, Error> {
    let mut text = String::new();
    for (index, item) in list.try_iter()?.enumerate() {
        if index > 0 {
            text.push_str(separator.as_deref().unwrap_or_default());
        }
        text.push_str(&display(&item).map_err(bad)?);
        if text.len() > VALUE_LIMIT {
            return Err(too_large());
        }
    }
    Ok(text)
}

fn sort(list: &Value) -> Result<Vec<Value>, Error> {
    let mut items: Vec<Value> = list.try_iter()?.collect();
    items.sort();
    Ok(items)
}

fn unique(list: &Value) -> Result<Vec<Value>, Error> {
    let mut seen = std::collections::BTreeSet::new();
    Ok(list.try_iter()?.filter(|item| seen.insert(item.clone())).collect())
}

fn replace(text: Cow<'_, str>, from: Cow<'_, str>, to: Cow<'_, str>) -> Result<String, Error> {
    if from.is_empty() {
        return Err(bad("`replace` needs a text to look for"));
    }
    let found = text.matches(from.as_ref()).count();
    if found.saturating_mul(to.len()).saturating_add(text.len()) > VALUE_LIMIT {
        return Err(too_large());
    }
    Ok(text.replace(from.as_ref(), &to))
}

/// `${platform}`: its parts by name; as a text `linux-arm-v7`, so that `dist/${platform}/app` is one folder.
#[derive(Debug)]
pub(in crate::plan) struct PlatformValue(pub Platform);

impl Object for PlatformValue {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "os" => Some(Value::from(self.0.os())),
            "arch" => Some(Value::from(self.0.arch())),
            "variant" => self.0.variant().map(Value::from),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.dashed())
    }
}

/// A value whose parts are all there, and small enough.
///
/// The engine makes lists lazily; nothing lazy may leave it, or its size would not be known.
pub(in crate::plan) fn settle(value: &Value, room: &mut usize) -> Option<Value> {
    let mut take = |bytes: usize| {
        *room = room.checked_sub(bytes)?;
        Some(())
    };
    if value.downcast_object_ref::<PlatformValue>().is_some() {
        return Some(value.clone());
    }
    match value.kind() {
        ValueKind::String => take(value.as_str().map_or(0, str::len)).map(|()| value.clone()),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter().ok()? {
                *room = room.checked_sub(8)?;
                items.push(settle(&item, room)?);
            }
            Some(Value::from(items))
        }
        ValueKind::Map => {
            let mut entries = BTreeMap::new();
            for key in value.try_iter().ok()? {
                let name = key.to_string();
                *room = room.checked_sub(name.len() + 8)?;
                entries.insert(name, settle(&value.get_item(&key).ok()?, room)?);
            }
            Some(entries.into_iter().collect())
        }
        _ => Some(value.clone()),
    }
}

/// The text of a value that has one.
///
/// # Errors
/// What it is instead, for a message.
pub(in crate::plan) fn display(value: &Value) -> Result<String, &'static str> {
    if value.downcast_object_ref::<PlatformValue>().is_some() {
        return Ok(value.to_string());
    }
    match value.kind() {
        // The engine itself writes `True`, which neither a shell nor JSON takes.
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        ValueKind::Seq | ValueKind::Iterable => Err("it is a list; take one item, or join it: `list|join(\",\")`"),
        ValueKind::Map => Err("it is a map; name one of its keys"),
        ValueKind::Undefined | ValueKind::None => Err("it has no value"),
        _ => Err("it is not a text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_fit_a_tag() {
        for (text, expected) in [
            ("feature/Über cool", Some("feature-ber-cool")),
            ("--x--", Some("x")),
            ("v1.2_rc", Some("v1.2_rc")),
            ("../..", None),
            ("", None),
        ] {
            assert_eq!(slug(text).as_deref(), expected, "{text}");
        }
        assert_eq!(slug(&"ab/".repeat(100)).map(|slug| slug.len() <= 128), Some(true));
    }

    #[test]
    fn every_example_of_the_reference_gives_what_it_says() {
        let engine = engine();
        let examples = FILTERS.iter().map(|filter| filter.example).chain(FORMS.iter().map(|(_, expression, text)| (*expression, *text)));
        for (text, expected) in examples {
            let expression = engine.compile_expression_owned(text.to_owned()).unwrap();
            let values = Value::from_iter([("env", Value::from_iter::<[(&str, Value); 0]>([]))]);
            assert_eq!(display(&expression.eval(values).unwrap()).as_deref(), Ok(expected), "{text}");
        }
        for filter in FILTERS {
            assert!(filter.example.0.contains(&format!("|{}", filter.name)), "{}", filter.name);
        }
        for (name, _) in TESTS {
            assert!(engine.compile_expression_owned(format!("1 is {name}")).unwrap().eval(()).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_filter_cannot_make_a_text_that_is_too_large() {
        let engine = engine();
        let long = "x".repeat(VALUE_LIMIT);
        for text in ["x|replace('x', x)", "x|split('')|join(x)"] {
            let expression = engine.compile_expression(text).unwrap();
            assert!(expression.eval(Value::from_iter([("x", Value::from(long.as_str()))])).is_err(), "{text}");
        }
    }
}
