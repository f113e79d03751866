//! ninja with a generator that runs before every build, as CMake's `CONFIGURE_DEPENDS` does: it lists the files of folders and
//! writes the values of variables into the commands. `restat` is on.

use std::fmt::Write as _;
use std::path::Path;

use super::make::stamp;
use super::{Cannot, Offer, Tool, found, words};
use crate::project::{Ask, Project, Reads};

pub struct Ninja;

/// Source: the ninja manual, "Lexical syntax".
fn name(path: &str) -> Result<String, Cannot> {
    if path.contains('\n') {
        return Err("a name cannot hold a newline");
    }
    Ok(path.replace('$', "$$").replace(' ', "$ ").replace(':', "$:"))
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

impl Tool for Ninja {
    fn name(&self) -> &'static str {
        "ninja"
    }

    fn files(&self, project: &Project, root: &Path, ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot> {
        let mut text = "ninja_required_version = 1.5\n".to_owned();
        for task in &project.tasks {
            let mut values = String::new();
            if let Some(file) = &project.env_file {
                let lines = std::fs::read_to_string(root.join(file)).unwrap_or_default();
                for (name, value) in lines.lines().filter_map(|line| line.split_once('=')) {
                    let _ = write!(values, "export {name}={} && ", quoted(value));
                }
            }
            for name in &task.env {
                match ask.env.get(name) {
                    Some(value) => {
                        let _ = write!(values, "export {name}={} && ", quoted(value));
                    }
                    None => {
                        let _ = write!(values, "unset {name} && ");
                    }
                }
            }
            let files = task.files();
            let touch = if files.is_none() { format!(" && mkdir -p .stamps && touch {}", stamp(task)) } else { String::new() };
            let targets =
                files.unwrap_or_else(|| vec![stamp(task)]).iter().map(|file| name(file)).collect::<Result<Vec<_>, _>>()?.join(" ");
            let mut needs = Vec::new();
            for reads in &task.reads {
                match reads {
                    Reads::File(file) => needs.push(name(file)?),
                    Reads::Below(folder) => {
                        for file in found(root, folder) {
                            needs.push(name(&file)?);
                        }
                    }
                }
            }
            for program in &task.programs {
                let folders = ask.env["PATH"].split(':');
                needs.extend(folders.map(|folder| format!("{folder}/{program}")).find(|path| Path::new(path).exists()));
            }
            let mut after = Vec::new();
            for other in project.tasks.iter().filter(|other| project.needs_of(task).contains(&other.name)) {
                match other.files() {
                    None => needs.push(stamp(other)),
                    Some(_) if task.needs.contains(&other.name) && !task.reads_from(other) => after.push(other.name.clone()),
                    Some(files) => {
                        for file in files {
                            needs.push(name(&file)?);
                        }
                    }
                }
            }
            needs.sort();
            needs.dedup();
            let order = if after.is_empty() { String::new() } else { format!(" || {}", after.join(" ")) };
            let command = format!("{values}{}{touch}", task.script()).replace('$', "$$");
            let _ = write!(
                text,
                "rule run_{task}\n  command = {command}\n  restat = 1\nbuild {targets}: run_{task} {needs}{order}\nbuild {task}: phony {targets}\n",
                task = task.name,
                needs = needs.join(" "),
            );
        }
        Ok(vec![("build.ninja", text)])
    }

    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot> {
        let mut all = vec![format!("-j{}", ask.jobs)];
        if ask.keep_going {
            all.extend(words(&["-k", "0"]));
        }
        if ask.dry {
            all.push("-n".into());
        }
        all.extend(words(ask.targets));
        Ok(all)
    }

    fn why(&self, target: &str) -> Option<Vec<String>> {
        Some(words(&["-n", "-d", "explain", target]))
    }

    fn lacks(&self, what: Offer) -> Option<Cannot> {
        (what == Offer::Results).then_some("keeps no results")
    }
}
