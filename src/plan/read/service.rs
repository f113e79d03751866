//! `service`, `network` and `volume` nodes.

use std::net::{IpAddr, Ipv4Addr};

use crate::base::diagnostic::Diagnostic;
use crate::plan::cx::Cx;
use crate::plan::expand::Instance;
use crate::plan::isolation::Network;
use crate::plan::names::{Names, Thing};
use crate::plan::service::{NetworkDef, PortMap, Ports, Restart, Retention, ServiceDef, Socket, VolumeDef};
use crate::plan::spec::service::RESTARTS;
use crate::plan::value::Locals;
use crate::syntax::document::Node;

use super::container::image;
use super::env_file;
use super::image::check_inner_path;
use super::isolation::isolation;
use super::project::check_env;
use super::settings::{health, labels, signal};
use super::shape::{has_unknown, not_a_word};
use super::task::{commands, shell};
use super::view::{View, children, duration, number, shown, was_written};

/// A service; `None` when its image is not known, which is reported.
pub(in crate::plan) fn service(cx: &Cx<'_>, instance: &Instance<'_>, names: &Names) -> Option<ServiceDef> {
    let node = instance.node;
    let locals = instance.locals();
    let view = &View { cx, locals: &locals };
    if !was_written(node, "image") && !has_unknown(node) {
        let fault =
            Diagnostic::plan("plan::arguments", format!("service `{}` needs an `image`", instance.name), &instance.span, "no image");
        cx.fault(fault.help("name an image of the plan, or a reference: `image \"postgres:17\"`"));
    }
    let image = image(view, node, names);
    let mut run = commands(view, node);
    let written: Vec<&Node> = node.children.iter().flatten().filter(|child| matches!(child.name.text.as_str(), "run" | "exec")).collect();
    if let [first, second, ..] = written.as_slice() {
        let fault = Diagnostic::plan("plan::repeated", "a service runs one command", &second.name.span, "a second one");
        cx.fault(fault.label(&first.name.span, "the first").help("put both into one script: `run \"first && exec second\"`"));
    }
    let policy = view.child_text(node, "policy").and_then(|(name, span)| Some((names.thing(cx, Thing::Policy, &name, &span)?, span)));
    let shell = shell(view, node);
    let (env, ports, isolation) = (environment(view, node), ports(view, node), isolation(view, node, names, Network::Usual));
    let healthcheck = view.child(node, "healthcheck").and_then(|child| health(view, child));
    let restart = view.child(node, "restart").and_then(|child| restart(view, child)).unwrap_or_default();
    let socket = view.child(node, "socket").and_then(|child| socket(view, child));
    let stop_signal = view.child_parsed(node, "stop-signal", "plan::bad-value", signal);
    let stop_grace = view.child_parsed(node, "stop-grace", "plan::bad-duration", duration);
    let (image, image_span) = image?;
    let span = instance.span.clone();
    Some(ServiceDef {
        image,
        image_span,
        command: run.pop(),
        shell,
        env,
        ports,
        isolation,
        healthcheck,
        restart,
        socket,
        policy,
        stop_signal,
        stop_grace,
        span,
    })
}

/// Only what the service itself names: the environment at the top of the plan is for tasks.
fn environment(view: &View<'_, '_>, node: &Node) -> Vec<(String, String)> {
    let mut own: Vec<(String, String)> = view.pairs(node, "env", check_env).into_iter().map(|(name, (value, _))| (name, value)).collect();
    let files = env_file::variables(view, children(view.cx, node, "env-file"));
    let more: Vec<(String, String)> = files.into_iter().filter(|(name, _)| !own.iter().any(|(known, _)| known == name)).collect();
    own.extend(more);
    own.sort();
    own
}

fn ports(view: &View<'_, '_>, node: &Node) -> Vec<PortMap> {
    children(view.cx, node, "port").filter_map(|child| port(view, child)).collect()
}

fn port(view: &View<'_, '_>, node: &Node) -> Option<PortMap> {
    let text = view.text(node.args.first()?)?;
    if let Some((host, inside)) = text.0.rsplit_once(':') {
        let message = format!("`{}` is two ports", shown(&text.0));
        let (address, host) = host.rsplit_once(':').map_or(("", host), |(address, host)| (address, host));
        let address = if address.is_empty() { String::new() } else { format!(" address=\"{}\"", shown(address)) };
        let help = format!("write `port {} host={}{address}`: first the one in the container", shown(inside), shown(host));
        view.cx.fault(Diagnostic::plan("plan::bad-value", message, &text.1, "the port in the container stands alone").help(help));
        return None;
    }
    let (inside, protocol) = view.parsed(text, "plan::bad-value", |text| {
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if !matches!(protocol, "tcp" | "udp" | "sctp") {
            return Err(format!("`{}` is not a protocol of ports; they are `tcp`, `udp` and `sctp`", shown(protocol)));
        }
        numbers_of(numbers).map(|ports| (ports, protocol.to_owned()))
    })?;
    let host = match view.prop(node, "host").map(|value| view.text(value)) {
        None => Some(inside),
        Some(None) => return None,
        Some(Some((text, _))) if text == "any" => None,
        Some(Some((text, span))) => {
            let host = view.parsed((text, span.clone()), "plan::bad-value", numbers_of)?;
            if host.count() != inside.count() {
                let message = format!("`{host}` are {} ports of this machine for {} in the container", host.count(), inside.count());
                view.cx
                    .fault(Diagnostic::plan("plan::bad-value", message, &span, "not as many").help("give both the same number of ports"));
                return None;
            }
            Some(host)
        }
    };
    let address = match view.prop(node, "address").map(|value| view.text(value)) {
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => view.parsed(text?, "plan::bad-value", |text| {
            text.parse()
                .map_err(|_| format!("`{}` is not an address of a machine; write it like `127.0.0.1`, or `0.0.0.0` for all", shown(text)))
        })?,
    };
    Some(PortMap { inside, host, protocol, address, span: node.name.span.clone() })
}

