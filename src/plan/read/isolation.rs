//! The walls of a container: user, limits, capabilities, network, mounts. The same words in `container` and `service`.

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::words;
use crate::plan::isolation::{CAPABILITIES, Isolation, Mount, MountSource, Network};
use crate::plan::names::{Names, Thing};
use crate::syntax::document::{Node, Scalar, Value};

use super::image::check_inner_path;
use super::settings::{labels, user};
use super::view::{Text, View, number, shown, size};

/// What the block of a `container` or `service` says; `network` is what counts when it says nothing of one.
pub(super) fn isolation(view: &View<'_, '_>, node: &Node, names: &Names, network: Network) -> Isolation {
    let cap_drop = capabilities(view, node, "cap-drop");
    let cap_add = capabilities(view, node, "cap-add");
    for (name, span) in &cap_add {
        if let Some((_, first)) = cap_drop.iter().find(|(dropped, _)| dropped == name) {
            let fault = Diagnostic::plan("plan::repeated", format!("`{name}` is dropped and added"), span, "added here");
            view.cx.fault(
                fault
                    .label(first, "dropped here")
                    .help("leave one of them out; `cap-drop ALL` may stand beside single ones that are added"),
            );
        }
    }
    Isolation {
        user: view.child_parsed(node, "user", "plan::bad-value", user),
        read_only: view.flag(node, "read-only", false),
        network: joined(view, node, names).unwrap_or(network),
        memory: view.child_parsed(node, "memory", "plan::bad-size", memory),
        cpus: view.child_parsed(node, "cpus", "plan::bad-value", cpus),
        pids: view.child_parsed(node, "pids", "plan::bad-value", number(1, 4_194_304)),
        cap_drop: cap_drop.into_iter().map(|(name, _)| name).collect(),
        cap_add: cap_add.into_iter().map(|(name, _)| name).collect(),
        labels: labels(view, node, "label"),
        mounts: mounts(view, node, names),
    }
}

fn cpus(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 4096.0 => Ok(number),
        _ => Err(format!("`{}` is not a number of CPUs; write it like `1` or `0.5`", shown(text))),
    }
}

/// The least that engines take. Source: Docker's API, `HostConfig.Memory`.
const LEAST_MEMORY: u64 = 6 << 20;

fn memory(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes < LEAST_MEMORY => {
            Err(format!("`{}` is less than the 6 MiB that a container needs; units are `MiB` and `GiB`", shown(text)))
        }
        bytes => Ok(bytes),
    }
}

/// Names of capabilities in the kernel's spelling, sorted, each once.
fn capabilities(view: &View<'_, '_>, node: &Node, word: &str) -> Vec<Text> {
    let mut found: Vec<Text> = Vec::new();
    for (text, span) in view.child_texts(node, word) {
        let upper = text.to_uppercase().replace('-', "_");
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        if name != "ALL" && !CAPABILITIES.contains(&name.as_str()) {
            let fault =
                Diagnostic::plan("plan::bad-value", format!("there is no capability `{}`", shown(&text)), &span, "unknown capability");
            view.cx.fault(match words::closest(&name, CAPABILITIES.iter().copied()) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help("capabilities are named as in `man 7 capabilities`, like `NET_BIND_SERVICE`; `ALL` is all of them"),
            });
        } else if !found.iter().any(|(known, _)| *known == name) {
            found.push((name, span));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// What `network` says; `None` when it is not there.
fn joined(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<Network> {
    let child = view.child(node, "network")?;
    let truth = |value: &Value| if let Scalar::Bool(on) = value.scalar { Some(on) } else { None };
    match child.args.as_slice() {
        [] => return Some(Network::Usual),
        [only] if truth(only).is_some() => return Some(if truth(only)? { Network::Usual } else { Network::None }),
        several => {
            if let Some(odd) = several.iter().find(|value| truth(value).is_some()) {
                let fault =
                    Diagnostic::plan("plan::wrong-type", "`network` takes names, or a truth value alone", &odd.span, "is a truth value");
                view.cx.fault(fault.help("name the networks: `network backend frontend`"));
                return Some(Network::None);
            }
        }
    }
    let mut found: Vec<(String, Span)> = Vec::new();
    for (name, span) in view.texts(&child.args) {
        let Some(full) = names.thing(view.cx, Thing::Network, &name, &span) else { continue };
        if let Some((_, first)) = found.iter().find(|(known, _)| *known == full) {
            let fault = Diagnostic::plan("plan::repeated", format!("it joins `{}` twice", shown(&name)), &span, "again here");
            view.cx.fault(fault.label(first, "first here").help("leave one of them out"));
        } else {
            found.push((full, span));
        }
    }
    Some(Network::Named(found))
}

fn mounts(view: &View<'_, '_>, node: &Node, names: &Names) -> Vec<Mount> {
    let mut found: Vec<Mount> = Vec::new();
    for child in node.children.iter().flatten().filter(|child| view.cx.is_good(child)) {
        let Some(mount) = mount(view, child, names) else { continue };
        let same = |known: &&Mount| known.at.trim_end_matches('/') == mount.at.trim_end_matches('/');
        if let Some(first) = found.iter().find(same) {
            let fault =
                Diagnostic::plan("plan::repeated", format!("two mounts stand at `{}`", shown(&mount.at)), &mount.span, "again here");
            view.cx.fault(fault.label(&first.span, "first here").help("only one of them would be seen; give one another path"));
            continue;
        }
        found.push(mount);
    }
    found
}

fn mount(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<Mount> {
    let source = match node.name.text.as_str() {
        "mount" => {
            let value = node.args.first()?;
            if matches!(value.scalar, Scalar::Bool(_)) {
                return None;
            }
            if node.args.len() < 2 {
                let fault = Diagnostic::plan("plan::arguments", "`mount` does not say where", &node.name.span, "where to?");
                view.cx.fault(fault.help("write `mount \"src/\" \"/app/src\"`: a path of the project, then one in the container"));
                return None;
            }
            let (path, span) = view.text(value)?;
            if path.ends_with("docker.sock") {
                let fault =
                    Diagnostic::plan("plan::bad-path", "the engine's socket is no file of the project", &span, "not mounted like this");
                view.cx.fault(fault.help("write `socket docker` in the service: it finds the socket, and grants its group"));
                return None;
            }
            MountSource::Project(view.path(&path, &span)?)
        }
        "volume" => {
            let (name, span) = view.text(node.args.first()?)?;
            MountSource::Volume(names.thing(view.cx, Thing::Volume, &name, &span)?)
        }
        "tmpfs" => MountSource::Memory(
            view.prop(node, "size").and_then(|value| view.text(value)).and_then(|text| view.parsed(text, "plan::bad-size", size)),
        ),
        _ => return None,
    };
    let (at, span) = view.text(node.args.get(usize::from(node.args.len() > 1))?)?;
    check_inner_path(view, &at, &span)?;
    if at.trim_end_matches('/').is_empty() {
        let fault = Diagnostic::plan("plan::bad-path", "a mount at `/` would hide the whole image", &span, "the root");
        view.cx.fault(fault.help("mount it below, for instance at `/data`"));
        return None;
    }
    Some(Mount { source, at, read_only: view.flag_prop(node, "read-only") || node.args.len() > 2, span: node.name.span.clone() })
}
