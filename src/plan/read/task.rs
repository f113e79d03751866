//! `task` nodes: one definition per matrix cell and platform.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::base::diagnostic::{Diagnostic, Span};
use crate::base::id::TargetName;
use crate::base::path::RelPath;
use crate::base::platform::Platform;
use crate::base::words;
use crate::plan::cx::Cx;
use crate::plan::expand::Instance;
use crate::plan::matrix::{MatrixCell, cells};
use crate::plan::names::{Names, Sort};
use crate::plan::target::{Command, FileSet, Output, SHELLS, TaskCell};
use crate::plan::template::exported;
use crate::plan::value::NoPlatform;
use crate::plan::value::bindings::ROOTS;
use crate::plan::value::template::Place;
use crate::syntax::document::{Node, Scalar, Value};

use super::arg::Taken;
use super::container::container;
use super::defaults::{self, Defaults};
use super::env_file;
use super::project::check_env;
use super::running;
use super::sandbox;
use super::secret;
use super::shape::has_unknown;
use super::view::{Text, View, children, duration, is_exclusion, number, shown, size, was_written};

/// What `run` is handed to unless `shell` says otherwise. A failing line ends the script.
const SHELL: &[&str] = &["sh", "-ec"];
/// How far the end of a `${…}` is looked for in a script, in bytes.
const LONGEST_NAME: usize = 200;

/// All definitions of a task; empty when something about it is wrong, which is reported.
pub(in crate::plan) fn task(cx: &Cx<'_>, instance: &Instance<'_>, names: &Names, common: &Defaults, taken: &Taken) -> Vec<Arc<TaskCell>> {
    let node = instance.node;
    if !["run", "exec", "needs"].iter().any(|word| was_written(node, word)) && !has_unknown(node) {
        let fault = Diagnostic::plan("plan::empty", format!("task `{}` does nothing", instance.name), &instance.span, "no command");
        cx.fault(fault.help("give it `run \"…\"`, `exec \"program\" \"argument\"` or, to stand for others, `needs`"));
    }
    check_patterns(cx, node);
    let mut found = Vec::new();
    for cell in cx.shaping(|| cells(cx, instance)).unwrap_or_default() {
        let locals = instance.cell_locals(&cell, &taken.vars, Err(NoPlatform::Whole));
        let platforms: Vec<Option<Platform>> = match cx.shaping(|| (View { cx, locals: &locals }).platforms(node)) {
            Some(list) => list.into_iter().map(Some).collect(),
            None => vec![None],
        };
        for platform in platforms {
            if !cx.one_more_step(&instance.span) {
                return Vec::new();
            }
            let value = platform.clone().ok_or(NoPlatform::Unlisted);
            let locals = instance.cell_locals(&cell, &taken.vars, value);
            let view = View { cx, locals: &locals };
            let made = cx.in_cell(
                &locals,
                || instance.cell_name(&cell, platform.as_ref()),
                || {
                    let mut made = one(&view, node, names, &cell, platform.clone(), common);
                    hand_on(&mut made, &taken.rest);
                    if found.is_empty() {
                        warn_of_scripts(&view, node, &made);
                    }
                    made
                },
            );
            found.push(Arc::new(made));
        }
    }
    found
}

/// Gives a task the words behind `--`.
fn hand_on(made: &mut TaskCell, rest: &[String]) {
    made.rest = rest.to_vec();
    let last = made.commands.iter_mut().rev().find_map(|command| if let Command::Exec(words) = command { Some(words) } else { None });
    if let Some(words) = last {
        words.extend(rest.iter().cloned());
    }
}

