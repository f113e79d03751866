//! `kiln completion SHELL` prints what makes a shell complete kiln's words; the hidden `kiln __complete` is what that asks.
//! In: the words before the cursor. Out: `words` or `files`, then one candidate a line with a tab before its description.
//! Never: a process, a connection, a fault on the screen: whoever types wants candidates or silence.

mod candidates;
mod declared;

use clap::{Arg, ArgAction, Command, CommandFactory as _, Parser as _, ValueEnum};

use self::candidates::{Candidate, World};
use super::args::{Cli, Global};
use super::output::Output;

/// The shells that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash 4.4 or newer
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// Prints the script of a shell.
pub fn script(output: &Output, shell: Shell) -> u8 {
    output.answer(match shell {
        Shell::Bash => include_str!("kiln.bash"),
        Shell::Zsh => include_str!("kiln.zsh"),
        Shell::Fish => include_str!("kiln.fish"),
    });
    0
}

/// Answers a shell: what the last of `words` can become.
pub fn complete(output: &Output, words: &[String]) -> u8 {
    let mut text = String::new();
    match answer(words) {
        None => text.push_str("files\n"),
        Some(candidates) => {
            text.push_str("words\n");
            for Candidate { word, about } in candidates {
                text.push_str(&word);
                if !about.is_empty() {
                    text.push('\t');
                    text.push_str(&about);
                }
                text.push('\n');
            }
        }
    }
    output.answer(&text);
    0
}

/// Where the cursor is.
struct Place<'a> {
    /// The command whose words are typed.
    command: &'a Command,
    /// The option whose value is typed.
    option: Option<&'a Arg>,
    /// Words before that are no options.
    before: Vec<&'a str>,
    /// Whether options are over.
    plain: bool,
}

impl Place<'_> {
    /// The target whose own words may follow.
    fn target(&self) -> Option<&str> {
        let takes = matches!(self.command.get_name(), "run" | "plan" | "why") && !self.plain;
        // `name=value` is one of those words already.
        self.before.iter().rev().find(|word| !word.contains('=')).copied().filter(|_| takes)
    }
}

/// The candidates that begin with the last word; `None` where files are meant.
fn answer(words: &[String]) -> Option<Vec<Candidate>> {
    let root = Cli::command();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.trim_start_matches(['"', '\'']), before));
    let (place, global) = find(&root, before);
    let world = World::new(global);
    let begins = |candidate: &Candidate| candidate.word.starts_with(last);
    if let Some(option) = place.option {
        let found = values(&world, option, "")?;
        return Some(found.into_iter().filter(begins).collect());
    }
    if last.starts_with('-') && !place.plain {
        if let Some((name, _)) = last.split_once('=')
            && let Some(option) = options(&root, place.command).find(|option| name.strip_prefix("--") == option.get_long())
        {
            let found = values(&world, option, &format!("{name}="))?;
            return Some(found.into_iter().filter(begins).collect());
        }
        let mut found: Vec<Candidate> = place.target().map(|target| world.flags(target)).unwrap_or_default();
        found.extend(options(&root, place.command).filter_map(long));
        found.push(Candidate::new("--help", "Prints help"));
        return Some(found.into_iter().filter(begins).collect());
    }
    let found = positional(&root, &place, &world, last)?;
    Some(found.into_iter().filter(begins).collect())
}

fn long(option: &Arg) -> Option<Candidate> {
    let name = option.get_long().filter(|_| !option.is_hide_set())?;
    Some(Candidate::new(format!("--{name}"), first_line(option.get_help().map(ToString::to_string))))
}

