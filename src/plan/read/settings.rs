//! What the config of an image says: environment, user, ports, labels, health check, entry point.

use crate::base::diagnostic::Diagnostic;
use crate::base::words;
use crate::plan::image::{Health, HealthCommand, Settings};
use crate::syntax::document::{Node, Scalar, Value};

use super::image::check_inner_path;
use super::project::check_env;
use super::shape::not_a_word;
use super::task::own_shell;
use super::view::{Text, View, children, duration, number, shown, was_written};

/// The settings of an image for one platform.
pub(super) fn settings(view: &View<'_, '_>, node: &Node) -> Settings {
    let inner = |name| {
        let texts = view.child_texts(node, name);
        texts.into_iter().filter(|(text, span)| check_inner_path(view, text, span).is_some()).map(|(text, _)| text).collect::<Vec<_>>()
    };
    let argv = |name| {
        let words = view.all_texts(&view.child(node, name)?.args)?;
        Some(words.into_iter().map(|(word, _)| word).collect())
    };
    let program = if was_written(node, "entrypoint") { "entrypoint" } else { "cmd" };
    children(view.cx, node, program).for_each(|child| view.warn_of_one_word(child));
    Settings {
        env: view.pairs(node, "env", check_env).into_iter().map(|(name, (value, _))| (name, value)).collect(),
        user: view.child_parsed(node, "user", "plan::bad-value", user),
        workdir: inner("workdir").into_iter().next(),
        expose: ports(view, node),
        volumes: inner("volume"),
        labels: labels(view, node, "label"),
        annotations: labels(view, node, "annotation"),
        healthcheck: view.child(node, "healthcheck").and_then(|child| health(view, child)),
        stop_signal: view.child_parsed(node, "stop-signal", "plan::bad-value", signal),
        author: view.child_text(node, "author").map(|(text, _)| text),
        shell: own_shell(view, node),
        on_build: view.child_texts(node, "onbuild").into_iter().filter_map(|text| view.parsed(text, "plan::bad-value", trigger)).collect(),
        os_version: view.child_parsed(node, "os-version", "plan::bad-value", plain),
        os_features: view
            .child_texts(node, "os-feature")
            .into_iter()
            .filter_map(|text| view.parsed(text, "plan::bad-value", plain))
            .collect(),
        entrypoint: argv("entrypoint"),
        cmd: argv("cmd"),
    }
}

pub(super) fn user(text: &str) -> Result<String, String> {
    let part = |part: &str| !part.is_empty() && !part.contains([':', '\0', '\n', ' ', '/']);
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    if part(user) && group.is_none_or(part) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a user; write a name or number, with an optional `:group`", shown(text)))
    }
}

pub(super) fn signal(text: &str) -> Result<String, String> {
    let real_time = |rest: &str| {
        ["RTMIN", "RTMAX"].iter().any(|end| rest.strip_prefix(end).is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-'])))
    };
    let named = text.strip_prefix("SIG").is_some_and(|rest| SIGNALS.contains(&rest) || real_time(rest));
    let numbered = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    if named || numbered {
        return Ok(text.to_owned());
    }
    let bare = text.to_uppercase();
    let bare = bare.strip_prefix("SIG").unwrap_or(&bare);
    let near = SIGNALS.iter().find(|name| **name == bare).copied().or_else(|| words::closest(bare, SIGNALS.iter().copied()));
    Err(format!("`{}` is not a signal; write it like `SIG{}`", shown(text), near.unwrap_or("INT")))
}

/// An instruction of a Dockerfile that may be a trigger. Source: Dockerfile reference, ONBUILD.
fn trigger(text: &str) -> Result<String, String> {
    let word = text.split_whitespace().next().unwrap_or_default().to_uppercase();
    if matches!(word.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        Err(format!("`{word}` cannot be triggered by a build"))
    } else if TRIGGERS.contains(&word.as_str()) && !text.contains('\n') {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not an instruction of a Dockerfile; write it like `RUN make` or `COPY . /src`", shown(text)))
    }
}

const TRIGGERS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A word without spaces.
fn plain(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
    if good { Ok(text.to_owned()) } else { Err(format!("`{}` is not one word of letters, digits, `.`, `_`, `-` and `+`", shown(text))) }
}

/// The names of signals without `SIG`. Source: signal(7).
const SIGNALS: &[&str] = &[
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
    "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS",
];

/// `8080` is `8080/tcp`.
fn port(text: &str) -> Result<String, String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let good = number.parse::<u16>().is_ok_and(|number| number > 0) && number.bytes().all(|byte| byte.is_ascii_digit());
    if good && matches!(protocol, "tcp" | "udp" | "sctp") {
        Ok(format!("{number}/{protocol}"))
    } else {
        Err(format!("`{}` is not a port; write it like `8080` or `\"53/udp\"`", shown(text)))
    }
}

