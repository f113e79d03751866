//! `scan`, `tag` and `push`: the way of an image to the registries.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::time::Moment;
use crate::base::words;
use crate::oci::reference::Tag;
use crate::plan::facts::Answer;
use crate::plan::image::{PushDef, ScanDef, TagRule};
use crate::plan::names::{Names, Thing};
use crate::plan::policy::Severity;
use crate::plan::value::engine::slug;
use crate::syntax::document::{Node, Value};

use super::evidence::evidence;
use super::shape::not_a_word;
use super::view::{View, children, shown};

/// The words of the tag rules.
const RULES: &[&str] = &["semver", "branch", "sha", "date", "pr"];

/// A `scan` node.
pub(super) fn scan(view: &View<'_, '_>, node: &Node, names: &Names) -> ScanDef {
    let policy = view.prop(node, "policy").and_then(|value| view.text(value));
    let fail = view.prop(node, "fail").and_then(|value| view.text(value));
    let fail = fail.and_then(|(word, span)| severity(view, "fail", word, &span).map(|severity| (severity, span)));
    ScanDef {
        policy: policy.and_then(|(name, span)| Some((names.thing(view.cx, Thing::Policy, &name, &span)?, span))),
        fail,
        span: node.name.span.clone(),
    }
}

/// A severity; a word that is none is reported.
pub(super) fn severity(view: &View<'_, '_>, name: &str, word: String, span: &Span) -> Option<Severity> {
    let severity = Severity::read(&word);
    if severity.is_none() {
        view.cx.fault(not_a_word(&word, Severity::WORDS, name, span));
    }
    severity
}

/// The registries that an image is pushed to.
pub(super) fn pushes(view: &View<'_, '_>, node: &Node, names: &Names) -> Vec<PushDef> {
    let mut found: Vec<PushDef> = Vec::new();
    for child in children(view.cx, node, "push") {
        if child.args.is_empty() {
            let fault = Diagnostic::plan("plan::arguments", "`push` names no registry", &child.name.span, "to where?");
            view.cx.fault(fault.help("name the registries: `push ghcr`; declare them with `registry ghcr \"ghcr.io/acme\"`"));
        }
        let tagged = |child: &Node| child.name.text == "tag" || words::closest(&child.name.text, ["tag"]).is_some();
        if !node.children.iter().flatten().any(tagged) {
            let fault =
                Diagnostic::plan("plan::push-without-tag", "the image is pushed without a tag", &child.name.span, "nobody would find it");
            view.cx.fault(fault.help("say under which names it can be pulled: `tag \"latest\"`, or `tag semver`"));
        }
        let beside = evidence(view, child);
        for (name, span) in view.texts(&child.args) {
            let Some(full) = names.thing(view.cx, Thing::Registry, &name, &span) else { continue };
            if let Some(first) = found.iter().find(|known| known.registry == full) {
                let fault = Diagnostic::plan("plan::repeated", format!("it is pushed to `{name}` twice"), &span, "again here");
                view.cx.fault(fault.label(&first.span, "first here").help("leave one of them out"));
                continue;
            }
            found.push(PushDef { registry: full, span, evidence: beside.clone() });
        }
    }
    found
}

/// The tags of an image.
pub(super) fn tags(view: &View<'_, '_>, node: &Node) -> Vec<(TagRule, Span)> {
    let mut found: Vec<(TagRule, Span)> = Vec::new();
    for child in children(view.cx, node, "tag") {
        if child.args.is_empty() && child.props.is_empty() {
            let fault = Diagnostic::plan("plan::arguments", "`tag` names no tag", &child.name.span, "which one?");
            view.cx
                .fault(fault.help("write `tag semver`, `tag branch`, `tag sha`, `tag date`, `tag pr` or the tag itself: `tag \"latest\"`"));
        }
        let given = view.prop(child, "semver").and_then(|value| view.text(value));
        let version = given.and_then(|(text, span)| semver(view, &text, &span).map(|rule| (rule, span)));
        let written =
            child.args.iter().flat_map(|value| view.texts(std::slice::from_ref(value)).into_iter().map(move |text| (value, text)));
        let rules = written.filter_map(|(value, (text, span))| rule(view, value, &text, &span).map(|rule| (rule, span)));
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

/// A word that is a rule is that rule, quoted or not; everything else is the tag itself.
fn rule(view: &View<'_, '_>, value: &Value, text: &str, span: &Span) -> Option<TagRule> {
    match text {
        "semver" => {
            let help = "tag a commit, or name a version: `tag semver=\"${project.version}\"`";
            semver(view, &fact(view, "version", "this is not a repository with a commit", help, span)?, span)
        }
        "branch" => {
            let help = "use `tag sha`, or the tag itself: `tag \"edge\"`";
            let branch = fact(view, "branch", "the head is on no branch", help, span)?;
            let tag = slug(&branch).and_then(|slug| slug.trim_start_matches(['.', '-']).parse().ok());
            if tag.is_none() {
                let message = format!("the branch `{}` gives no tag", shown(&branch));
                view.cx.fault(Diagnostic::plan("plan::bad-tag", message, span, "needed here").help(help));
            }
            tag.map(TagRule::Branch)
        }
        "sha" => {
            let help = "use the tag itself: `tag \"edge\"`";
            let sha = fact(view, "sha", "this is not a repository with a commit", help, span)?;
            let short: String = sha.chars().take(12).collect();
            format!("sha-{short}").parse().ok().map(TagRule::Sha)
        }
        "date" => {
            let help = "use `tag sha`, or the tag itself: `tag \"edge\"`";
            let time = fact(view, "time", "this is not a repository with a commit", help, span)?;
            let day = Moment::from_seconds(time.trim().parse().ok()?).day();
            day.to_string().parse().ok().map(TagRule::Date)
        }
        // Outside a pull request there is no such tag, and that is no fault: the same plan runs everywhere.
        "pr" => {
            let number = view.cx.facts.named("ci", "request")?.ok()??;
            let tag = format!("pr-{}", slug(&number)?);
            tag.parse().ok().map(TagRule::Request)
        }
        _ => literal(view, value, text, span),
    }
}

fn literal(view: &View<'_, '_>, value: &Value, text: &str, span: &Span) -> Option<TagRule> {
    let near = words::closest(text, RULES.iter().copied()).filter(|near| value.bare && near.len() > 4);
    if let Some(near) = near {
        let fault = Diagnostic::plan("plan::bad-tag", format!("there is no tag rule `{text}`"), span, "not a rule");
        view.cx.fault(fault.help(format!("did you mean `{near}`? a tag of this name is written in quotes: `tag \"{text}\"`")));
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

fn semver(view: &View<'_, '_>, text: &str, span: &Span) -> Option<TagRule> {
    match semver::Version::parse(text.strip_prefix('v').unwrap_or(text)) {
        Ok(version) => Some(TagRule::Semver(version)),
        Err(why) => {
            let message = format!("`{}` is not a version: {why}", shown(text));
            let fault = Diagnostic::plan("plan::bad-tag", message, span, "not a version");
            view.cx.fault(fault.help("a version has three numbers, like `1.4.2`"));
            None
        }
    }
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
