//! The tree of a commit, as far as it differs from the one that stands here.
//! In: a repository and the name of a commit. Out: what the commit has where this tree has something else. Never: a change of
//! the work tree or of the index, a connection.
//!
//! What is the same in both is read from here, so that a comparison costs what changed, not what there is. Files that git
//! ignores are in no commit and count as the same.

use std::collections::BTreeMap;

use crate::base::diagnostic::{Class, Diagnostic};
use crate::base::digest::{ContentDigest, Digest};
use crate::base::path::{AbsPath, RelPath};
use crate::base::words;
use crate::store::result::{OutputEntry, OutputFile};
use crate::sys::file;
use crate::sys::git::{self, GitError};

/// Files of a commit up to this size can be part of what a plan says: the largest text of a plan.
const TEXT: u64 = crate::syntax::LIMIT as u64;

/// A commit beside the tree that stands here.
#[derive(Debug)]
pub struct Past {
    /// The commit, in full.
    pub commit: String,
    /// Every path at which the two differ, with what the commit has there.
    others: BTreeMap<RelPath, Option<OutputEntry>>,
}

/// One line of `git diff --raw`, as far as it tells of the commit.
struct Line {
    mode: String,
    blob: String,
    path: RelPath,
}

impl Past {
    /// Compares the tree at `root` with a commit: `main`, `v1.2`, `HEAD~1`; `main...` is where this branch left `main`.
    ///
    /// # Errors
    /// A [`Diagnostic`]: no repository, no such commit, git refused.
    pub fn read(root: &AbsPath, name: &str) -> Result<Self, Diagnostic> {
        let commit = resolve(root, name)?;
        let refused = |error: GitError| refused(&error);
        let raw = git::bytes(
            root,
            &["diff", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff", "--relative", "--ignore-submodules=dirty", &commit],
            b"",
        )
        .map_err(refused)?;
        let lines = lines(&raw);
        let wanted: Vec<&Line> = lines.iter().filter(|line| matches!(line.mode.as_str(), "100644" | "100755" | "120000")).collect();
        let blobs = blobs(root, wanted.iter().map(|line| line.blob.as_str()))?;
        let mut others: BTreeMap<RelPath, Option<OutputEntry>> = lines.iter().map(|line| (line.path.clone(), None)).collect();
        for (line, bytes) in wanted.iter().zip(blobs) {
            let entry = match line.mode.as_str() {
                "120000" => OutputEntry::Link { target: bytes },
                mode => {
                    OutputEntry::File { digest: ContentDigest(Digest::of(&bytes)), size: bytes.len() as u64, executable: mode == "100755" }
                }
            };
            others.insert(line.path.clone(), Some(entry));
        }
        let unknown = git::bytes(root, &["ls-files", "-z", "--others", "--exclude-standard"], b"").map_err(refused)?;
        for path in unknown.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
            if let Ok(path) = RelPath::new(path) {
                others.entry(path).or_insert(None);
            }
        }
        Ok(Self { commit, others })
    }

    /// Whether a name stands for a commit, as [`Past::read`] reads it.
    #[must_use]
    pub fn is_commit(root: &AbsPath, name: &str) -> bool {
        resolve(root, name).is_ok()
    }

    /// Whether the two trees differ at this path.
    #[must_use]
    pub fn is_other(&self, path: &RelPath) -> bool {
        self.others.contains_key(path)
    }

    /// What the commit has where this tree has something else.
    pub fn others(&self) -> impl Iterator<Item = OutputFile> {
        self.others.iter().filter_map(|(path, entry)| Some(OutputFile { path: path.clone(), entry: entry.clone()? }))
    }

    /// Writes the texts of the commit into an empty folder: all that a plan could be read from. Links are left out, so nothing
    /// leads out of the folder.
    ///
    /// # Errors
    /// A [`Diagnostic`] when git or the disk refuses.
    pub fn write_texts(&self, root: &AbsPath, into: &AbsPath) -> Result<(), Diagnostic> {
        let listed = git::bytes(root, &["ls-tree", "-r", "-z", "-l", &self.commit], b"").map_err(|error| refused(&error))?;
        let mut texts: Vec<(RelPath, String)> = Vec::new();
        for line in listed.split(|byte| *byte == 0) {
            let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
            let head = String::from_utf8_lossy(&line[..tab]).into_owned();
            let [mode, "blob", blob, size] = head.split_whitespace().collect::<Vec<_>>()[..] else { continue };
            let Ok(path) = RelPath::new(&line[tab + 1..]) else { continue };
            if mode != "120000" && size.parse().is_ok_and(|size: u64| size <= TEXT) && may_be_read(&path, size) {
                texts.push((path, blob.to_owned()));
            }
        }
        let contents = blobs(root, texts.iter().map(|(_, blob)| blob.as_str()))?;
        for ((path, _), bytes) in texts.iter().zip(contents) {
            let to = into.at(path);
            let written = to.parent().map_or(Ok(()), file::create_dirs).and_then(|()| file::write_atomic(&to, &bytes, false));
            written.map_err(|error| Diagnostic::new(Class::Environment, "past::disk", error.to_string()))?;
        }
        Ok(())
    }
}