fn ports(view: &View<'_, '_>, node: &Node) -> Vec<String> {
    let mut ports = Vec::new();
    for text in view.child_texts(node, "expose") {
        if let Some(port) = view.parsed(text, "plan::bad-value", port)
            && !ports.contains(&port)
        {
            ports.push(port);
        }
    }
    ports
}

/// `label key="value"` and `label "key" "value"`, sorted by key.
pub(super) fn labels(view: &View<'_, '_>, node: &Node, name: &str) -> Vec<(String, String)> {
    let mut pairs = view.pairs(node, name, |key| {
        if key.is_empty() { Err(("is not a key".to_owned(), "a key has at least one character".to_owned())) } else { Ok(()) }
    });
    for child in children(view.cx, node, name) {
        match child.args.as_slice() {
            [key, value] => {
                if let (Some((key, span)), Some(value)) = (view.text(key), view.text(value)) {
                    view.pair(&mut pairs, key, &span, value);
                }
            }
            [] if !child.props.is_empty() => {}
            _ => {
                let fault = Diagnostic::plan("plan::arguments", format!("`{name}` needs a key and a value"), &child.name.span, "no pair");
                view.cx.fault(fault.help(format!("write `{name} key=\"value\"` or `{name} \"key\" \"value\"`")));
            }
        }
    }
    let mut pairs: Vec<(String, String)> = pairs.into_iter().map(|(key, (value, _))| (key, value)).collect();
    pairs.sort();
    pairs
}

pub(super) fn health(view: &View<'_, '_>, node: &Node) -> Option<Health> {
    let (form, span) = view.text(&node.args[0])?;
    let words = &node.args[1..];
    let fault = |message: &str, at: &Value, help: &str| {
        view.cx.fault(Diagnostic::plan("plan::arguments", message, &at.span, "here").help(help));
        None
    };
    let command = match form.as_str() {
        "none" => {
            return match words.first() {
                None => Some(Health::None),
                Some(extra) => fault("`healthcheck none` takes nothing more", extra, "leave it out, or write `exec` instead of `none`"),
            };
        }
        "exec" if words.is_empty() => {
            return fault("`healthcheck exec` names no program", &node.args[0], "write `healthcheck exec \"/app\" \"check\"`");
        }
        "exec" => HealthCommand::Exec(view.all_texts(words)?.into_iter().map(|(word, _): Text| word).collect()),
        "run" => match words {
            [value @ Value { scalar: Scalar::String(script), .. }] => HealthCommand::Shell(view.cx.verbatim(value, script)?),
            _ => return fault("`healthcheck run` takes one script", &node.args[0], "write `healthcheck run \"wget -q localhost\"`"),
        },
        _ => {
            view.cx.fault(not_a_word(&form, &["exec", "run", "none"], "healthcheck", &span));
            return None;
        }
    };
    let time =
        |name| view.prop(node, name).and_then(|value| view.text(value)).and_then(|text| view.parsed(text, "plan::bad-duration", duration));
    let retries = view.prop(node, "retries").and_then(|value| view.text(value));
    Some(Health::Check {
        command,
        interval: time("interval"),
        timeout: time("timeout"),
        start_period: time("start-period"),
        retries: retries.and_then(|text| view.parsed(text, "plan::bad-value", number(1, 1000))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_users_and_signals_are_checked() {
        assert_eq!(port("8080").as_deref(), Ok("8080/tcp"));
        assert_eq!(port("53/udp").as_deref(), Ok("53/udp"));
        for text in ["0", "65536", "80/icmp", "http", "+80", "80/", "8000-8010"] {
            assert!(port(text).is_err(), "{text}");
        }
        for text in ["", "a:", ":1", "a b", "a:b:c"] {
            assert!(user(text).is_err(), "{text}");
        }
        for (text, good) in [("SIGINT", true), ("SIGRTMIN+3", true), ("9", true), ("INT", false), ("0", false), ("SIG", false)] {
            assert_eq!(signal(text).is_ok(), good, "{text}");
        }
    }
}
