//! What the values of a node were meant to be where they have another form: pairs as texts, settings in a block, two values in one text.
//! In: a node whose form is wrong. Out: how it is written here, when that can be said. Never: a fault of its own.

use crate::base::words;
use crate::syntax::document::{Node, Scalar, Value};

fn text(value: &Value) -> Option<&str> {
    if let Scalar::String(text) = &value.scalar { Some(text) } else { None }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", words::visible(text))
}

/// What to write in place of a node with too few or too many values.
pub(super) fn of_values(node: &Node) -> Option<String> {
    let texts: Vec<&str> = node.args.iter().filter_map(text).collect();
    let written = match (node.name.text.as_str(), texts.as_slice()) {
        (name @ ("env" | "label" | "annotation" | "option" | "set"), pairs) if pairs.iter().all(|pair| pair.contains('=')) => {
            let pairs = pairs.iter().filter_map(|pair| pair.split_once('=')).map(|(key, value)| format!("{key}={}", quoted(value)));
            format!("{name} {}", pairs.collect::<Vec<_>>().join(" "))
        }
        ("container", [image]) => format!("container {{ image {} }}", quoted(image)),
        ("registry", [place]) if place.contains(['/', '.']) => {
            let name = place.rsplit('/').next().unwrap_or(place).split('.').next().unwrap_or_default();
            format!("registry {} {}", quoted(name), quoted(place))
        }
        ("secret", [name, ..]) if texts.len() > 1 => {
            let name = quoted(name);
            return Some(format!(
                "a plan says where a secret comes from, never what it is: `secret {name} env=\"…\"`, `file=` or `command=`"
            ));
        }
        ("use", [template, value, ..]) => format!("use {} NAME={}", quoted(template), quoted(value)),
        ("run", lines) if lines.len() > 1 && lines.iter().any(|line| line.contains(' ')) => {
            return Some("write a `run` for each command, or all lines as one text between `\"\"\"`".to_owned());
        }
        (name @ ("volume" | "mount"), [pair]) => {
            let (from, to) = pair.split_once(':')?;
            let (to, read_only) = to.split_once(':').map_or((to, ""), |(to, mode)| (to, if mode == "ro" { " read-only" } else { "" }));
            let path = name == "mount" || from.starts_with(['.', '/', '~']);
            format!("{} {} {}{read_only}", if path { "mount" } else { "volume" }, quoted(from), quoted(to))
        }
        _ => return None,
    };
    Some(format!("write `{}`", words::shorten(&written, 120)))
}

/// What to write in place of a block where values stand behind the name.
pub(super) fn of_block(node: &Node) -> Option<String> {
    let inside = node.children.as_deref().unwrap_or_default();
    if node.name.text != "healthcheck" {
        return None;
    }
    let (mut check, mut settings) = (None, Vec::new());
    for child in inside {
        let values: Vec<&str> = child.args.iter().filter_map(text).collect();
        match (child.name.text.as_str(), values.as_slice()) {
            ("test" | "exec", ["CMD", words @ ..]) | ("exec" | "cmd", words) => {
                check = Some(format!("exec {}", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")));
            }
            ("test" | "command" | "run", ["CMD-SHELL", line] | [line]) => check = Some(format!("run {}", quoted(line))),
            (name, [value]) => settings.push(format!("{}={}", name.replace('_', "-"), quoted(value))),
            (name, _) => settings.extend(child.args.first().map(|value| format!("{name}={}", value.span.text()))),
        }
    }
    Some(format!("write `healthcheck {}`", words::shorten(&[vec![check?], settings].concat().join(" "), 120)))
}

/// What a property means that a node does not have.
pub(super) fn of_property(node: &Node, name: &str) -> Option<&'static str> {
    Some(match (node.name.text.as_str(), name) {
        ("copy" | "add", "chown") => "write `owner=\"1001:1001\"`, as numbers",
        ("copy" | "add", "chmod") => "write `mode=\"0755\"`",
        ("needs" | "after", "when" | "if") => "a target that does not take part is not waited for: write `when` in that target",
        ("registry", "username" | "user" | "password" | "token" | "auth") => {
            "who may push is not part of a plan: credentials are those of `docker login`"
        }
        ("matrix", _) => "variables stand in its block, each with its values: `matrix { os linux mac; go \"1.24\" }`",
        ("param", "values" | "options" | "enum" | "allowed") => "write them in its block: `param … { choices a b }`",
        _ => return None,
    })
}

/// A part of a text that other tools would look up and kiln takes as it is: what is wrong, and what to write.
pub(super) fn taken_literally(node: &str, path: bool, text: &str) -> Option<(&'static str, String)> {
    if path && text.starts_with("~/") {
        return Some(("`~` is not the home folder here", "a plan names files below its own folder".to_owned()));
    }
    let named = text.find("$(").map(|at| &text[at + 2..]).filter(|rest| rest.contains(')'));
    if let Some(command) = named.map(|rest| rest.split(')').next().unwrap_or_default()) {
        let command = words::visible(command);
        let value = if command.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            format!("a value of the plan is written `${{name}}`, a variable of the environment `${{env.{command}}}`")
        } else {
            format!("give its output a name, `let name command=\"{command}\"`, and write `${{name}}`")
        };
        return Some(("`$(…)` is not run here", value));
    }
    let template = text.find("{{").filter(|at| text[*at..].contains("}}"));
    if template.is_some() && !matches!(node, "env" | "let" | "param") {
        return Some(("`{{…}}` is not looked up here", "values are written `${name}`: `${git.version}`, `${platform}`".to_owned()));
    }
    let name = text.split('$').nth(1).map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default());
    let variable = name.filter(|name| name.len() > 1 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))?;
    let whole = text.starts_with(&format!("${variable}/")) || text.split(':').any(|part| part.strip_prefix('$') == Some(variable));
    if !whole || text.starts_with("$$") {
        return None;
    }
    Some((
        "a name behind `$` is not looked up here",
        format!("write the value itself; `${{env.{variable}}}` is the variable of kiln's own environment"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_tool_would_look_up_is_told() {
        for (node, path, text, told) in [
            ("inputs", true, "~/src", true),
            ("inputs", true, "src/~/x", false),
            ("inputs", true, "$(SRC)/**", true),
            ("inputs", true, "routes/$id.tsx", false),
            ("inputs", true, "$HOME/x", true),
            ("inputs", true, "dist/{{.Os}}/x", true),
            ("env", false, "{{.Names}}", false),
            ("env", false, "/venv/bin:$PATH", true),
            ("env", false, "cost: $USD", false),
            ("env", false, "$(git describe)", true),
            ("let", false, "a $ b", false),
        ] {
            assert_eq!(taken_literally(node, path, text).is_some(), told, "{text}");
        }
    }
}
