//! What a task asked for and did not declare, and the lines of the plan that declare it.
//! In: what was seen, and what the task declares. Out: findings, each with its line. Never: a word about what the task may
//! do, or about the system's own files.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::base::path::RelPath;
use crate::base::pattern::Pattern;
use crate::base::words::visible;
use crate::plan::sandbox::Sandbox;
use crate::sys::file;
use crate::sys::sandbox::Access;
use crate::sys::stat::Kind;

/// What a task declares, and where it runs.
pub(super) struct Ground<'a> {
    pub(super) root: &'a Path,
    pub(super) home: Option<&'a Path>,
    pub(super) mode: Sandbox,
    /// Whether a path is an input, or a folder above one.
    pub(super) is_input: &'a dyn Fn(&RelPath) -> bool,
    pub(super) outputs: &'a [&'a Pattern],
    /// Whether a path of the project may be made.
    pub(super) may_leave: &'a dyn Fn(&RelPath) -> bool,
    /// Places of the machine that may be read, and written to.
    pub(super) read: &'a [PathBuf],
    pub(super) write: &'a [PathBuf],
    pub(super) network: bool,
}

/// Something undeclared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What the task does, as it is told in an audit: `it reads`.
    act: &'static str,
    /// What was refused, as it is told of a task behind walls.
    refused: &'static str,
    names: Vec<String>,
    /// The line that declares it; `None` where no line can.
    line: Option<String>,
}

/// How many names of one kind are shown; the line names all.
const SHOWN: usize = 5;
/// From how many files of one folder on the folder is named in their place.
const MANY: usize = 7;

impl Finding {
    /// One sentence without an end.
    pub(super) fn in_audit(&self) -> String {
        self.told(&format!("{} {} without declaring it", self.act, self.shown()))
    }

    /// One clause.
    pub(super) fn behind_walls(&self) -> String {
        self.told(&format!("{}: {}", self.refused, self.shown()))
    }

    fn told(&self, what: &str) -> String {
        self.line.as_ref().map_or_else(|| what.to_owned(), |line| format!("{what}; add {line}"))
    }

    fn shown(&self) -> String {
        let quoted: Vec<String> = self.names.iter().take(SHOWN).map(|name| format!("`{}`", visible(name))).collect();
        match self.names.len().saturating_sub(SHOWN) {
            0 => quoted.join(", "),
            more => format!("{} and {more} more", quoted.join(", ")),
        }
    }
}

/// A node with these texts, as it is written in a plan, between backticks.
pub(super) fn line(node: &str, names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    format!("`{node} {}`", quoted.join(" "))
}

/// What is undeclared of what was seen.
pub(super) fn findings(seen: &[(PathBuf, Access)], hosts: &[String], ground: &Ground<'_>) -> Vec<Finding> {
    let strict = ground.mode == Sandbox::Strict;
    let mut gathered = Gathered::default();
    for (path, access) in seen {
        match (access, path.strip_prefix(ground.root)) {
            (Access::Read | Access::Executed, _) if strict => {}
            (Access::Missed, _) if !strict => {}
            (Access::Wrote, _) if strict => {}
            (Access::Refused, _) if !strict => {}
            (access, Ok(below)) => gathered.in_project(ground, path, below, *access),
            (access, Err(_)) => gathered.outside(ground, path, *access),
        }
    }
    gathered.told(ground, hosts)
}

#[derive(Default)]
struct Gathered {
    reads: BTreeSet<RelPath>,
    folders: BTreeSet<RelPath>,
    writes: BTreeSet<RelPath>,
    /// What was made and removed, by its folder.
    temporary: BTreeMap<RelPath, BTreeSet<RelPath>>,
    own_inputs: BTreeSet<RelPath>,
    made: BTreeSet<RelPath>,
    far_made: BTreeSet<PathBuf>,
    far_reads: BTreeSet<String>,
    far_writes: BTreeSet<String>,
}

fn kind(path: &Path) -> Option<Kind> {
    file::status(path).ok().map(|status| Kind::of(&status))
}