/// `8080`, `8000-8010`.
fn numbers_of(text: &str) -> Result<Ports, String> {
    let bad = || format!("`{}` is not a port; write it like `8080`, 1 to 65535, or `\"8000-8010\"`", shown(text));
    let one = |text: &str| {
        let number = text.parse::<u16>().ok().filter(|number| *number > 0 && text.bytes().all(|byte| byte.is_ascii_digit()));
        number.ok_or_else(bad)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ports = Ports { first: one(first)?, last: one(last)? };
    if ports.first > ports.last { Err(format!("the ports `{}` run backwards; write `{last}-{first}`", shown(text))) } else { Ok(ports) }
}

fn restart(view: &View<'_, '_>, node: &Node) -> Option<Restart> {
    let (word, span) = view.text(node.args.first()?)?;
    let times = view.prop(node, "times");
    let restart = match word.as_str() {
        "no" => Restart::No,
        "always" => Restart::Always,
        "unless-stopped" => Restart::UnlessStopped,
        "on-failure" => {
            let times = times.and_then(|value| view.text(value));
            return Some(Restart::OnFailure(times.and_then(|text| view.parsed(text, "plan::bad-value", number(1, 1000)))));
        }
        _ => {
            view.cx.fault(not_a_word(&word, RESTARTS, "restart", &span));
            return None;
        }
    };
    if let Some(times) = times {
        let fault = Diagnostic::plan("plan::bad-value", format!("`restart {word}` does not count"), &times.span, "counts for `on-failure`");
        view.cx.fault(fault.help("leave `times=` out, or write `restart on-failure times=…`"));
    }
    Some(restart)
}

fn socket(view: &View<'_, '_>, node: &Node) -> Option<Socket> {
    let path = match view.prop(node, "path").map(|value| view.text(value)) {
        None => None,
        Some(None) => return None,
        Some(Some((path, span))) => {
            check_inner_path(view, &path, &span)?;
            Some(path)
        }
    };
    Some(Socket { path, span: node.name.span.clone() })
}

/// One network under its name.
pub(in crate::plan) fn network(cx: &Cx<'_>, node: &Node, name: &str) -> NetworkDef {
    let locals = Locals::top();
    let view = &View { cx, locals: &locals };
    NetworkDef {
        name: name.to_owned(),
        driver: driver(view, node),
        internal: view.flag(node, "internal", false),
        mtu: view.child_parsed(node, "mtu", "plan::bad-value", number(68, 65_535)),
        options: labels(view, node, "option"),
        labels: labels(view, node, "label"),
        span: node.name.span.clone(),
    }
}

/// One volume under its name.
pub(in crate::plan) fn volume(cx: &Cx<'_>, node: &Node, name: &str) -> VolumeDef {
    let locals = Locals::top();
    let view = &View { cx, locals: &locals };
    VolumeDef {
        name: name.to_owned(),
        driver: driver(view, node),
        options: labels(view, node, "option"),
        labels: labels(view, node, "label"),
        backups: view.child(node, "backups").and_then(|child| retention(view, child)),
        span: node.name.span.clone(),
    }
}

fn driver(view: &View<'_, '_>, node: &Node) -> Option<String> {
    view.child_parsed(node, "driver", "plan::bad-value", |text| {
        let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':'));
        if good { Ok(text.to_owned()) } else { Err(format!("`{}` is not the name of a driver", shown(text))) }
    })
}

/// `backups keep=7 within="30d"`.
pub(super) fn retention(view: &View<'_, '_>, node: &Node) -> Option<Retention> {
    let word = &node.name.text;
    let keep = view.prop(node, "keep").and_then(|value| view.text(value));
    let within = view.prop(node, "within").and_then(|value| view.text(value));
    if node.props.is_empty() {
        let fault = Diagnostic::plan("plan::arguments", format!("`{word}` does not say what stays"), &node.name.span, "keeps what?");
        view.cx.fault(fault.help(format!("write `{word} keep=10`, `{word} within=\"30d\"`, or both")));
        return None;
    }
    Some(Retention {
        keep: keep.and_then(|text| view.parsed(text, "plan::bad-value", number(1, 100_000))),
        within: within.and_then(|text| view.parsed(text, "plan::bad-duration", duration)),
        untagged: view.flag_prop(node, "untagged"),
        span: node.name.span.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_single_or_in_a_row() {
        assert_eq!(numbers_of("8080"), Ok(Ports { first: 8080, last: 8080 }));
        assert_eq!(numbers_of("8000-8010").map(Ports::count), Ok(11));
        for text in ["0", "65536", "70000", "http", "", "80-", "-80", "+80", "1-2-3", "90-80"] {
            assert!(numbers_of(text).is_err(), "{text}");
        }
        let (low, high) = (Ports { first: 1, last: 10 }, Ports { first: 10, last: 12 });
        assert_eq!((low.shared(high), high.shared(Ports { first: 13, last: 13 })), (Some(10), None));
    }
}
