//! Why a key is another one: two manifests, compared thing by thing.
//! In: two manifests, as one walk wrote them. Out: one [`Difference`] for each thing that is not the same. Never: two bare
//! digests without the name of what they are of, one change told twice.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::words::{shorten, visible};
use crate::plan::basis::Values;

use super::{BASIS, KeyManifest};

/// What [`crate::base::canon::LineSink`] puts between the parts of a name.
const BETWEEN: &str = " › ";
/// What a key says of a file.
const FILE_ATTRIBUTES: &[&str] = &["content", "mode", "link", "kind"];

/// The kinds of things that go into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// A file, a link or a folder; its name is its path.
    File,
    /// A variable that the plan gives a value.
    Env,
    /// A variable that passes from kiln's own environment.
    PassEnv,
    /// A program; its name is as the plan names it.
    Tool,
    /// The image that another step made or fetched; its name is that step's.
    Image,
    /// What a step made that is neither a file nor an image read here; its name is that step's.
    Need,
    /// Scripts and programs that it runs.
    Command,
    /// The shell of its scripts.
    Shell,
    /// The platform that it is made for.
    Platform,
    /// The patterns that select what it reads.
    Inputs,
    /// The patterns that it promises to make.
    Outputs,
    /// The name of the image that it stands on.
    Base,
    /// The tags that it moves.
    Tags,
    /// Any other line of its definition, by its name.
    Setting,
    /// The profiles that were chosen.
    Profile,
    /// A `param` of the plan.
    Param,
    /// An argument of the task.
    Arg,
    /// A `let` of the plan, or the name or version of its project.
    Let,
    /// A fact of the repository, the CI system or the host.
    Fact,
}

/// One thing that goes into a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thing {
    /// What it is.
    pub sort: Sort,
    /// Which one; empty where a step has only one.
    pub name: String,
}

impl Thing {
    fn new(sort: Sort, name: impl Into<String>) -> Self {
        Self { sort, name: name.into() }
    }

    /// As a person calls it: a file by its path, a variable as `env CC`.
    #[must_use]
    pub fn words(&self) -> String {
        let name = &self.name;
        match self.sort {
            Sort::File | Sort::Setting | Sort::Fact => name.clone(),
            Sort::Profile => "the profile".to_owned(),
            Sort::Param => format!("param {name}"),
            Sort::Arg => format!("arg {name}"),
            Sort::Let if name.contains('.') => name.clone(),
            Sort::Let => format!("let {name}"),
            Sort::Env => format!("env {name}"),
            Sort::PassEnv => format!("variable {name}"),
            Sort::Tool => format!("tool {name}"),
            Sort::Image => format!("the image of {name}"),
            Sort::Need => format!("what {name} made"),
            Sort::Command => "the command".to_owned(),
            Sort::Shell => "the shell".to_owned(),
            Sort::Platform => "the platform".to_owned(),
            Sort::Inputs => "its inputs".to_owned(),
            Sort::Outputs => "its outputs".to_owned(),
            Sort::Base => "the base".to_owned(),
            Sort::Tags => "its tags".to_owned(),
        }
    }
}

/// One thing that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What.
    pub thing: Thing,
    /// How.
    pub change: Change,
}

/// How a thing changed. Values are as the key has them: digests in full, texts unshortened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there now; with its value where one is worth a line.
    Added(Option<String>),
    /// It is gone; with the value it had.
    Removed(Option<String>),
    /// It has another name, and is otherwise the same; the old name.
    Renamed(String),
    /// Bytes that are only known by their digests.
    Content(String, String),
    /// The bit that lets a file be executed.
    Mode(String, String),
    /// A value: a short one, or a text of several lines.
    Value(String, String),
    /// Members of a list: those that went, those that came.
    Members(Vec<String>, Vec<String>),
    /// The same members in another order.
    Order,
}

/// A thing's attributes, each with its values in order.
type Attributes = IndexMap<String, Vec<String>>;

/// Everything that differs between two manifests, in the order of the newer one; what is gone comes last.
#[must_use]
pub fn differences(old: &KeyManifest, new: &KeyManifest) -> Vec<Difference> {
    let (mut old, new) = (things(old), things(new));
    let mut found = Vec::new();
    for (thing, now) in new {
        match old.shift_remove(&thing) {
            None => found.push((Difference { change: Change::Added(only_value(&now)), thing }, now)),
            Some(before) => compare(&thing, &before, &now, &mut found),
        }
    }
    found.extend(old.into_iter().map(|(thing, before)| (Difference { change: Change::Removed(only_value(&before)), thing }, before)));
    renamed(found)
}

