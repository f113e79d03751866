//! `tag` nodes: the names that an image gets in every registry.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::time::Moment;
use crate::base::words;
use crate::oci::reference::Tag;
use crate::plan::facts::Answer;
use crate::plan::tag::{Cascade, Latest, TagRule, above};
use crate::plan::value::engine::{TAG_LIMIT, slug, slug_within};
use crate::syntax::document::{Node, Scalar, Value};

use super::view::{Text, View, children, shown};

/// The words of the tag rules.
const RULES: &[&str] = &["semver", "release", "branch", "sha", "date", "pr"];
/// Those that give a version of the repository.
const OF_GIT: &[&str] = &["semver", "release"];
/// The longest `prefix`.
const PREFIX_LIMIT: usize = 64;

/// What a line says of all its rules.
struct Form {
    prefix: Option<Text>,
    latest: Latest,
}

impl Form {
    /// What stands before the tags of a rule that has one of its own.
    fn prefixed(&self, otherwise: &str) -> String {
        self.prefix.as_ref().map_or(otherwise, |(prefix, _)| prefix).to_owned()
    }
}

/// The tags of an image.
pub(super) fn tags(view: &View<'_, '_>, node: &Node) -> Vec<(TagRule, Span)> {
    let mut found: Vec<(TagRule, Span)> = Vec::new();
    for child in children(view.cx, node, "tag") {
        let given = child.props.iter().any(|prop| prop.name.text == "semver");
        if child.args.is_empty() && !given {
            let fault = Diagnostic::plan("plan::arguments", "`tag` names no tag", &child.name.span, "which one?");
            view.cx.fault(fault.help(
                "write `tag semver`, `tag release`, `tag branch`, `tag sha`, `tag date`, `tag pr` or the tag itself: `tag \"latest\"`",
            ));
        }
        let form = Form { prefix: prefix(view, child), latest: latest(view, child).unwrap_or(Latest::Highest) };
        let given = view.prop(child, "semver").and_then(|value| view.text(value));
        let version =
            given.and_then(|(text, span)| semver(view, &form, &text, &span, false).map(|cascade| (TagRule::Semver(cascade), span)));
        let written =
            child.args.iter().flat_map(|value| view.texts(std::slice::from_ref(value)).into_iter().map(move |text| (value, text)));
        let rules = written.filter_map(|(value, (text, span))| rule(view, &form, value, &text, &span).map(|rule| (rule, span)));
        for (rule, span) in version.into_iter().chain(rules.collect::<Vec<_>>()) {
            if let Some((_, first)) = found.iter().find(|(known, _)| *known == rule) {
                let fault = Diagnostic::plan("plan::repeated", "the same tag is given twice", &span, "again here");
                view.cx.fault(fault.label(first, "first here").help("leave one of them out"));
            } else {
                found.push((rule, span));
            }
        }
    }
    found
}

/// What stands before the tags of a line's rules.
fn prefix(view: &View<'_, '_>, node: &Node) -> Option<Text> {
    let (text, span) = view.text(view.prop(node, "prefix")?)?;
    if text.parse::<Tag>().is_ok() && text.len() <= PREFIX_LIMIT {
        return Some((text, span));
    }
    let fault = Diagnostic::plan("plan::bad-tag", format!("no tag can begin with `{}`", shown(&text)), &span, "not the beginning of a tag");
    view.cx.fault(fault.help(format!("it has letters, digits, `_`, `.` and `-`, at most {PREFIX_LIMIT}, and begins with no `.` or `-`")));
    None
}

/// Which versions may lead `latest`, where the line says so.
fn latest(view: &View<'_, '_>, node: &Node) -> Option<Latest> {
    let (text, span) = view.text(view.prop(node, "latest")?)?;
    let of_version = node.props.iter().any(|prop| prop.name.text == "semver")
        || node.args.iter().any(|value| matches!(&value.scalar, Scalar::String(word) if OF_GIT.contains(&word.as_str())));
    if !of_version {
        let message = "`latest=` says which version leads `latest`, and this line has no version";
        view.cx.fault(Diagnostic::plan("plan::bad-tag", message, &span, "of which version?").help("write it beside `semver` or `release`"));
        return None;
    }
    match text.as_str() {
        "highest" => Some(Latest::Highest),
        "none" => Some(Latest::Never),
        number => match number.parse() {
            Ok(major) => Some(Latest::Major(major)),
            Err(_) => {
                let message = format!("`{}` does not say which version leads `latest`", shown(number));
                let fault = Diagnostic::plan("plan::bad-tag", message, &span, "not a major version");
                view.cx.fault(fault.help("write `highest`, `none`, or a major version: `latest=1`"));
                None
            }
        },
    }
}