impl Gathered {
    fn in_project(&mut self, ground: &Ground<'_>, path: &Path, below: &Path, access: Access) {
        let Ok(rel) = RelPath::new(below.as_os_str().as_bytes()) else { return };
        let is_output = (ground.may_leave)(&rel);
        let here = kind(path);
        match access {
            Access::Wrote | Access::Refused => {
                self.made.insert(rel.clone());
                if is_output || rel.is_root() {
                } else if (ground.is_input)(&rel) {
                    if here != Some(Kind::Folder) {
                        self.own_inputs.insert(rel);
                    }
                } else if here.is_some() || access == Access::Refused {
                    self.writes.insert(rel);
                } else if !is_beside_an_output(ground, &rel) {
                    self.temporary.entry(rel.parent().unwrap_or_else(RelPath::root)).or_default().insert(rel);
                }
            }
            Access::Read | Access::Executed | Access::Missed => {
                if is_output || (ground.is_input)(&rel) || self.made.contains(&rel) || rel.is_root() {
                    return;
                }
                match here {
                    Some(Kind::File { .. } | Kind::Link) => drop(self.reads.insert(rel)),
                    Some(Kind::Folder) => drop(self.folders.insert(rel)),
                    Some(Kind::Special(_)) | None => {}
                }
            }
        }
    }

    fn outside(&mut self, ground: &Ground<'_>, path: &Path, access: Access) {
        let let_through = |places: &[PathBuf]| places.iter().any(|place| path.starts_with(place));
        if let_through(ground.write) || ground.root.starts_with(path) || ground.home.is_some_and(|home| home.starts_with(path)) {
            return;
        }
        let is_home = ground.home.is_some_and(|home| path.starts_with(home));
        match access {
            Access::Wrote | Access::Refused => {
                self.far_made.insert(path.to_owned());
                // Temporary files may be written by everybody.
                let in_vain = access == Access::Refused;
                if in_vain || is_home || !super::SCRATCH.iter().any(|scratch| path.starts_with(scratch)) {
                    self.far_writes.insert(place(path, ground.home, true));
                }
            }
            Access::Read | Access::Executed | Access::Missed => {
                if !let_through(ground.read) && !self.far_made.contains(path) && kind(path).is_some_and(|kind| kind != Kind::Folder) {
                    self.far_reads.insert(place(path, ground.home, false));
                }
            }
        }
    }

    fn told(mut self, ground: &Ground<'_>, hosts: &[String]) -> Vec<Finding> {
        // A folder that was asked for is told when nothing in it is.
        let with_files: Vec<&RelPath> = self.reads.iter().collect();
        self.folders.retain(|folder| !with_files.iter().any(|file| file.is_within(folder)));
        let in_audit = ground.mode == Sandbox::Audit;
        let read: Vec<String> =
            self.reads.iter().map(ToString::to_string).chain(self.folders.iter().filter(|_| !in_audit).map(as_folder)).collect();
        let declared: Vec<String> =
            collapsed(&self.reads, ground).into_iter().chain(self.folders.iter().filter(|_| !in_audit).map(as_folder)).collect();
        let shown = |paths: &BTreeSet<RelPath>| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
        let at_the_top = self.temporary.remove(&RelPath::root()).unwrap_or_default();
        let temporary: Vec<String> = self.temporary.keys().map(as_folder).collect();
        let in_sandbox = |words: String| format!("{words} to its `sandbox`");
        let far = |node: &str, names: &BTreeSet<String>| in_sandbox(line(node, &names.iter().cloned().collect::<Vec<_>>()));
        let hosts: Vec<String> = if ground.network { Vec::new() } else { hosts.to_vec() };
        let all = [
            ("it reads", "not declared, so not there", read, Some(line("inputs", &declared))),
            ("it writes", "not among its outputs, so not writable", shown(&self.writes), Some(line("outputs", &shown(&self.writes)))),
            ("it writes for a while in", "not writable", temporary.clone(), Some(in_sandbox(line("write", &temporary)))),
            ("it writes for a while, outside of a folder that could be named,", "not writable", shown(&at_the_top), None),
            ("it changes its own input", "its own input, so not writable", shown(&self.own_inputs), None),
            ("it reads on this machine", "not shown", self.far_reads.iter().cloned().collect(), Some(far("read", &self.far_reads))),
            ("it writes on this machine", "not writable", self.far_writes.iter().cloned().collect(), Some(far("write", &self.far_writes))),
            ("it reaches over the network", "no network", hosts, Some(in_sandbox("`network`".to_owned()))),
        ];
        let found = all.into_iter().filter(|(_, _, names, _)| !names.is_empty());
        found.map(|(act, refused, names, line)| Finding { act, refused, names, line }).collect()
    }
}