/// Every value of the plan that both definitions rest on and that is another one now; those that can decide others come first.
#[must_use]
pub fn values(old: &Values, new: &Values) -> Vec<(String, Difference)> {
    let text = |json: &String| match serde_json::from_str(json) {
        Ok(serde_json::Value::Null) => None,
        Ok(serde_json::Value::String(text)) => Some(text),
        _ => Some(json.clone()),
    };
    let both = old.iter().filter_map(|(name, before)| Some((name, before, new.get(name)?)));
    let differ = both.filter(|(_, before, now)| before != now);
    let mut found: Vec<(String, Difference)> = differ
        .map(|(name, before, now)| {
            let change = match (text(before), text(now)) {
                (Some(before), Some(now)) => Change::Value(before, now),
                (None, now) => Change::Added(now),
                (before, None) => Change::Removed(before),
            };
            (name.clone(), Difference { thing: value(name), change })
        })
        .collect();
    found.sort_by_key(|(_, difference)| RANK.iter().position(|sort| *sort == difference.thing.sort));
    found
}

/// Sorts of values: an earlier one can decide a later one.
const RANK: &[Sort] = &[Sort::Profile, Sort::Arg, Sort::Param, Sort::PassEnv, Sort::Fact, Sort::Let];

/// The value that goes by this name.
fn value(name: &str) -> Thing {
    match name.split_once(' ') {
        Some(("param", name)) => Thing::new(Sort::Param, name),
        Some(("let", name)) => Thing::new(Sort::Let, name),
        // Behind the name of the task.
        Some((_, own)) => Thing::new(Sort::Arg, own.rsplit(' ').next().unwrap_or(own)),
        None if name == "profile" => Thing::new(Sort::Profile, ""),
        None => match name.split_once('.') {
            Some(("env", variable)) => Thing::new(Sort::PassEnv, variable),
            Some(("git" | "ci" | "host", _)) => Thing::new(Sort::Fact, name),
            _ => Thing::new(Sort::Let, name),
        },
    }
}

/// What to name in one clause: where a value of the plan changed, it, and not the lines of the definition that it can have changed.
#[must_use]
pub fn roots(differences: Vec<Difference>, values: Vec<(String, Difference)>) -> Vec<Difference> {
    let is_definition = |sort: Sort| {
        use Sort::{Base, Command, Env, Inputs, Outputs, Platform, Setting, Shell, Tags};
        matches!(sort, Base | Command | Env | Inputs | Outputs | Platform | Setting | Shell | Tags)
    };
    let Some(sort) = values.first().map(|(_, first)| first.thing.sort) else { return differences };
    if !differences.iter().any(|one| is_definition(one.thing.sort)) {
        return differences;
    }
    let values = values.into_iter().map(|(_, one)| one).filter(|one| one.thing.sort == sort);
    values.chain(differences.into_iter().filter(|one| !is_definition(one.thing.sort))).collect()
}

fn things(manifest: &KeyManifest) -> IndexMap<Thing, Attributes> {
    let mut things: IndexMap<Thing, Attributes> = IndexMap::new();
    for (name, value) in manifest.0.iter().filter(|(name, _)| !name.starts_with(BASIS)) {
        let (thing, attribute) = thing(name);
        let values = things.entry(thing.clone()).or_default().entry(attribute).or_default();
        // All that a step runs is one text, as a person wrote it.
        match (thing.sort, values.first_mut()) {
            (Sort::Command, Some(text)) => {
                text.push('\n');
                text.push_str(value);
            }
            _ => values.push(value.clone()),
        }
    }
    things
}

/// The thing that a line is about, and which of its attributes.
fn thing(name: &str) -> (Thing, String) {
    let parts: Vec<&str> = name.split(BETWEEN).collect();
    // Copies of one layer are told as all copies are.
    let parts = if let ["layer", copies @ ..] = &parts[..] { copies.to_vec() } else { parts };
    let whole = |sort| (Thing::new(sort, ""), String::new());
    match parts.as_slice() {
        ["inputs" | "files", path @ .., attribute] | ["copy", "files", path @ .., attribute]
            if !path.is_empty() && FILE_ATTRIBUTES.contains(attribute) =>
        {
            (Thing::new(Sort::File, path.join(BETWEEN)), (*attribute).to_owned())
        }
        ["env", name @ ..] if !name.is_empty() => (Thing::new(Sort::Env, name.join(BETWEEN)), String::new()),
        ["pass-env", name @ ..] if !name.is_empty() => (Thing::new(Sort::PassEnv, name.join(BETWEEN)), String::new()),
        ["tool", name @ ..] if !name.is_empty() => (Thing::new(Sort::Tool, name.join(BETWEEN)), String::new()),
        ["tool-version", name @ ..] if !name.is_empty() => (Thing::new(Sort::Tool, name.join(BETWEEN)), "version".to_owned()),
        ["images", step @ ..] if !step.is_empty() => (Thing::new(Sort::Image, step.join(BETWEEN)), String::new()),
        ["needs", step @ ..] if !step.is_empty() => (Thing::new(Sort::Need, step.join(BETWEEN)), String::new()),
        ["commands", ..] => whole(Sort::Command),
        ["shell"] => whole(Sort::Shell),
        ["platform"] => whole(Sort::Platform),
        ["patterns"] | ["copy", "patterns"] => whole(Sort::Inputs),
        ["outputs"] => whole(Sort::Outputs),
        ["reference" | "layout" | "scratch", ..] => (Thing::new(Sort::Base, ""), name.to_owned()),
        ["tags"] => whole(Sort::Tags),
        parts => (Thing::new(Sort::Setting, parts.join(" ")), String::new()),
    }
}