/// A word that is a rule is that rule, quoted or not; everything else is the tag itself.
fn rule(view: &View<'_, '_>, form: &Form, value: &Value, text: &str, span: &Span) -> Option<TagRule> {
    match text {
        "semver" | "release" => {
            let help = "tag a commit, or name a version: `tag semver=\"${project.version}\"`";
            let version = fact(view, "version", "this is not a repository with a commit", help, span)?;
            let cascade = semver(view, form, &version, span, true)?;
            // What is no release of its own is named by its commit.
            let idle = text == "release" && !cascade.version.build.is_empty();
            Some(TagRule::Semver(Cascade { idle, ..cascade }))
        }
        "branch" => {
            // A release is on no branch, and that is no fault: the same plan runs everywhere.
            if let Some(Ok(None)) = view.cx.facts.named("git", "branch")
                && let Some(Ok(Some(_))) = view.cx.facts.named("git", "tag")
            {
                return Some(TagRule::Branch(None));
            }
            let help = "use `tag sha`, or the tag itself: `tag \"edge\"`";
            let branch = fact(view, "branch", "the head is on no branch", help, span)?;
            let prefix = form.prefixed("");
            let tag = slug_within(&branch, TAG_LIMIT - prefix.len()).and_then(|slug| format!("{prefix}{slug}").parse().ok());
            if tag.is_none() {
                let message = format!("the branch `{}` gives no tag", shown(&branch));
                view.cx.fault(Diagnostic::plan("plan::bad-tag", message, span, "needed here").help(help));
            }
            tag.map(|tag| TagRule::Branch(Some(tag)))
        }
        "sha" => {
            let help = "use the tag itself: `tag \"edge\"`";
            let sha = fact(view, "sha", "this is not a repository with a commit", help, span)?;
            let short: String = sha.chars().take(12).collect();
            format!("{}{short}", form.prefixed("sha-")).parse().ok().map(TagRule::Sha)
        }
        "date" => {
            let help = "use `tag sha`, or the tag itself: `tag \"edge\"`";
            let time = fact(view, "time", "this is not a repository with a commit", help, span)?;
            let day = Moment::from_seconds(time.trim().parse().ok()?).day();
            format!("{}{day}", form.prefixed("")).parse().ok().map(TagRule::Date)
        }
        // Outside a pull request there is no such tag, and that is no fault either.
        "pr" => {
            let number = view.cx.facts.named("ci", "request")?.ok()?;
            let prefix = form.prefixed("pr-");
            let slug = number.and_then(|number| slug_within(&number, TAG_LIMIT - prefix.len()));
            Some(TagRule::Request(slug.and_then(|slug| format!("{prefix}{slug}").parse().ok())))
        }
        _ => literal(view, form, value, text, span),
    }
}

fn literal(view: &View<'_, '_>, form: &Form, value: &Value, text: &str, span: &Span) -> Option<TagRule> {
    let near = words::closest(text, RULES.iter().copied()).filter(|near| value.bare && near.len() > 4);
    if let Some(near) = near {
        let fault = Diagnostic::plan("plan::bad-tag", format!("there is no tag rule `{text}`"), span, "not a rule");
        view.cx.fault(fault.help(format!("did you mean `{near}`? a tag of this name is written in quotes: `tag \"{text}\"`")));
        return None;
    }
    if let Some((prefix, place)) = &form.prefix {
        let message = format!("`{}` is the tag itself, and `prefix=` stands before what a rule gives", shown(text));
        let fault = Diagnostic::plan("plan::bad-tag", message, span, "no rule").label(place, "its prefix");
        let help = format!("write the whole tag in a line of its own: `tag \"{prefix}{}\"`, or `tag \"{}\"`", shown(text), shown(text));
        view.cx.fault(fault.help(help));
        return None;
    }
    if text.is_empty() {
        view.cx.fault(Diagnostic::plan("plan::bad-tag", "an empty text is not a tag", span, "empty"));
        return None;
    }
    match text.parse::<Tag>() {
        Ok(tag) => Some(TagRule::Literal(tag)),
        Err(why) => {
            let fault = Diagnostic::plan("plan::bad-tag", why.to_string(), span, "not a tag");
            view.cx.fault(match slug(text) {
                Some(_) if text.contains('/') && text.contains(':') => {
                    let tag = text.rsplit(['/', ':']).next().unwrap_or(text);
                    fault.help(format!("a tag is what stands behind the colon: `tag \"{}\"`; where it goes is said by `push`", shown(tag)))
                }
                _ if text.contains("{{") => fault.help("values are written `${…}`: `tag \"${git.version}\"`, or `tag semver`"),
                Some(slug) if text.starts_with('$') => fault.help(format!("a value is written `${{{slug}}}`")),
                Some(slug) => fault.help(format!("write it as `{slug}`; for a value, `${{name|slug}}`")),
                None => fault,
            });
            None
        }
    }
}

/// A version and what it leads. The tags of the repository know higher ones only where they gave this one, too.
fn semver(view: &View<'_, '_>, form: &Form, text: &str, span: &Span, of_git: bool) -> Option<Cascade> {
    let fault = |message: String, help: &str| {
        view.cx.fault(Diagnostic::plan("plan::bad-tag", message, span, "not a version").help(help));
    };
    let version = match semver::Version::parse(text.strip_prefix('v').unwrap_or(text)) {
        Ok(version) => version,
        Err(why) => {
            fault(format!("`{}` is not a version: {why}", shown(text)), "a version has three numbers, like `1.4.2`");
            return None;
        }
    };
    let releases = if of_git { view.cx.facts.named("git", "releases").and_then(|answer| answer.ok().flatten()) } else { None };
    let releases = releases.unwrap_or_default();
    let higher = above(&version, releases.split_whitespace().filter_map(|text| text.parse().ok()));
    let cascade = Cascade { version, prefix: form.prefixed(""), latest: form.latest, idle: false, higher };
    if cascade.full().parse::<Tag>().is_err() {
        fault(format!("`{}` is too long for a tag", shown(&cascade.full())), "a tag has at most 128 characters");
        return None;
    }
    Some(cascade)
}

/// A fact of the repository that a rule stands on.
fn fact(view: &View<'_, '_>, word: &str, absent: &str, help: &str, span: &Span) -> Option<String> {
    let answer: Answer = view.cx.facts.named("git", word)?;
    let message = match answer {
        Ok(Some(text)) => return Some(text),
        Ok(None) => {
            let fault = Diagnostic::plan("plan::undefined", format!("`git.{word}` has no value: {absent}"), span, "stands on it");
            view.cx.fault(fault.help(help));
            return None;
        }
        Err(error) => format!("`git.{word}` cannot be read: {}", words::visible(&error.to_string())),
    };
    view.cx.fault(Diagnostic::plan("plan::fact", message, span, "needed here"));
    None
}
