//! just with its cached recipes (`[cache]`, unstable): inputs and outputs by name, folders listed by `find`.

use std::fmt::Write as _;
use std::path::Path;

use super::make::stamp;
use super::{Cannot, Offer, Tool, words};
use crate::project::{Ask, Project, Reads};

pub struct Just;

fn text(value: &str) -> String {
    serde_json::to_string(value).unwrap()
}

impl Tool for Just {
    fn name(&self) -> &'static str {
        "just"
    }

    fn files(&self, project: &Project, _root: &Path, _ask: &Ask<'_>) -> Result<Vec<(&'static str, String)>, Cannot> {
        let mut file = "set unstable\nset lists\n".to_owned();
        if let Some(name) = &project.env_file {
            let _ = writeln!(file, "set dotenv-filename := {}", text(name));
        }
        for task in &project.tasks {
            let mut inputs: Vec<String> = Vec::new();
            for reads in &task.reads {
                match reads {
                    Reads::File(path) => inputs.push(text(path)),
                    Reads::Below(folder) => inputs.push(format!(r#"split(shell('find -L {folder} -type f | sort'), "\n")"#)),
                }
            }
            for other in project.tasks.iter().filter(|other| project.needs_of(task).contains(&other.name)) {
                let files = other.files().unwrap_or_else(|| vec![stamp(other)]);
                inputs.extend(files.iter().filter(|file| !task.reads.contains(&Reads::File((*file).clone()))).map(|file| text(file)));
            }
            let files = task.files();
            let touch = if files.is_none() { format!(" && mkdir -p .stamps && touch {}", stamp(task)) } else { String::new() };
            let outputs: Vec<String> = files.unwrap_or_else(|| vec![stamp(task)]).iter().map(|path| text(path)).collect();
            let mut cache = format!("inputs = [{}], outputs = [{}]", inputs.join(", "), outputs.join(", "));
            if !task.env.is_empty() {
                let names: Vec<String> = task.env.iter().map(|name| text(name)).collect();
                let _ = write!(cache, ", environment = [{}]", names.join(", "));
            }
            if let Some(program) = task.programs.first() {
                let _ = write!(cache, ", extra = `{program} --version`");
            }
            let _ = write!(
                file,
                "\n[script]\n[cache({cache})]\n{}:{}\n    {}{touch}\n",
                task.name,
                project.needs_of(task).iter().fold(String::new(), |all, need| format!("{all} {need}")),
                task.script(),
            );
        }
        Ok(vec![("justfile", file)])
    }

    fn words(&self, ask: &Ask<'_>) -> Result<Vec<String>, Cannot> {
        if ask.keep_going {
            return Err("has no way to go on after a failure");
        }
        let mut all = Vec::new();
        if ask.dry {
            all.push("--dry-run".into());
        }
        all.extend(words(ask.targets));
        Ok(all)
    }

    fn why(&self, target: &str) -> Option<Vec<String>> {
        Some(words(&["-vv", target]))
    }

    fn lacks(&self, what: Offer) -> Option<Cannot> {
        (what == Offer::Results).then_some("keeps no results")
    }
}
