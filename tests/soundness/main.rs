//! Soundness: what a build tool must do when files, commands, variables and outputs change, as cases that run against kiln and
//! against other tools.
//!
//! `cargo test --test soundness` runs kiln alone and fails where kiln is not right. With `-- --table`, every case runs against
//! every tool that is found, and the tables of docs/soundness.md are printed; words behind it choose tools, and cases by a part
//! of their sentences. KILN names another kiln.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "tests may panic, and set up the machine themselves"
)]

mod cases;
mod project;
mod table;
mod tools;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cases::Case;
use tools::Tool;
use world::{Check, End, World};

/// A tool that is on this machine.
pub struct Found {
    pub tool: &'static dyn Tool,
    program: PathBuf,
    pub version: String,
}

/// A case, a tool, and how it ended.
pub struct Verdict {
    pub case: usize,
    pub tool: usize,
    pub end: Check,
}

fn find(tool: &'static dyn Tool) -> Option<Found> {
    let program = if tool.name() == "kiln" {
        PathBuf::from(std::env::var_os("KILN").unwrap_or_else(|| env!("CARGO_BIN_EXE_kiln").into()))
    } else {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(tool.name())).find(|path| path.is_file())?
    };
    let output = Command::new(&program).args(tool.version()).output().ok().filter(|output| output.status.success())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = said.lines().next()?.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    // What a packager adds says nothing about the tool.
    let end = version.char_indices().filter(|(_, sign)| !sign.is_ascii_digit() && *sign != '.').map(|(at, _)| at).next();
    Some(Found { tool, program, version: version[..end.unwrap_or(version.len())].trim_end_matches('.').to_owned() })
}

fn run(found: &Found, case: &Case) -> Check {
    let act = || (case.act)(&mut World::new(found.tool, Path::new(&found.program), (case.project)()));
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| Err(End::Broken("a panic".into())))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let table = words.iter().any(|word| word == "--table");
    let named = |name: &str| asked.iter().any(|word| word.as_str() == name);
    let known: Vec<&dyn Tool> = tools::ALL.to_vec();
    let any_tool = known.iter().any(|tool| named(tool.name()));
    let wanted = known.into_iter().filter(|tool| if any_tool { named(tool.name()) } else { table || tool.name() == "kiln" });
    let found: Vec<Found> = wanted.filter_map(find).collect();
    let parts: Vec<&&String> = asked.iter().filter(|word| !tools::ALL.iter().any(|tool| tool.name() == word.as_str())).collect();
    let cases: Vec<(&str, &Case)> =
        cases::all().into_iter().flat_map(|(group, cases)| cases.iter().map(move |case| (group, case))).collect();
    let chosen: Vec<(usize, usize)> = (0..found.len())
        .flat_map(|tool| (0..cases.len()).map(move |case| (case, tool)))
        .filter(|(case, _)| parts.is_empty() || parts.iter().any(|part| cases[*case].1.says.contains(part.as_str())))
        .collect();
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((case, tool)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let end = run(&found[*tool], cases[*case].1);
                    verdicts.lock().unwrap().push(Verdict { case: *case, tool: *tool, end });
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap();
    if table {
        println!("{}\n{}", table::compact(&found, &cases, &verdicts), table::table(&found, &cases, &verdicts));
    }
    let mut wrong = 0;
    for verdict in &verdicts {
        let name = found[verdict.tool].tool.name();
        let says = cases[verdict.case].1.says;
        match &verdict.end {
            Ok(()) => {}
            Err(end) if name == "kiln" => {
                wrong += 1;
                eprintln!("\nkiln: {says}\n  {end:?}");
            }
            Err(End::Broken(what)) => eprintln!("\nno verdict on {name}: {says}\n{what}"),
            Err(end) if parts.len() == 1 => eprintln!("\n{name}: {says}\n  {end:?}"),
            Err(_) => {}
        }
    }
    let kiln = verdicts.iter().filter(|verdict| found[verdict.tool].tool.name() == "kiln").count();
    println!("\nkiln is right in {} of {kiln} cases", kiln - wrong);
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
