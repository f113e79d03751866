//! `image` nodes: one definition per matrix cell, one recipe per platform.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::platform::Platform;
use crate::base::words;
use crate::oci::reference::Repository;
use crate::plan::cx::Cx;
use crate::plan::expand::Instance;
use crate::plan::image::{Add, AddSource, Compression, Copy, Elsewhere, Form, ImageDef, LayerDef, Media, Origin, Recipe, RunLayer};
use crate::plan::matrix::cells;
use crate::plan::names::Names;
use crate::plan::value::NoPlatform;
use crate::syntax::document::{Node, Scalar, Value};

use super::container::{Named, named};
use super::dockerfile;
use super::release::{pushes, scan};
use super::save;
use super::service::retention;
use super::settings::settings;
use super::shape::{has_unknown, not_a_word};
use super::tag::tags;
use super::task::shell;
use super::view::{View, children, is_exclusion, shown, was_written};

/// All definitions of an image; empty when its matrix cannot be built, which is reported.
pub(in crate::plan) fn image(cx: &Cx<'_>, instance: &Instance<'_>, names: &Names) -> Vec<Arc<ImageDef>> {
    let node = instance.node;
    if let Some(file) = children(cx, node, "dockerfile").next() {
        dockerfile::check_alone(cx, node, file);
    } else if !["copy", "layer", "add", "from", "dockerfile"].iter().any(|word| was_written(node, word)) && !has_unknown(node) {
        let fault = Diagnostic::plan("plan::empty", format!("image `{}` holds nothing", instance.name), &instance.span, "no content");
        cx.fault(fault.help("give it `copy \"file\" \"/path\"`, or stand it on another image with `from`"));
    }
    check_sources(cx, node);
    children(cx, node, "layer").for_each(|layer| check_sources(cx, layer));
    let mut found = Vec::new();
    for cell in cx.shaping(|| cells(cx, instance)).unwrap_or_default() {
        let locals = instance.cell_locals(&cell, &[], Err(NoPlatform::Whole));
        let view = View { cx, locals: &locals };
        let platforms = cx.shaping(|| view.platforms(node)).unwrap_or_else(|| host_platform(cx).into_iter().collect());
        let mut recipes = Vec::new();
        for platform in platforms {
            if !cx.one_more_step(&instance.span) {
                return Vec::new();
            }
            let locals = instance.cell_locals(&cell, &[], Ok(platform.clone()));
            let named = || instance.cell_name(&cell, Some(&platform));
            let made = cx.in_cell(&locals, named, || recipe(&View { cx, locals: &locals }, node, names, platform.clone()));
            recipes.push(Arc::new(made));
        }
        let named = || instance.cell_name(&cell, None);
        let made = cx.in_cell(&locals, named, || {
            let repository = repository(&view, node, instance);
            ImageDef {
                cell: cell.name(),
                saves: save::saves(&view, node, recipes.len(), &repository),
                repository,
                platforms: recipes,
                scan: view.child(node, "scan").map(|child| scan(&view, child, names)),
                tags: tags(&view, node),
                push: pushes(&view, node, names),
                prune: view.child(node, "prune").and_then(|child| retention(&view, child)),
                span: instance.span.clone(),
            }
        });
        found.push(Arc::new(made));
    }
    found
}

/// Images without `platforms` are made for the machine that kiln runs on; containers are Linux.
fn host_platform(cx: &Cx<'_>) -> Option<Platform> {
    let arch = cx.facts.host_arch();
    let platform = arch.parse().ok();
    if platform.is_none() {
        let fault = Diagnostic::new(
            crate::base::diagnostic::Class::Environment,
            "plan::bad-platform",
            format!("no platform for images is known for this machine (`{}`)", shown(&arch)),
        );
        cx.fault(fault.help("list the `platforms` of every image"));
    }
    platform
}

