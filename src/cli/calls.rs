//! Words behind targets: what of a command line is for the tasks, and not for kiln.
//! In: the words of the process. Out: the words that clap reads, and a [`Call`] for each target that was given some.
//! Never: a word that kiln knows as its own option is handed on.

use std::ffi::OsString;

use clap::{ArgAction, Command as Words};

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::id::StepId;
use crate::graph::ActionGraph;
use crate::graph::action::ActionKind;
use crate::plan::Plan;
use crate::plan::arg::{ArgDef, Call};

/// Commands whose targets take words.
const COMMANDS: &[&str] = &["plan", "run", "watch", "why"];

/// A command line taken apart.
#[derive(Debug, Default)]
pub struct Split {
    /// For clap.
    pub words: Vec<OsString>,
    /// For the targets, in order.
    pub calls: Vec<Call>,
    /// The target behind which `--help` stands.
    pub help: Option<String>,
}

/// What a word is for kiln itself.
enum Own {
    No,
    /// An option.
    Option,
    /// An option whose value is the next word.
    WithNext,
}

/// Takes a command line of `cli` apart. One with words that are no text is left as it is.
pub fn split(cli: &Words, words: &[OsString]) -> Split {
    let whole = || Split { words: words.to_vec(), ..Split::default() };
    let Some(texts) = words.iter().map(|word| word.to_str()).collect::<Option<Vec<&str>>>() else { return whole() };
    let Some(at) = first(cli, &texts) else { return whole() };
    let named = cli.get_subcommands().find(|command| command.get_name() == texts[at]);
    if named.is_some_and(|command| !COMMANDS.contains(&command.get_name())) {
        return whole();
    }
    let command = named.or_else(|| cli.find_subcommand("run"));
    let known: Vec<&Words> = [cli].into_iter().chain(command).collect();
    let start = if named.is_some() { at + 1 } else { at };
    if named.is_some_and(|command| command.get_subcommands().any(|inner| texts.get(start) == Some(&inner.get_name()))) {
        return whole();
    }
    let mut split = Split { words: words[..start].to_vec(), ..Split::default() };
    let mut rest = texts[start..].iter().copied();
    while let Some(word) = rest.next() {
        let call = split.calls.last_mut();
        if word == "--" {
            match call {
                Some(call) => call.rest = Some(rest.by_ref().map(str::to_owned).collect()),
                None => split.words.extend([word].into_iter().chain(rest.by_ref()).map(OsString::from)),
            }
            continue;
        }
        match (own(&known, word), call) {
            (Own::Option, Some(call)) if matches!(word, "-h" | "--help") => split.help = Some(call.target.clone()),
            (Own::Option, _) => split.words.push(word.into()),
            (Own::WithNext, _) => split.words.extend([word].into_iter().chain(rest.next()).map(OsString::from)),
            (Own::No, Some(call)) if is_word(word) => call.words.push(word.to_owned()),
            (Own::No, None) if is_value(word) => {
                split.calls.push(Call { words: vec![word.to_owned()], ..Call::default() });
            }
            (Own::No, _) => {
                split.words.push(word.into());
                if !is_word(word) {
                    split.calls.push(Call { target: word.to_owned(), ..Call::default() });
                }
            }
        }
    }
    split.calls.retain(|call| !call.words.is_empty() || call.rest.is_some());
    split
}

/// The place of the command, or of the first target.
fn first(cli: &Words, texts: &[&str]) -> Option<usize> {
    let mut at = 1;
    loop {
        let word = *texts.get(at)?;
        match own(&[cli], word) {
            Own::WithNext => at += 2,
            Own::Option => at += 1,
            Own::No => return (!word.starts_with('-')).then_some(at),
        }
    }
}

fn own(commands: &[&Words], word: &str) -> Own {
    let options = || commands.iter().flat_map(|command| command.get_arguments());
    // `--poll` alone has a value of its own; another one stands behind `=`.
    let takes = |option: &clap::Arg| matches!(option.get_action(), ArgAction::Set | ArgAction::Append) && !option.is_require_equals_set();
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        return match options().find(|option| option.get_long() == Some(name)) {
            Some(option) if takes(option) && value.is_none() => Own::WithNext,
            Some(_) => Own::Option,
            None if matches!(name, "help") => Own::Option,
            None => Own::No,
        };
    }
    let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else { return Own::No };
    for (at, letter) in letters.char_indices() {
        match options().find(|option| option.get_short() == Some(letter)) {
            Some(option) if takes(option) => {
                return if at + letter.len_utf8() == letters.len() { Own::WithNext } else { Own::Option };
            }
            Some(_) => {}
            None if matches!(letter, 'h' | 'V') => {}
            None => return Own::No,
        }
    }
    Own::Option
}

/// `name=value`, and no cell of a target's matrix.
fn is_value(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
}

fn is_word(word: &str) -> bool {
    (word.starts_with('-') && word.len() > 1) || is_value(word)
}