/// The options of a command and those that every command takes.
fn options<'a>(root: &'a Command, command: &'a Command) -> impl Iterator<Item = &'a Arg> {
    let everywhere = root.get_arguments().filter(move |_| !std::ptr::eq(root, command));
    command.get_arguments().chain(everywhere).filter(|arg| !arg.is_positional())
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Reads the words before the cursor as clap would.
fn find<'a>(root: &'a Command, words: &'a [String]) -> (Place<'a>, Option<Global>) {
    let mut place = Place { command: root, option: None, before: Vec::new(), plain: false };
    let mut chosen: Vec<String> = vec!["kiln".to_owned()];
    for word in words {
        if let Some(option) = place.option.take() {
            if let Some(name) = option.get_long().filter(|_| matches!(option.get_id().as_str(), "file" | "directory" | "cache_dir")) {
                chosen.extend([format!("--{name}"), word.clone()]);
            }
        } else if place.plain {
            place.before.push(word);
        } else if word == "--" {
            place.plain = true;
        } else if let Some(name) = word.strip_prefix("--") {
            let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
            let option = options(root, place.command).find(|option| option.get_long() == Some(name)).filter(|option| takes_value(option));
            match (option, value) {
                (Some(_), Some(value)) if matches!(name, "file" | "directory" | "cache-dir") => chosen.push(format!("--{name}={value}")),
                (Some(option), None) => place.option = Some(option),
                _ => {}
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let letter = letters.chars().next_back();
            let option = options(root, place.command).find(|option| option.get_short() == letter);
            place.option = option.filter(|option| takes_value(option) && letters.chars().count() == 1);
        } else if std::ptr::eq(place.command, root) {
            // A word that is no command is a target: `kiln web` is `kiln run web`.
            let command = root.find_subcommand(word).filter(|command| !command.is_hide_set());
            if command.is_none() {
                place.before.push(word);
            }
            place.command = command.or_else(|| root.find_subcommand("run")).unwrap_or(root);
        } else {
            match place.command.find_subcommand(word).filter(|_| place.before.is_empty()) {
                Some(inner) => place.command = inner,
                None => place.before.push(word),
            }
        }
    }
    (place, Cli::try_parse_from(chosen).ok().map(|cli| cli.global))
}

/// What an option's value can be; `None` where it is a file.
fn values(world: &World, option: &Arg, before: &str) -> Option<Vec<Candidate>> {
    let fixed = option.get_possible_values();
    let found = if fixed.is_empty() {
        match option.get_id().as_str() {
            "set" => world.settings(),
            "profile" => world.profiles(),
            "kind" => ["task", "image", "service", "group"].iter().map(|kind| Candidate::new(*kind, "")).collect(),
            "file" | "directory" | "cache_dir" | "against" => return None,
            _ => Vec::new(),
        }
    } else {
        fixed.iter().map(|value| Candidate::new(value.get_name(), first_line(value.get_help().map(ToString::to_string)))).collect()
    };
    Some(found.into_iter().map(|candidate| Candidate { word: format!("{before}{}", candidate.word), ..candidate }).collect())
}

fn positional(root: &Command, place: &Place<'_>, world: &World, last: &str) -> Option<Vec<Candidate>> {
    let inner = |command: &Command| -> Vec<Candidate> {
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        shown.map(|command| Candidate::new(command.get_name(), first_line(command.get_about().map(ToString::to_string)))).collect()
    };
    if std::ptr::eq(place.command, root) {
        let mut found = world.targets(last);
        found.extend(inner(root));
        return Some(found);
    }
    let mut found = if place.before.is_empty() && !place.plain { inner(place.command) } else { Vec::new() };
    if let Some(target) = place.target() {
        found.extend(world.arguments(target));
    }
    match place.command.get_name() {
        "run" | "plan" | "graph" => found.extend(world.targets(last)),
        "why" | "log" if place.before.is_empty() => found.extend(world.steps()),
        "load" if place.before.is_empty() => found.extend(world.of_kind("image")),
        "query" => found.extend(world.questions()),
        "explain" if place.before.is_empty() => found.extend(super::explain::codes().map(|code| Candidate::new(code, ""))),
        "fmt" | "diff" => return None,
        _ => {
            let next = place.command.get_positionals().nth(place.before.len());
            found.extend(next.map(|arg| values(world, arg, "")).unwrap_or_default().unwrap_or_default());
        }
    }
    Some(found)
}

fn first_line(text: Option<String>) -> String {
    text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}