fn repository(view: &View<'_, '_>, node: &Node, instance: &Instance<'_>) -> String {
    let given = view.prop(node, "name");
    let own = instance.name.as_str().strip_prefix(&view.cx.prefix).unwrap_or_default();
    let (name, span) = match given.map(|value| view.text(value)) {
        None => (own.to_owned(), instance.span.clone()),
        Some(None) => return own.to_owned(),
        Some(Some(text)) => text,
    };
    if format!("localhost/{name}").parse::<Repository>().is_err() || name.contains('/') {
        let message = format!("`{}` cannot be the name of a repository", shown(&name));
        let fault = Diagnostic::plan("plan::bad-reference", message, &span, "not a repository name");
        let help = if given.is_some() {
            "such names have lower-case letters and digits, separated by `.`, `_`, `__` or `-`".to_owned()
        } else {
            format!("give it one: `image {own} name=\"{}\"`", own.to_lowercase())
        };
        view.cx.fault(fault.help(help));
    }
    name
}

fn recipe(view: &View<'_, '_>, node: &Node, names: &Names, platform: Platform) -> Recipe {
    let base = view.child(node, "from").and_then(|child| base(view, child, names));
    let shell = shell(view, node);
    let written = node.children.iter().flatten().filter(|child| view.cx.is_good(child));
    let layers: Vec<LayerDef> = written.filter_map(|child| layer(view, child, names, &shell)).collect();
    if let (Some(run), None, false) = (view.child(node, "run"), &base, was_written(node, "from")) {
        let fault =
            Diagnostic::plan("plan::bad-value", "`run` has nothing to run in: the image stands on nothing", &run.name.span, "no shell");
        view.cx.fault(fault.help("stand it on an image with `from`, or make the files in a `task` and `copy` them"));
    }
    let recipe = Recipe {
        platform,
        base,
        layers,
        squash: view.flag(node, "squash", false),
        form: form(view, node),
        dockerfile: view.child(node, "dockerfile").and_then(|child| dockerfile::dockerfile(view, child)),
        settings: settings(view, node),
    };
    check_stages(view, &recipe);
    recipe
}

