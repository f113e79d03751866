//! Reports that are written when a run is over, or when a recorded one is shown again: `--report junit=out.xml`.
//! In: events. Out: files. Never: a fault of a report as the fault of a run: it is said, and the exit code stays.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use crate::base::path::AbsPath;
use crate::event::{Event, Listener};
use crate::report::ci::Server;
use crate::report::outcome::Outcome;
use crate::report::{junit, markdown, trace};
use crate::sys::{env, file};

/// A kind of report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JUnit XML.
    Junit,
    /// A Chrome trace.
    Trace,
    /// Markdown.
    Markdown,
}

/// A report, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportTo {
    /// What.
    pub kind: Kind,
    /// Where, from the folder that kiln was started in.
    pub path: PathBuf,
}

impl FromStr for ReportTo {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = text.split_once('=').ok_or("write it like `junit=report.xml`")?;
        let kind = match kind {
            "junit" => Kind::Junit,
            "trace" => Kind::Trace,
            "markdown" => Kind::Markdown,
            other => return Err(format!("`{}` is no report; there are junit, trace and markdown", crate::base::words::visible(other))),
        };
        if path.is_empty() { Err("the name of a file is missing".to_owned()) } else { Ok(Self { kind, path: path.into() }) }
    }
}

/// Collects a run for the reports that were asked for.
#[derive(Debug)]
pub struct Reports {
    asked: Vec<ReportTo>,
    /// The page that GitHub shows of a job; several steps of the job write to it, one after the other.
    page: Option<PathBuf>,
    outcome: Mutex<Outcome>,
}

impl Reports {
    /// Nothing when nobody asked. With `summary`, the page of a GitHub job counts as asked for.
    pub fn new(asked: &[ReportTo], summary: bool) -> Option<Self> {
        let page = env::var_os("GITHUB_STEP_SUMMARY").filter(|_| summary).map(PathBuf::from);
        (!asked.is_empty() || page.is_some()).then(|| Self { asked: asked.to_vec(), page, outcome: Mutex::default() })
    }

    /// Writes the reports; gives a sentence for each that could not be written.
    pub fn write(&self, here: &AbsPath) -> Vec<String> {
        use std::io::Write as _;
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let mut faults = Vec::new();
        for report in &self.asked {
            let text = match report.kind {
                Kind::Junit => junit::document(&outcome),
                Kind::Trace => trace::document(&outcome),
                Kind::Markdown => markdown::document(&outcome),
            };
            if let Err(fault) = file::write_atomic(here.join(&report.path), text.as_bytes(), false) {
                faults.push(format!("a report could not be written: {fault}"));
            }
        }
        if let Some(page) = &self.page {
            let text = markdown::document(&outcome) + "\n";
            let written = file::append(page).and_then(|mut file| file::at("write", page, file.write_all(text.as_bytes())));
            if let Err(fault) = written {
                faults.push(format!("the page of this job could not be written: {fault}"));
            }
        }
        faults
    }
}

impl Listener for Reports {
    fn event(&self, event: Event) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).event(&event);
    }
}

/// The CI server that kiln runs on, by the variables that it sets. `KILN_CI=none` denies one.
pub fn server() -> Option<Server> {
    let is = |name: &str| env::var(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1");
    match env::var("KILN_CI").as_deref() {
        Some("github") => Some(Server::GitHub),
        Some("gitlab") => Some(Server::GitLab),
        Some("azure") => Some(Server::Azure),
        Some(_) => None,
        None if is("GITHUB_ACTIONS") || is("GITEA_ACTIONS") || is("FORGEJO_ACTIONS") => Some(Server::GitHub),
        None if is("GITLAB_CI") => Some(Server::GitLab),
        None if is("TF_BUILD") => Some(Server::Azure),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_kind_and_a_file() {
        assert_eq!("junit=a=b.xml".parse(), Ok(ReportTo { kind: Kind::Junit, path: "a=b.xml".into() }));
        for wrong in ["junit", "html=x", "trace=", ""] {
            assert!(wrong.parse::<ReportTo>().is_err(), "{wrong}");
        }
    }
}
