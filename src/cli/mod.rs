//! Arguments, settings (resolved once), one file per command, exit codes.

mod affected;
mod against;
mod args;
mod cache;
mod calls;
mod causes;
mod check;
mod ci;
mod clean;
mod codes;
mod compared;
mod compiled;
mod completion;
mod diff;
#[cfg(feature = "docker")]
mod docker;
mod explain;
mod export;
mod facts;
mod fmt;
mod glance;
mod graph;
mod history;
mod images;
mod inspect;
mod list;
mod load;
mod lock;
mod log;
mod login;
mod machine;
mod moves;
mod open;
mod other;
mod output;
mod partly;
mod pins;
mod places;
mod plan;
mod projects;
mod promote;
mod prune;
mod query;
mod remote;
mod replay;
mod reports;
mod reproduce;
mod rerun;
mod run;
mod schema;
mod settings;
mod signer;
mod sources;
mod tags;
mod told;
mod tools;
mod usage;
mod verify;
mod watch;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::base::diagnostic::{Class, Diagnostic};
use crate::plan::arg::Call;
use crate::sys::{jobs, sandbox, shim};

use self::args::{Cli, Command};
use self::calls::Split;
use self::output::Output;
use self::settings::Settings;

/// Runs kiln as the command line asks and gives the process its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == shim::WORD) {
        return shim::shim_main(words.into_iter().skip(2));
    }
    if words.get(1).is_some_and(|word| word == jobs::WORD) {
        return jobs::jobs_main(words.into_iter().skip(2));
    }
    if words.get(1).is_some_and(|word| word == sandbox::WORD) {
        return sandbox::sandbox_main(words.into_iter().skip(2));
    }
    let mut known = Cli::command();
    let Split { words, calls, help } = calls::split(&known, &words);
    let cli = match read(&mut known, &words) {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A closed pipe is no fault of the person who typed the command.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { Class::Usage.exit_code() });
        }
    };
    let output = Output::new(&cli.global);
    ExitCode::from(command(cli, &output, calls, help.as_deref()))
}

/// Reads the command line; `kiln web -j2` is `kiln run web -j2`.
fn read(known: &mut clap::Command, words: &[OsString]) -> Result<Cli, clap::Error> {
    let cli = parse(known, words)?;
    let Some(Command::Targets(targets)) = &cli.command else { return Ok(cli) };
    // What follows the first target came along with it; what stands before are options of every command.
    let mut at = words.len().saturating_sub(targets.len());
    if at > 0 && words[at - 1] == "--" {
        at -= 1;
    }
    let (before, after) = words.split_at(at);
    parse(known, before.iter().chain([&OsString::from("run")]).chain(after))
}

/// As clap's own `try_parse_from`, with a description of the commands that is made once: there are many of them.
fn parse<W: Into<OsString> + Clone>(known: &mut clap::Command, words: impl IntoIterator<Item = W>) -> Result<Cli, clap::Error> {
    let mut matches = known.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(known))
}

