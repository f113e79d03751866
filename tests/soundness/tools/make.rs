//! GNU make: `.DELETE_ON_ERROR`, `bash -eu -o pipefail`, grouped targets, stamps where names of outputs are not known.

use std::fmt::Write as _;
use std::path::Path;

use super::{Cannot, Offer, Tool, words};
use crate::project::{Ask, Project, Reads, Task};

pub struct Make;

/// Source: GNU make manual, "Rule Syntax" and "Using Variables".
fn name(path: &str) -> String {
    path.chars().fold(String::new(), |mut text, char| {
        match char {
            '$' => text.push_str("$$"),
            ' ' | '#' | ':' => text.extend(['\\', char]),
            _ => text.push(char),
        }
        text
    })
}

pub fn stamp(task: &Task) -> String {
    format!(".stamps/{}", task.name)
}

impl Tool for Make {
    fn name(&self) -> &'static str {
        "make"
    }

    fn files(&self, project: &Project, _root: &Path, _ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot> {
        let mut text =
            ".DELETE_ON_ERROR:\nSHELL := /bin/bash\n.SHELLFLAGS := -eu -o pipefail -c\nMAKEFLAGS += --no-builtin-rules\n".to_owned();
        if let Some(file) = &project.env_file {
            let _ = write!(text, "include {file}\nexport\n");
        }
        for task in &project.tasks {
            let files = task.files();
            let targets: Vec<String> =
                files.clone().map_or_else(|| vec![stamp(task)], |files| files.iter().map(|file| name(file)).collect());
            let mut needs: Vec<String> = project.env_file.iter().cloned().collect();
            for reads in &task.reads {
                match reads {
                    Reads::File(file) => needs.push(name(file)),
                    Reads::Below(folder) => needs.push(format!(r"$(shell find -L {folder} -type f | sed 's/[] :*?[]/\\&/g')")),
                }
            }
            for program in &task.programs {
                needs.push(format!("$(shell command -v {program})"));
            }
            let mut after = Vec::new();
            for other in project.tasks.iter().filter(|other| project.needs_of(task).contains(&other.name)) {
                match other.files() {
                    // What a stamp stands for is read through the stamp.
                    None => needs.push(stamp(other)),
                    Some(_) if task.needs.contains(&other.name) && !task.reads_from(other) => after.push(other.name.clone()),
                    Some(files) => {
                        needs.extend(files.iter().filter(|file| !task.reads.contains(&Reads::File((*file).clone()))).map(|file| name(file)))
                    }
                }
            }
            let order = if after.is_empty() { String::new() } else { format!(" | {}", after.join(" ")) };
            let group = if targets.len() > 1 { " &:" } else { ":" };
            let touch = if files.is_none() { format!(" && mkdir -p .stamps && touch {}", stamp(task)) } else { String::new() };
            let _ = write!(
                text,
                ".PHONY: {task}\n{task}: {targets}\n{targets}{group} {needs}{order}\n\t@{command}{touch}\n",
                task = task.name,
                targets = targets.join(" "),
                needs = needs.join(" "),
                command = task.script().replace('$', "$$"),
            );
        }
        Ok(vec![("Makefile", text)])
    }

    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot> {
        let mut all = vec![format!("-j{}", ask.jobs), "-Otarget".to_owned()];
        if ask.keep_going {
            all.push("-k".into());
        }
        if ask.dry {
            all.push("-n".into());
        }
        all.extend(words(ask.targets));
        Ok(all)
    }

    fn why(&self, target: &str) -> Option<Vec<String>> {
        Some(words(&["--trace", target]))
    }

    fn lacks(&self, what: Offer) -> Option<Cannot> {
        (what == Offer::Results).then_some("keeps no results")
    }
}