/// A plan reads documents of any size that it allows, and values from small files.
fn may_be_read(path: &RelPath, size: &str) -> bool {
    path.as_bytes().ends_with(b".kdl") || path.as_bytes().ends_with(b"kiln.lock") || size.parse().is_ok_and(|size: u64| size <= 64 << 10)
}

fn refused(error: &GitError) -> Diagnostic {
    Diagnostic::new(Class::Environment, "past::git", error.to_string()).help("the other side of a comparison is read with git")
}

/// The commit that a name stands for.
fn resolve(root: &AbsPath, name: &str) -> Result<String, Diagnostic> {
    let ask = |question: &[&str]| git::ask(root, question).map_err(|error| refused(&error));
    let shown = words::shorten(&words::visible(name), 80);
    let (tip, fork) = name.strip_suffix("...").map_or((name, false), |tip| (tip, true));
    let commit = |tip: &str| ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{tip}^{{commit}}")]);
    let fault = |message: String| Diagnostic::new(Class::Usage, "past::unknown-ref", message);
    let Some(found) = commit(tip)? else {
        if ask(&["rev-parse", "--git-dir"])?.is_none() {
            return Err(
                fault(format!("`{shown}` cannot be looked up: this is no git repository")).help("name a plan file or a folder instead")
            );
        }
        let fault = fault(format!("there is no commit `{shown}` in this repository"));
        let known = ask(&["for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes", "refs/tags"])?.unwrap_or_default();
        let remote = known.lines().find(|known| known.split_once('/').is_some_and(|(_, branch)| branch == tip));
        let near = remote.or_else(|| words::closest(tip, known.lines()));
        let shallow = ask(&["rev-parse", "--is-shallow-repository"])?.as_deref() == Some("true");
        return Err(fault.help(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if shallow => {
                format!("this clone is shallow: `git fetch --depth=1 origin {tip}` and name FETCH_HEAD, or `git fetch --unshallow`")
            }
            None => "`git fetch` brings branches and tags that are only elsewhere".to_owned(),
        }));
    };
    if !fork {
        return Ok(found);
    }
    ask(&["merge-base", &found, "HEAD"])?.ok_or_else(|| {
        fault(format!("`{tip}` and this branch have no commit in common")).help("in a shallow clone, `git fetch --unshallow` brings it")
    })
}

/// `:100644 100644 OLD NEW M`, a zero byte, the path, a zero byte.
fn lines(raw: &[u8]) -> Vec<Line> {
    let mut parts = raw.split(|byte| *byte == 0);
    let mut found = Vec::new();
    while let (Some(head), Some(path)) = (parts.next(), parts.next()) {
        let head = String::from_utf8_lossy(head);
        let [mode, _, blob, ..] = head.trim_start_matches(':').split(' ').collect::<Vec<_>>()[..] else { continue };
        if let Ok(path) = RelPath::new(path) {
            found.push(Line { mode: mode.to_owned(), blob: blob.to_owned(), path });
        }
    }
    found
}

/// The contents of blobs, in order, from one question.
fn blobs<'a>(root: &AbsPath, ids: impl Iterator<Item = &'a str> + Clone) -> Result<Vec<Vec<u8>>, Diagnostic> {
    let broken =
        || Diagnostic::new(Class::Environment, "past::git", "git gave another answer than it documents").help("look at `git fsck`");
    let count = ids.clone().count();
    if count == 0 {
        return Ok(Vec::new());
    }
    let input = ids.fold(String::new(), |input, id| input + id + "\n");
    let answer = git::bytes(root, &["cat-file", "--batch"], input.as_bytes()).map_err(|error| refused(&error))?;
    let mut rest = answer.as_slice();
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(broken)?;
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let size: usize = match head.split(' ').collect::<Vec<_>>()[..] {
            [_, "blob", size] => size.parse().map_err(|_| broken())?,
            _ => {
                let fault = Diagnostic::new(Class::Environment, "past::git", format!("git does not have `{}`", words::visible(&head)));
                return Err(fault.help("a partial or shallow clone lacks it: `git fetch --refetch`, or `git fetch --unshallow`"));
            }
        };
        let body = rest.get(end + 1..end + 1 + size).ok_or_else(broken)?;
        found.push(body.to_vec());
        rest = rest.get(end + 2 + size..).ok_or_else(broken)?;
    }
    Ok(found)
}