fn command(cli: Cli, output: &Output, calls: Vec<Call>, help: Option<&str>) -> u8 {
    let Cli { global, command } = cli;
    // These need no plan, or none without faults.
    match &command {
        Some(Command::Explain { code }) => return explain::explain(output, code),
        Some(Command::Fmt(asked)) => return fmt::fmt(&global, output, asked),
        Some(Command::Schema { of }) => return schema::schema(output, of.as_deref()),
        Some(Command::Completion { shell }) => return completion::script(output, *shell),
        Some(Command::Inspect(asked)) => return inspect::inspect(&global, output, asked).unwrap_or_else(|faults| output.faults(faults)),
        Some(Command::Verify(asked)) => return reproduce::verify(&global, output, asked).unwrap_or_else(|faults| output.faults(faults)),
        Some(Command::Tags(asked)) => return tags::tags(&global, output, asked).unwrap_or_else(|faults| output.faults(faults)),
        Some(Command::Prune(asked)) => return prune::prune(&global, output, asked).unwrap_or_else(|faults| output.faults(faults)),
        Some(Command::Promote(asked)) => return promote::promote(&global, output, asked).unwrap_or_else(|faults| output.faults(faults)),
        Some(Command::Login(asked)) => return login::login(&global, output, asked).unwrap_or_else(|faults| output.faults(faults)),
        Some(Command::Logout(asked)) => return login::logout(&global, output, asked).unwrap_or_else(|faults| output.faults(faults)),
        Some(Command::Complete { words }) => return completion::complete(output, words),
        _ => {}
    }
    let command = match command {
        Some(Command::VerifySignature(asked)) => {
            return verify::verify(&global, output, &asked).unwrap_or_else(|faults| output.faults(faults));
        }
        Some(Command::Cache(command)) => return cache::run(&global, output, command).unwrap_or_else(|faults| output.faults(faults)),
        other => other,
    };
    let settings = match settings::resolve(&global).and_then(|settings| calls::placed(&calls).map(|()| settings)) {
        Ok(settings) => Settings { calls: if help.is_some() { Vec::new() } else { calls }, ..settings },
        Err(fault) => return output.faults(fault.into()),
    };
    if let Some(target) = help {
        return usage::usage(&settings, output, target).unwrap_or_else(|faults| output.faults(faults));
    }
    let result = match command {
        None | Some(Command::List) => list::list(&settings, output),
        Some(Command::Check) => check::check(&settings, output),
        Some(Command::Ci(asked)) => ci::ci(&settings, output, &asked),
        Some(Command::Run(run)) => run::run(&settings, output, &run),
        Some(Command::Watch(asked)) => watch::watch(&settings, output, &asked),
        Some(Command::Plan(asked)) => plan::plan(&settings, output, &asked),
        Some(Command::Diff(asked)) => diff::diff(&settings, output, &asked),
        Some(Command::Query(asked)) => query::query(&settings, output, &asked),
        Some(Command::Affected(asked)) => affected::affected(&settings, output, &asked),
        Some(Command::Why(asked)) => why::why(&settings, output, &asked),
        Some(Command::Graph(asked)) => graph::graph(&settings, output, &asked),
        Some(Command::Load { image, name, how }) => load::load(&settings, output, &image, name, &how),
        Some(Command::Lock(how)) => lock::lock(&settings, output, &how),
        Some(Command::Log(asked)) => log::log(&settings, output, &asked),
        Some(Command::Clean(asked)) => clean::run(&settings, output, &asked),
        Some(Command::History(asked)) => history::run(&settings, output, &asked),
        Some(Command::Replay(asked)) => replay::replay(&settings, output, &asked),
        Some(
            Command::Cache(_)
            | Command::VerifySignature(_)
            | Command::Explain { .. }
            | Command::Fmt(_)
            | Command::Schema { .. }
            | Command::Inspect(_)
            | Command::Verify(_)
            | Command::Tags(_)
            | Command::Prune(_)
            | Command::Promote(_)
            | Command::Login(_)
            | Command::Logout(_)
            | Command::Completion { .. }
            | Command::Complete { .. },
        ) => Ok(0),
        // `read` has made it a `run`.
        Some(Command::Targets(words)) => {
            Err(Diagnostic::new(Class::Usage, "cli::arguments", format!("`{}` is no command", words.join(" "))).into())
        }
    };
    result.unwrap_or_else(|faults| output.faults(faults))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_run_takes_the_options_of_run_and_of_every_command() {
        for words in [
            &["kiln", "web", "-j2", "--set", "a=b", "api"][..],
            &["kiln", "--set", "a=b", "web", "api", "-j", "2"],
            &["kiln", "--set=a=b", "run", "-j2", "web", "api"],
            &["kiln", "-f", "x.kdl", "--set", "a=b", "web", "-j", "2", "api"],
        ] {
            let cli = read(&mut Cli::command(), &words.iter().map(OsString::from).collect::<Vec<_>>()).unwrap();
            let Some(Command::Run(run)) = cli.command else { panic!("{words:?} is no run") };
            assert_eq!(
                (run.targets, run.how.jobs, cli.global.set),
                (vec!["web".to_owned(), "api".to_owned()], Some(2), vec!["a=b".to_owned()])
            );
        }
        for words in [&["kiln", "web", "--no-such-option"][..], &["kiln", "web", "-j0"], &["kiln", "web", "--set"]] {
            assert!(read(&mut Cli::command(), &words.iter().map(OsString::from).collect::<Vec<_>>()).is_err(), "{words:?}");
        }
    }
}