fn one(view: &View<'_, '_>, node: &Node, names: &Names, cell: &MatrixCell, platform: Option<Platform>, common: &Defaults) -> TaskCell {
    let inputs = was_written(node, "inputs").then(|| view.file_set(view.child_texts(node, "inputs")));
    // Whoever makes a file that a target reads takes part, so all of them must be known.
    let outputs = view.cx.shaping(|| outputs(view, node));
    let (pass_env, unkeyed) = pass_env(view, node);
    let env = environment(view, node, &common.env, &pass_env);
    check_overlap(view, inputs.as_ref(), &outputs);
    let mut locks: Vec<String> = view.child_texts(node, "lock").into_iter().map(|(name, _)| name).collect();
    locks.sort();
    locks.dedup();
    TaskCell {
        cell: cell.name(),
        platform,
        inputs,
        outputs,
        commands: commands(view, node),
        secrets: secret::uses(view, node, &env, &pass_env),
        env,
        pass_env,
        unkeyed,
        tools: tools(view, node),
        dir: view.child_text(node, "dir").and_then(|(text, span)| view.path(&text, &span)).unwrap_or_else(|| view.cx.folder.clone()),
        shell: own_shell(view, node).or_else(|| common.shell.clone()).unwrap_or_else(usual_shell),
        rest: Vec::new(),
        container: view.child(node, "container").and_then(|child| container(view, child, names)).map(Box::new),
        exec_in: exec_in(view, node, names),
        timeout: view.child_parsed(node, "timeout", "plan::bad-duration", timeout),
        silence: silence(view, node),
        retry: running::retry(view, node),
        cpus: view.child_parsed(node, "cpus", "plan::bad-value", number(1, 1_024)).unwrap_or(1),
        memory: view.child_parsed(node, "memory", "plan::bad-size", size),
        jobserver: running::jobserver(view, node),
        interactive: view.flag(node, "interactive", false),
        allow_failure: view.flag(node, "allow-failure", false),
        locks,
        pools: defaults::pool_uses(view, node, common),
        sandbox: sandbox::of_task(view, node, common).map(Box::new),
    }
}

/// The service that the commands run in.
fn exec_in(view: &View<'_, '_>, node: &Node, names: &Names) -> Option<(TargetName, Span)> {
    let (text, span) = view.child_text(node, "exec-in")?;
    if let Some(container) = view.child(node, "container") {
        let fault =
            Diagnostic::plan("plan::repeated", "its commands run in a service or in a container of their own", &span, "in a service");
        view.cx.fault(fault.label(&container.name.span, "in a container of their own").help("leave one of them out"));
    }
    match names.sort(view.cx, &text) {
        Some((name, Sort::Service)) => Some((name, span)),
        Some((_, sort)) => {
            let message = format!("`{}` is {}, not a service", shown(&text), words::with_article(sort.word()));
            let fault = Diagnostic::plan("plan::not-a-service", message, &span, "not a service");
            view.cx.fault(match names.services(view.cx).as_slice() {
                [] => fault.help("`exec-in` names a `service` of the plan; for a container of its own write `container { image \"…\" }`"),
                services => fault.help(format!("services are: {}", services.join(", "))),
            });
            None
        }
        None => names.target(view.cx, &text, &span).and(None),
    }
}

/// The longest time without output. What goes to the terminal itself cannot be heard.
fn silence(view: &View<'_, '_>, node: &Node) -> Option<std::time::Duration> {
    let child = view.child(node, "silence")?;
    if view.flag(node, "interactive", false) {
        let message = "an interactive task writes to the terminal itself, so nobody hears when it is silent";
        let fault = Diagnostic::plan("plan::bad-value", message, &child.name.span, "cannot be heard");
        view.cx.fault(fault.help("leave one of them out, or give it a `timeout`"));
    }
    view.child_parsed(node, "silence", "plan::bad-duration", timeout)
}

fn timeout(text: &str) -> Result<std::time::Duration, String> {
    let time = duration(text)?;
    if time.is_zero() { Err("a task needs more time than none".to_owned()) } else { Ok(time) }
}

/// What can be said about patterns from the text alone.
fn check_patterns(cx: &Cx<'_>, node: &Node) {
    let mut inputs = children(cx, node, "inputs").flat_map(|child| &child.args).peekable();
    if let Some(first) = inputs.peek().copied()
        && inputs.all(is_exclusion)
    {
        let fault = Diagnostic::plan("plan::bad-pattern", "`inputs` selects nothing: it has only exclusions", &first.span, "an exclusion");
        cx.fault(fault.help("say first what they are taken from, for instance `inputs \"src/\" \"!src/gen/\"`"));
    }
    for value in children(cx, node, "outputs").flat_map(|child| &child.args).filter(|value| is_exclusion(value)) {
        cx.break_at(&value.span);
        let fault = Diagnostic::plan("plan::bad-pattern", "`outputs` has no exclusions", &value.span, "begins with `!`");
        cx.fault(fault.help("name only what the task makes"));
    }
}