/// Whether words stand where no target takes them.
///
/// # Errors
/// One fault for the first of them.
pub fn placed(calls: &[Call]) -> Result<(), Diagnostic> {
    match calls.iter().find(|call| call.target.is_empty()).and_then(|call| call.words.first()) {
        Some(word) => {
            let message = format!("`{}` stands before every target", crate::base::words::visible(word));
            Err(Diagnostic::new(Class::Usage, "cli::arguments", message)
                .help("write it behind the target that takes it; a param is set with `--set`"))
        }
        None => Ok(()),
    }
}

/// Looks for arguments that steps need and nobody gave.
///
/// # Errors
/// One fault for each.
pub fn complete(plan: &Plan, graph: &ActionGraph, steps: &[StepId]) -> Result<(), Diagnostics> {
    let mut faults = Diagnostics::default();
    let mut seen = std::collections::HashSet::new();
    for id in steps {
        let name = &graph.action(*id).name;
        let Some(target) = plan.targets.get(&name.target) else { continue };
        if !matches!(graph.action(*id).kind, ActionKind::Run(_)) || !seen.insert(&name.target) {
            continue;
        }
        for arg in target.args.list.iter().filter(|arg| arg.default.is_none() && arg.value.is_none()) {
            // Looked for only now: in a large plan this is a long way for each step.
            let needs = |from: &&StepId| {
                graph.action(**from).name.target != name.target
                    && graph.needs(**from).iter().any(|(need, why)| need == id && why.requires())
            };
            let by = steps.iter().find(needs).map(|from| &graph.action(*from).name.target);
            faults.push(missing(target.name.as_str(), arg, by.map(|name| name.as_str())));
        }
    }
    if faults.has_errors() { Err(faults) } else { Ok(()) }
}

fn missing(target: &str, arg: &ArgDef, by: Option<&str>) -> Diagnostic {
    let message = format!("`{target}` needs a value for `{}`", arg.name);
    let fault = Diagnostic::new(Class::Usage, "cli::missing-arg", message).label(&arg.span, "has no default");
    match by {
        Some(by) => {
            fault.help(format!("`{by}` needs `{target}`: give `{}` a default, or name both, `kiln {target} {} {by}`", arg.name, arg.form()))
        }
        None => fault.help(format!("write it behind the target: `kiln {target} {}`", arg.form())),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Cli;
    use crate::plan::arg::RESERVED;

    fn taken(words: &[&str]) -> (Vec<String>, Vec<Call>, Option<String>) {
        let split = split(&Cli::command(), &words.iter().map(OsString::from).collect::<Vec<_>>());
        (split.words.iter().map(|word| word.to_string_lossy().into_owned()).collect(), split.calls, split.help)
    }

    fn call(target: &str, words: &[&str], rest: Option<&[&str]>) -> Call {
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Call { target: target.to_owned(), words: texts(words), rest: rest.map(texts) }
    }

    #[test]
    fn a_word_belongs_to_the_target_before_it_unless_it_is_an_option_of_kiln() {
        for (words, left, calls) in [
            (&["kiln", "deploy", "env=prod"][..], &["kiln", "deploy"][..], vec![call("deploy", &["env=prod"], None)]),
            (
                &["kiln", "run", "-j", "2", "a", "--release", "--force", "-kv", "b[x=1]", "-r", "x=y=z"],
                &["kiln", "run", "-j", "2", "a", "--force", "-kv", "b[x=1]"],
                vec![call("a", &["--release"], None), call("b[x=1]", &["-r", "x=y=z"], None)],
            ),
            (
                &["kiln", "-f", "x.kdl", "a", "--report", "junit=r.xml", "--", "--force", "", "a b"],
                &["kiln", "-f", "x.kdl", "a", "--report", "junit=r.xml"],
                vec![call("a", &[], Some(&["--force", "", "a b"]))],
            ),
            (&["kiln", "why", "a", "env=x", "--export"], &["kiln", "why", "a", "--export"], vec![call("a", &["env=x"], None)]),
            (&["kiln", "run", "--", "web", "x=y"], &["kiln", "run", "--", "web", "x=y"], vec![]),
            (&["kiln", "query", "a", "b=c"], &["kiln", "query", "a", "b=c"], vec![]),
            (&["kiln", "plan", "diff", "a=b"], &["kiln", "plan", "diff", "a=b"], vec![]),
            (&["kiln", "run", "x=y", "a"], &["kiln", "run", "a"], vec![call("", &["x=y"], None)]),
            (&["kiln", "--no-such", "a", "b=c"], &["kiln", "--no-such", "a", "b=c"], vec![]),
        ] {
            assert_eq!(taken(words), (left.iter().map(|word| (*word).to_owned()).collect(), calls, None), "{words:?}");
        }
        assert_eq!(taken(&["kiln", "deploy", "--help"]).2.as_deref(), Some("deploy"));
        assert_eq!(taken(&["kiln", "run", "--help"]).2, None);
    }

    #[test]
    fn the_reserved_flags_are_exactly_the_options_of_run() {
        let cli = Cli::command();
        let run = cli.find_subcommand("run").unwrap();
        let options = cli.get_arguments().chain(run.get_arguments());
        let mut found: Vec<(&str, Option<char>)> =
            options.filter_map(|option| Some((option.get_long()?, option.get_short()))).chain([("help", Some('h'))]).collect();
        found.retain(|(name, _)| *name != "version");
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, RESERVED);
    }
}