/// A value worth a line when its thing came or went: not a digest, not one attribute among others.
fn only_value(attributes: &Attributes) -> Option<String> {
    match attributes.values().collect::<Vec<_>>().as_slice() {
        [values] => match values.as_slice() {
            [value] if short_digest(value).is_none() && !value.contains('\n') && !value.is_empty() => Some(value.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn compare(thing: &Thing, before: &Attributes, now: &Attributes, found: &mut Vec<(Difference, Attributes)>) {
    if before == now {
        return;
    }
    let mut push = |change| found.push((Difference { thing: thing.clone(), change }, Attributes::new()));
    if thing.sort == Sort::File && nature(before) != nature(now) {
        return push(Change::Value(nature(before), nature(now)));
    }
    let none = Vec::new();
    let names = now.keys().chain(before.keys().filter(|name| !now.contains_key(*name)));
    for name in names {
        let (old, new) = (before.get(name).unwrap_or(&none), now.get(name).unwrap_or(&none));
        if old != new {
            push(change(name, old, new));
        }
    }
}

/// What stands at a path, in words: `a file`, `a link to x`, `a folder`.
fn nature(attributes: &Attributes) -> String {
    match (attributes.get("link").and_then(|link| link.first()), attributes.contains_key("content")) {
        (Some(target), _) => format!("a link to {target}"),
        (None, true) => "a file".to_owned(),
        (None, false) => "a folder".to_owned(),
    }
}

fn change(attribute: &str, old: &[String], new: &[String]) -> Change {
    // A file that two copies of an image take in stands twice in its manifest, and changes once.
    let all_same = |list: &[String]| list.windows(2).all(|pair| pair[0] == pair[1]);
    let ([old, ..], [new, ..], true) = (old, new, old.len() == new.len() && all_same(old) && all_same(new)) else {
        return match (without(old, new), without(new, old)) {
            (gone, came) if gone.is_empty() && came.is_empty() => Change::Order,
            (gone, came) => Change::Members(gone, came),
        };
    };
    if attribute == "mode" {
        return Change::Mode(old.clone(), new.clone());
    }
    if short_digest(old).is_some() && short_digest(new).is_some() {
        return Change::Content(old.clone(), new.clone());
    }
    Change::Value(old.clone(), new.clone())
}

/// The members of a list that another one lacks; each counts as often as it stands there.
fn without(list: &[String], other: &[String]) -> Vec<String> {
    let mut other: Vec<&String> = other.iter().collect();
    let mut left = Vec::new();
    for member in list {
        match other.iter().position(|one| one == &member) {
            Some(at) => drop(other.swap_remove(at)),
            None => left.push(member.clone()),
        }
    }
    left
}

/// A file that went and one that came with the same content and mode are one file with another name.
fn renamed(found: Vec<(Difference, Attributes)>) -> Vec<Difference> {
    let mut gone: IndexMap<String, Attributes> = IndexMap::new();
    for (difference, attributes) in &found {
        if difference.thing.sort == Sort::File && matches!(difference.change, Change::Removed(_)) {
            gone.insert(difference.thing.name.clone(), attributes.clone());
        }
    }
    let mut taken = Vec::new();
    let mut told = Vec::with_capacity(found.len());
    for (mut difference, attributes) in found {
        if difference.thing.sort == Sort::File
            && matches!(difference.change, Change::Added(_))
            && attributes.contains_key("content")
            && let Some((old, _)) = gone.iter().find(|(name, before)| **before == attributes && !taken.contains(*name))
        {
            taken.push(old.clone());
            difference.change = Change::Renamed(old.clone());
        }
        told.push(difference);
    }
    told.retain(|one| !(one.thing.sort == Sort::File && matches!(one.change, Change::Removed(_)) && taken.contains(&one.thing.name)));
    told
}

/// The first digits of a digest; `None` for everything that is not one.
#[must_use]
pub fn short_digest(value: &str) -> Option<String> {
    let hex = value.strip_prefix("blake3:").or_else(|| value.strip_prefix("sha256:")).unwrap_or(value);
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| hex[..8].to_owned())
}

/// One clause for a screen: `src/main.rs changed`, `env CFLAGS is new`, `src/a.c and 3 more changed`.
#[must_use]
pub fn reason(differences: &[Difference]) -> String {
    let mut things: Vec<&Difference> = Vec::new();
    for difference in differences {
        if !things.iter().any(|known| known.thing == difference.thing) {
            things.push(difference);
        }
    }
    let [first, rest @ ..] = things.as_slice() else { return "nothing changed".to_owned() };
    let plural = matches!(first.thing.sort, Sort::Inputs | Sort::Outputs | Sort::Tags);
    let what = shorten(&visible(&first.thing.words()), 60);
    if !rest.is_empty() {
        return format!("{what} and {} more changed", rest.len());
    }
    match &first.change {
        Change::Added(_) => format!("{what} is new"),
        Change::Removed(_) => format!("{what} is gone"),
        Change::Renamed(old) => format!("{} is now {what}", shorten(&visible(old), 60)),
        _ if plural => format!("{what} are others"),
        _ => format!("{what} changed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(lines: &[(&str, &str)]) -> KeyManifest {
        KeyManifest(lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    const A: &str = "blake3:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "blake3:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn exactly_the_changed_thing_is_named() {
        let file = |path: &str, mode: &str, digest: &str| {
            vec![(format!("inputs › {path} › mode"), mode.to_owned()), (format!("inputs › {path} › content"), digest.to_owned())]
        };
        let lines = |files: Vec<Vec<(String, String)>>, more: &[(&str, &str)]| {
            let mut all = manifest(&[("kind", "run"), ("shell", "sh"), ("shell", "-c"), ("commands › run", "make\nmake test")]);
            all.0.extend(files.into_iter().flatten());
            all.0.extend(manifest(more).0);
            all
        };
        let old = lines(vec![file("a.c", "644", A), file("b › c", "644", B)], &[("env › CC", "gcc")]);
        for (new, thing, change, clause) in [
            (
                lines(vec![file("a.c", "644", B), file("b › c", "644", B)], &[("env › CC", "gcc")]),
                (Sort::File, "a.c"),
                Change::Content(A.into(), B.into()),
                "a.c changed",
            ),
            (lines(vec![file("a.c", "644", A)], &[("env › CC", "gcc")]), (Sort::File, "b › c"), Change::Removed(None), "b › c is gone"),
            (
                lines(vec![file("a.c", "644", A), file("b › c", "644", B), file("c.c", "644", "x")], &[("env › CC", "gcc")]),
                (Sort::File, "c.c"),
                Change::Added(None),
                "c.c is new",
            ),
            (
                lines(vec![file("a2.c", "644", A), file("b › c", "644", B)], &[("env › CC", "gcc")]),
                (Sort::File, "a2.c"),
                Change::Renamed("a.c".into()),
                "a.c is now a2.c",
            ),
            (
                lines(vec![file("a.c", "755", A), file("b › c", "644", B)], &[("env › CC", "gcc")]),
                (Sort::File, "a.c"),
                Change::Mode("644".into(), "755".into()),
                "a.c changed",
            ),
            (
                lines(vec![vec![("inputs › a.c › link".into(), "x".into())], file("b › c", "644", B)], &[("env › CC", "gcc")]),
                (Sort::File, "a.c"),
                Change::Value("a file".into(), "a link to x".into()),
                "a.c changed",
            ),
            (
                lines(vec![file("a.c", "644", A), file("b › c", "644", B)], &[("env › CC", "clang")]),
                (Sort::Env, "CC"),
                Change::Value("gcc".into(), "clang".into()),
                "env CC changed",
            ),
            (
                lines(vec![file("a.c", "644", A), file("b › c", "644", B)], &[]),
                (Sort::Env, "CC"),
                Change::Removed(Some("gcc".into())),
                "env CC is gone",
            ),
        ] {
            let found = differences(&old, &new);
            assert_eq!(found, vec![Difference { thing: Thing::new(thing.0, thing.1), change }]);
            assert_eq!(reason(&found), clause);
        }
        assert_eq!(differences(&old, &old), vec![]);
    }

    #[test]
    fn two_commands_are_one_text_and_a_file_of_two_copies_one_file() {
        let found = differences(
            &manifest(&[
                ("commands › run", "a"),
                ("commands › run", "b"),
                ("copy › files › x › content", A),
                ("copy › files › x › content", A),
            ]),
            &manifest(&[
                ("commands › run", "a"),
                ("commands › run", "c"),
                ("copy › files › x › content", B),
                ("copy › files › x › content", B),
            ]),
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].change, Change::Value("a\nb".into(), "a\nc".into()));
        assert_eq!(found[1].change, Change::Content(A.into(), B.into()));
        assert_eq!(reason(&found), "the command and 1 more changed");
    }
}