fn outputs(view: &View<'_, '_>, node: &Node) -> Vec<Output> {
    let mut found = Vec::new();
    for (text, span) in view.child_texts(node, "outputs") {
        let Some(pattern) = view.pattern(&text, &span) else { continue };
        if pattern.literal().is_some_and(RelPath::is_root) {
            let fault = Diagnostic::plan("plan::bad-path", "an output cannot be the project itself", &span, "the whole project");
            view.cx.fault(fault.help("name the files or a folder for them, for instance `outputs \"dist/\"`"));
            continue;
        }
        found.push(Output { pattern, span });
    }
    // There is one of these for each task of the plan.
    found.shrink_to_fit();
    found
}

/// An output that is also an input would change the task's own key.
fn check_overlap(view: &View<'_, '_>, inputs: Option<&FileSet>, outputs: &[Output]) {
    let Some(inputs) = inputs else { return };
    for output in outputs {
        let Some((input, place)) = inputs.include.iter().find(|(input, _)| input.meets(&output.pattern)) else { continue };
        let covered = inputs.exclude.iter().any(|(exclude, _)| {
            exclude.as_str() == output.pattern.as_str()
                || output.pattern.literal().map_or_else(|| exclude.covers_all_below(&output.pattern.base()), |path| exclude.covers(path))
        });
        if !covered {
            let message = format!("the output `{}` is also an input of the task", output.pattern);
            let fault = Diagnostic::plan("plan::output-is-input", message, &output.span, "made here")
                .label(place, format!("selected by `{input}`"));
            view.cx.fault(fault.help(format!("leave it out of the inputs: `\"!{}\"`", output.pattern)));
        }
    }
}

pub(super) fn commands(view: &View<'_, '_>, node: &Node) -> Vec<Command> {
    let mut found = Vec::new();
    for child in node.children.iter().flatten().filter(|child| view.cx.is_good(child)) {
        match child.name.text.as_str() {
            "run" => {
                let value = &child.args[0];
                let Scalar::String(script) = &value.scalar else { continue };
                if !view.cx.is_good_value(value) {
                    continue;
                }
                found.extend(view.cx.verbatim(value, script).map(Command::Script));
            }
            "exec" => {
                view.warn_of_one_word(child);
                let Some(words) = view.all_texts(&child.args) else { continue };
                if words.first().is_none_or(|(program, _)| program.is_empty()) {
                    let fault = Diagnostic::plan("plan::bad-value", "`exec` names no program", &child.args[0].span, "nothing");
                    view.cx.fault(fault.help("write `exec \"program\" \"argument\"…`"));
                }
                found.push(Command::Exec(words.into_iter().map(|(word, _)| word).collect()));
            }
            _ => {}
        }
    }
    found.shrink_to_fit();
    found
}

/// Looks at the scripts of a task once: they are the same in all its definitions, and so are the names that they can use.
fn warn_of_scripts(view: &View<'_, '_>, node: &Node, made: &TaskCell) {
    let exported: Vec<&str> = made.env.iter().map(|(name, _)| name).chain(&made.pass_env).map(String::as_str).collect();
    for value in children(view.cx, node, "run").flat_map(|child| &child.args).filter(|value| view.cx.is_good_value(value)) {
        if let Scalar::String(script) = &value.scalar {
            warn_of_names(view, value, script, &exported);
        }
    }
}

/// Warns of `${name}` in a script where the plan has such a name but the task's environment does not: the shell would see nothing.
fn warn_of_names(view: &View<'_, '_>, value: &Value, script: &str, exported: &[&str]) {
    let place = Place::new(value, script);
    for (dollar, _) in script.match_indices("${") {
        let rest = &script[dollar + 2..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, next) = (&rest[..end], rest[end..].chars().next());
        let fact = ROOTS.contains(&name) && next == Some('.');
        let known = view.cx.declared(name).is_some() && matches!(next, Some('}' | '|' | '.'));
        let platform = name == "platform" && next == Some('}');
        if fact || ((known || platform) && !exported.contains(&name)) {
            let near = &rest[..rest.floor_char_boundary(LONGEST_NAME)];
            let whole = near.split('}').next().unwrap_or(name);
            let span = place.at(dollar..dollar + 2 + whole.len() + usize::from(rest.len() > whole.len()));
            let message = format!("the script's `${{{}}}` is read by the shell, not by kiln", shown(whole));
            let variable = if fact { whole.split('|').next().unwrap_or(whole).replace('.', "_").to_uppercase() } else { name.to_owned() };
            let fault = Diagnostic::plan("plan::script-name", message, &span, "handed to the shell as it is");
            let help =
                format!("give it to the script: `env {}=\"${{{}}}\"`, then write `${}`", shown(&variable), shown(whole), shown(&variable));
            view.cx.fault(fault.help(help).warning());
        }
    }
}