/// What `from` says; `None` for `scratch`.
fn base(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<Origin> {
    let (text, span) = view.text(node.args.first()?)?;
    let insecure = view.flag_prop(node, "insecure");
    if text == "scratch" { None } else { origin(view, names, &text, span, insecure) }
}

/// An image of the plan, of a layout or of a registry.
fn origin(view: &View<'_, '_>, names: &Names, text: &str, span: Span, insecure: bool) -> Option<Origin> {
    if let Some(rest) = text.strip_prefix("oci:") {
        let (path, tag) = rest.split_once(':').map_or((rest, None), |(path, tag)| (path, Some(tag.to_owned())));
        if tag.as_deref() == Some("") {
            let fault = Diagnostic::plan("plan::bad-reference", format!("`{}` names no tag", shown(text)), &span, "no tag");
            view.cx.fault(fault.help(format!("write `oci:{path}`, or the tag behind the colon")));
            return None;
        }
        return Some(Origin::Elsewhere(Elsewhere::Layout { path: view.path(path, &span)?, tag, span }));
    }
    match named(view, names, text, &span)? {
        Named::Target(name) => Some(Origin::Target { name, span }),
        Named::Reference(reference) => Some(Origin::Elsewhere(Elsewhere::Registry { reference, insecure, span })),
    }
}

/// What a node of an image adds as a layer; `None` for all others.
fn layer(view: &View<'_, '_>, node: &Node, names: &Names, shell: &[String]) -> Option<LayerDef> {
    let span = node.name.span.clone();
    match node.name.text.as_str() {
        "copy" => copy(view, node, names).map(|copy| LayerDef::Copies(vec![copy])),
        "layer" => group(view, node, names).map(LayerDef::Copies),
        "add" => add(view, node).map(LayerDef::Add),
        "run" => match node.args.first()? {
            value @ Value { scalar: Scalar::String(script), .. } if view.cx.is_good_value(value) => {
                let script = view.cx.verbatim(value, script)?;
                Some(LayerDef::Run(RunLayer { script, shell: shell.to_vec(), span }))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The copies of a `layer`; `None` when it has none, which is reported.
fn group(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<Vec<Copy>> {
    if !was_written(node, "copy") {
        let fault = Diagnostic::plan("plan::empty", "a `layer` without a `copy` holds nothing", &node.name.span, "no content");
        view.cx.fault(fault.help("write `layer { copy \"a\" \"/a\"; copy \"b\" \"/b\" }`"));
    }
    let copies: Vec<Copy> = children(view.cx, node, "copy").filter_map(|child| copy(view, child, names)).collect();
    if copies.is_empty() { None } else { Some(copies) }
}

/// How the image is written. Docker's words have no annotations, and those who need them read no zstd.
fn form(view: &View<'_, '_>, node: &Node) -> Form {
    let is = |name, word: &str, words: &[&'static str]| {
        let Some((text, span)) = view.child_text(node, name) else { return false };
        if !words.contains(&text.as_str()) {
            view.cx.fault(not_a_word(&text, words, name, &span));
        }
        text == word
    };
    let media = if is("media", Media::Docker.word(), Media::WORDS) { Media::Docker } else { Media::Oci };
    let zstd = is("compress", Compression::Zstd.word(), Compression::WORDS);
    let compression = if zstd { Compression::Zstd } else { Compression::Gzip };
    if media == Media::Docker {
        let at = view.child(node, "media").map(|child| child.name.span.clone());
        let clash = |child: &Node, message: &str, help: &str| {
            let mut fault = Diagnostic::plan("plan::bad-value", message, &child.name.span, "not in Docker's words");
            if let Some(at) = &at {
                fault = fault.label(at, "asked for here");
            }
            view.cx.fault(fault.help(help));
        };
        if let (Compression::Zstd, Some(child)) = (compression, view.child(node, "compress")) {
            clash(child, "what needs Docker's media types reads no zstd layers", "leave `compress` out, or write `media \"oci\"`");
        }
        if let Some(child) = view.child(node, "annotation") {
            clash(child, "Docker's manifests have no annotations", "write a `label`, or `media \"oci\"`");
        }
    }
    Form { media, compression }
}

/// The ends of names of archives that `add` unpacks.
const ARCHIVES: &[&str] = &[".tar", ".tar.gz", ".tgz", ".tar.zst"];

fn add(view: &View<'_, '_>, node: &Node) -> Option<Add> {
    let (text, span) = view.text(node.args.first()?)?;
    let to = view.text(node.args.get(1)?);
    let owner = view.prop(node, "owner").map(|value| view.text(value).and_then(|text| view.parsed(text, "plan::bad-value", owner)));
    let digest = view.prop(node, "sha256").map(|value| view.text(value));
    let fault = |message: String, at: &Span, label: &str, help: String| {
        view.cx.fault(Diagnostic::plan("plan::bad-value", message, at, label).help(help));
        None
    };
    let source = if text.contains("://") {
        if !text.starts_with("https://") && !text.starts_with("http://") {
            return fault(
                format!("`{}` is not an address that can be fetched", shown(&text)),
                &span,
                "not https",
                "write `https://…`".to_owned(),
            );
        }
        let Some(digest) = digest else {
            let help = "write `sha256=\"…\"`; `curl -L ADDRESS | sha256sum` prints it".to_owned();
            return fault("what an address gives can change, so its digest is needed".to_owned(), &span, "no `sha256=`", help);
        };
        AddSource::Url { url: text, sha256: view.parsed(digest?, "plan::bad-value", sha256)? }
    } else {
        if let Some(digest) = digest {
            let at = digest.map_or_else(|| span.clone(), |(_, span)| span);
            return fault(
                "files of the project are keyed by their content".to_owned(),
                &at,
                "not needed",
                "leave `sha256=` out".to_owned(),
            );
        }
        if !ARCHIVES.iter().any(|end| text.ends_with(end)) {
            let help = format!("write `copy \"{}\" …`; archives end with {}", shown(&text), words::list(ARCHIVES, "or"));
            return fault(format!("`{}` is not an archive that `add` unpacks", shown(&text)), &span, "not an archive", help);
        }
        AddSource::Archive(view.file_set(vec![(text, span)]))
    };
    let (to, to_span) = to?;
    check_inner_path(view, &to, &to_span)?;
    Some(Add { source, to, owner: owner.unwrap_or(Some((0, 0)))?, span: node.name.span.clone() })
}

/// 64 hexadecimal digits, with or without `sha256:` before them.
fn sha256(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let good = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { Ok(digits.to_lowercase()) } else { Err(format!("`{}` is not a SHA-256 digest; it has 64 hexadecimal digits", shown(text))) }
}

fn copy(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<Copy> {
    let (to, sources) = node.args.split_last()?;
    let insecure = view.flag_prop(node, "insecure");
    if let (true, None, Some(value)) = (insecure, view.prop(node, "from"), view.prop(node, "insecure")) {
        let fault = Diagnostic::plan("plan::bad-value", "files of the project come over no wire", &value.span, "not needed");
        view.cx.fault(fault.help("leave `insecure` out, or name the image with `from=`"));
    }
    let image = view.prop(node, "from").map(|value| view.text(value).and_then(|text| stage(view, names, text, insecure)));
    let inside = image.is_some();
    let owner = view.prop(node, "owner").map(|value| view.text(value).and_then(|text| view.parsed(text, "plan::bad-value", owner)));
    let mode = view.prop(node, "mode").map(|value| view.text(value).and_then(|text| view.parsed(text, "plan::bad-value", mode)));
    let set = |texts| if inside { view.inner_file_set(texts) } else { view.file_set(texts) };
    let mut from = set(view.texts(sources));
    let excluded = set(view.child_texts(node, "exclude"));
    from.exclude.extend(excluded.include);
    let (to, span) = view.text(to)?;
    check_inner_path(view, &to, &span)?;
    Some(Copy {
        from,
        image: image.map_or(Some(None), |image| image.map(Some))?,
        to,
        owner: owner.map_or(Some(None), |owner| owner.map(Some))?,
        mode: mode.map_or(Some(None), |mode| mode.map(Some))?,
        span: node.name.span.clone(),
    })
}

/// The image that `from=` names. A single word that is no image of the plan is more likely a stage of a Dockerfile than an image
/// of Docker Hub.
fn stage(view: &View<'_, '_>, names: &Names, (text, span): (String, Span), insecure: bool) -> Option<Origin> {
    let help = if text == "scratch" {
        "name an image of the plan, or one elsewhere with its tag: `from=\"alpine:3.22\"`".to_owned()
    } else if text.contains(['/', ':', '@', '.']) || names.sort(view.cx, &text).is_some() || text.is_empty() {
        return origin(view, names, &text, span, insecure);
    } else if let Some(near) = names.near_image(view.cx, &text) {
        format!("did you mean `{near}`? an image elsewhere is written with its tag: `{}:latest`", shown(&text))
    } else {
        format!(
            "declare `image \"{0}\"`, for a stage of a Dockerfile is an image of its own here; an image elsewhere is written with its tag: \
             `{0}:latest`",
            shown(&text)
        )
    };
    let message =
        if text == "scratch" { "`scratch` holds no files".to_owned() } else { format!("`{}` is not an image of the plan", shown(&text)) };
    let label = if text == "scratch" { "nothing to copy" } else { "not one of the plan" };
    view.cx.fault(Diagnostic::plan("plan::not-an-image", message, &span, label).help(help));
    None
}

/// One name stands for one image: what is fetched for `copy` is told by its name.
fn check_stages(view: &View<'_, '_>, recipe: &Recipe) {
    let mut known: BTreeMap<String, &Elsewhere> = BTreeMap::new();
    for from in recipe.copies().filter_map(|copy| copy.image.as_ref()?.elsewhere()) {
        let digest = |from: &Elsewhere| if let Elsewhere::Registry { reference, .. } = from { reference.digest } else { None };
        match known.entry(from.shown()) {
            Entry::Vacant(fresh) => drop(fresh.insert(from)),
            Entry::Occupied(first) if digest(first.get()) == digest(from) => {}
            Entry::Occupied(first) => {
                let message = format!("`{}` stands for two images here", shown(first.key()));
                let fault = Diagnostic::plan("plan::bad-reference", message, from.span(), "one digest");
                let fault = fault.label(first.get().span(), "another, or none");
                view.cx.fault(fault.help("write the same digest at both, or leave the tag out"));
            }
        }
    }
}

/// What can be said about the patterns of `copy` from the text alone.
fn check_sources(cx: &Cx<'_>, node: &Node) {
    for copy in children(cx, node, "copy") {
        for value in children(cx, copy, "exclude").flat_map(|child| &child.args).filter(|value| is_exclusion(value)) {
            cx.break_at(&value.span);
            let fault = Diagnostic::plan("plan::bad-pattern", "`exclude` leaves files out already", &value.span, "begins with `!`");
            cx.fault(fault.help("write the pattern without `!`"));
        }
        let sources = copy.args.split_last().map_or(&[][..], |(_, sources)| sources);
        for value in sources {
            let Scalar::String(text) = &value.scalar else { continue };
            let Some(flag) = text.strip_prefix("--") else { continue };
            let help = match flag.split('=').next().unwrap_or_default() {
                "chown" => "write `owner=\"1001:1001\"` behind the destination, as numbers",
                "chmod" => "write `mode=\"0755\"` behind the destination",
                "from" => "write `from=\"NAME\"` behind the destination; it names an image of the plan, or one elsewhere with its tag",
                _ => "settings are written `name=value`: `owner=`, `mode=`",
            };
            let message = format!("`{}` is a flag of `COPY` in Dockerfiles", shown(text));
            cx.fault(Diagnostic::plan("plan::bad-value", message, &value.span, "not a path").help(help));
            cx.break_at(&copy.name.span);
        }
        if !sources.is_empty() && sources.iter().all(is_exclusion) {
            let fault =
                Diagnostic::plan("plan::bad-pattern", "`copy` selects nothing: it has only exclusions", &sources[0].span, "an exclusion");
            cx.fault(fault.help("say first what they are taken from: `copy \"public/\" \"!public/*.map\" \"/www/\"`"));
        }
    }
}

/// A path in the image: absolute, without `..`.
pub(super) fn check_inner_path(view: &View<'_, '_>, text: &str, span: &Span) -> Option<()> {
    let why = if !text.starts_with('/') {
        "is not absolute"
    } else if text.split('/').any(|part| part == "..") {
        "has `..` in it"
    } else if text.contains('\0') || text.len() > 4096 {
        "is not a path"
    } else {
        return Some(());
    };
    let fault = Diagnostic::plan("plan::bad-path", format!("`{}` {why}", shown(text)), span, "a path in the image");
    view.cx.fault(fault.help(format!("a path in the image begins with `/`: `\"/{}\"`", shown(text.trim_start_matches(['.', '/'])))));
    None
}

/// `1001:1001`; one number stands for both. Names would need the base's `/etc/passwd`, which another base changes.
fn owner(text: &str) -> Result<(u32, u32), String> {
    let bad = || format!("`{}` is not an owner; write `user:group` as numbers, like `1001:1001`", shown(text));
    let id = |part: &str| {
        part.parse::<u32>().ok().filter(|id| *id <= i32::MAX as u32 && part.bytes().all(|b| b.is_ascii_digit())).ok_or_else(bad)
    };
    match text.split_once(':') {
        Some((user, group)) => Ok((id(user)?, id(group)?)),
        None => id(text).map(|id| (id, id)),
    }
}

/// `0755`.
fn mode(text: &str) -> Result<u32, String> {
    let octal = (3..=5).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o7777 => Ok(mode),
        _ => Err(format!("`{}` is not a mode; write it in octal, like `0755`", shown(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_modes_are_numbers_that_a_kernel_takes() {
        assert_eq!(owner("1001:20"), Ok((1001, 20)));
        assert_eq!(owner("1001"), Ok((1001, 1001)));
        for text in ["", "root", "1:", ":1", "-1", "+1", "2147483648", "1:2:3", "99999999999"] {
            assert!(owner(text).is_err(), "{text}");
        }
        assert_eq!(mode("0755"), Ok(0o755));
        assert_eq!(mode("644"), Ok(0o644));
        assert_eq!(mode("4755"), Ok(0o4755));
        for text in ["", "7", "0888", "99999", "+755", "17777", "u+x"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