fn as_folder(path: &RelPath) -> String {
    format!("{path}/")
}

/// Whether the folder that a path lies in can be written to because an output lies there.
fn is_beside_an_output(ground: &Ground<'_>, path: &RelPath) -> bool {
    let folder = path.parent().unwrap_or_else(RelPath::root);
    ground.outputs.iter().any(|output| folder.is_within(&super::folder_of(output)))
}

/// Files, or in place of many of one folder the folder itself, where no output can lie.
fn collapsed(files: &BTreeSet<RelPath>, ground: &Ground<'_>) -> Vec<String> {
    let mut by_folder: BTreeMap<RelPath, Vec<&RelPath>> = BTreeMap::new();
    for path in files {
        by_folder.entry(path.parent().unwrap_or_else(RelPath::root)).or_default().push(path);
    }
    let mut named = Vec::new();
    for (folder, files) in by_folder {
        let for_outputs = ground.outputs.iter().any(|output| super::folder_of(output).is_within(&folder));
        if files.len() >= MANY && !folder.is_root() && !for_outputs {
            named.push(as_folder(&folder));
        } else {
            named.extend(files.iter().map(ToString::to_string));
        }
    }
    named
}

/// What is named of the machine in place of one file: what belongs to one program, as far as that can be seen.
fn place(path: &Path, home: Option<&Path>, is_write: bool) -> String {
    let below_home = home.and_then(|home| path.strip_prefix(home).ok());
    let (start, rest) = match below_home {
        Some(rest) => ("~/", rest),
        None => ("/", path.strip_prefix("/").unwrap_or(path)),
    };
    let words: Vec<&std::ffi::OsStr> = rest.iter().collect();
    // `~/.cache` and `~/.config` belong to everybody, as do `/opt` and `/srv`.
    let for_all = below_home.is_none() || words.first().is_some_and(|word| [".cache", ".config", ".local"].iter().any(|all| word == all));
    let depth = if for_all { 2 } else { 1 };
    let depth = if below_home.is_some() && words.first().is_some_and(|word| *word == ".local") { 3 } else { depth };
    // Whoever writes a file needs the folder that it is in.
    let depth = if is_write && depth >= words.len() { words.len().saturating_sub(1).max(1) } else { depth.min(words.len()) };
    let named: Vec<String> = words[..depth].iter().map(|word| word.to_string_lossy().into_owned()).collect();
    format!("{start}{}", named.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_machine_are_named_by_the_program_that_they_belong_to() {
        let home = Some(Path::new("/home/u"));
        for (path, is_write, expected) in [
            ("/home/u/.cargo/registry/index/x", false, "~/.cargo"),
            ("/home/u/.gitconfig", false, "~/.gitconfig"),
            ("/home/u/.cache/go-build/00/x", true, "~/.cache/go-build"),
            ("/home/u/.local/share/pnpm/x/y", true, "~/.local/share/pnpm"),
            ("/opt/node/lib/x.js", false, "/opt/node"),
            ("/opt/tool", false, "/opt/tool"),
            ("/srv/data", true, "/srv"),
        ] {
            assert_eq!(place(Path::new(path), home, is_write), expected, "{path}");
        }
    }

    #[test]
    fn a_line_is_written_as_a_plan_takes_it() {
        assert_eq!(line("inputs", &["a b".to_owned(), "c\"d".to_owned()]), "`inputs \"a b\" \"c\\\"d\"`");
    }
}