fn environment(view: &View<'_, '_>, node: &Node, common: &[(String, String)], pass_env: &[String]) -> Vec<(String, String)> {
    let own = view.pairs(node, "env", check_env);
    let vars = exported(view, node);
    let passed: HashSet<&String> = pass_env.iter().collect();
    let places: HashMap<&str, &Span> = vars.iter().map(|var| (var.name.as_str(), &var.span)).collect();
    for (name, (_, span)) in &own {
        if let Some(exported) = places.get(name.as_str()) {
            let fault = Diagnostic::plan("plan::duplicate-name", format!("`{name}` is in the environment already"), span, "set here");
            view.cx.fault(fault.label(exported, "exported under its own name").help("rename one of them"));
        }
        if passed.contains(name) {
            let fault = Diagnostic::plan("plan::duplicate-name", format!("`{name}` is set by `env` and by `pass-env`"), span, "set here");
            view.cx.fault(fault.help("leave one of them out"));
        }
    }
    let files = env_file::variables(view, children(view.cx, node, "env-file"));
    let own = own.into_iter().map(|(name, (value, _))| (name, value));
    // The nearest says it: the task, then its files, then what all tasks have in common.
    let mut all: BTreeMap<String, String> = own.chain(vars.iter().map(|var| (var.name.clone(), var.value.clone()))).collect();
    for (name, value) in files.into_iter().chain(common.iter().cloned()).filter(|(name, _)| !passed.contains(name)) {
        all.entry(name).or_insert(value);
    }
    all.into_iter().collect()
}

/// All names, and those whose values are not keyed.
fn pass_env(view: &View<'_, '_>, node: &Node) -> (Vec<String>, Vec<String>) {
    let (mut names, mut unkeyed) = (Vec::new(), Vec::new());
    for child in children(view.cx, node, "pass-env") {
        for (name, span) in view.texts(&child.args) {
            if let Err((why, help)) = check_env(&name) {
                let message = format!("`{}` {why}", shown(&name));
                view.cx.fault(Diagnostic::plan("plan::bad-name", message, &span, "").help(help));
                continue;
            }
            if view.flag_prop(child, "unkeyed") {
                unkeyed.push(name.clone());
            }
            names.push(name);
        }
    }
    for list in [&mut names, &mut unkeyed] {
        list.sort();
        list.dedup();
    }
    (names, unkeyed)
}

fn tools(view: &View<'_, '_>, node: &Node) -> Vec<String> {
    let mut names = Vec::new();
    for (name, span) in view.child_texts(node, "tools") {
        if name.is_empty() || name.starts_with('-') || name.contains(['\0', ' ']) {
            let message = if name.is_empty() {
                "an empty text is no program".to_owned()
            } else {
                format!("`{}` is not the name of a program", shown(&name))
            };
            view.cx.fault(Diagnostic::plan("plan::bad-value", message, &span, "").help("name each program on its own: `tools go gcc`"));
        } else if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

pub(super) fn shell(view: &View<'_, '_>, node: &Node) -> Vec<String> {
    own_shell(view, node).unwrap_or_else(usual_shell)
}

fn usual_shell() -> Vec<String> {
    SHELL.iter().map(|word| (*word).to_owned()).collect()
}

pub(super) fn own_shell(view: &View<'_, '_>, node: &Node) -> Option<Vec<String>> {
    view.child(node, "shell").and_then(|child| shell_of(view, child))
}

/// What a `shell` node says; `None` when its texts are at fault.
pub(super) fn shell_of(view: &View<'_, '_>, node: &Node) -> Option<Vec<String>> {
    let words: Vec<Text> = view.all_texts(&node.args)?;
    match words.as_slice() {
        [] => None,
        [(only, span)] => {
            let name = only.rsplit('/').next().unwrap_or(only);
            if !SHELLS.contains(&name) {
                let message = format!("how `{}` takes a script is not known", shown(only));
                let fault = Diagnostic::plan("plan::bad-value", message, span, "no option for the script");
                view.cx.fault(fault.help(format!("write the whole command; the script follows it: `shell \"{name}\" \"-c\"`")));
            }
            Some(vec![only.clone(), "-ec".to_owned()])
        }
        words => Some(words.iter().map(|(word, _)| word.clone()).collect()),
    }
}
