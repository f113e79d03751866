//! Plans of several files: broken ones give exactly the faults marked in each file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln::base::diagnostic::{Diagnostics, Source};
use kiln::base::path::RelPath;
use kiln::plan::include::{self, IncludeSource, Loaded, Sources, Unavailable};
use kiln::plan::{Overrides, Resolved, resolve};
use kiln::syntax;
use kiln::syntax::document::Document;

use crate::plan::{Fake, compare_found};

/// Files of a project by their paths.
pub struct Files(pub BTreeMap<String, String>);

fn parse(name: &str, text: &str) -> Result<Document, Diagnostics> {
    syntax::parse(Arc::new(Source { name: name.to_owned(), text: text.to_owned() }))
}

impl Sources for Files {
    fn document(&self, place: &IncludeSource) -> Result<Document, Unavailable> {
        let IncludeSource::Local(path) = place else { return Err(Unavailable::Missing) };
        let text = self.0.get(&path.to_string()).ok_or(Unavailable::Missing)?;
        parse(&path.to_string(), text).map_err(Unavailable::Text)
    }
}

impl Files {
    pub fn load(&self) -> Loaded {
        let main = parse("build.kdl", &self.0["build.kdl"]).unwrap_or_else(|faults| panic!("{faults:?}"));
        include::load(main, Some(RelPath::new("build.kdl").unwrap()), self)
    }

    pub fn resolve(&self, set: &[(&str, &str)]) -> Result<Resolved, Diagnostics> {
        let set = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        resolve(&self.load(), &Fake::repository(), &Overrides { set })
    }
}

fn read(folder: &Path) -> Files {
    let mut files = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).unwrap() {
            let path = below.join(entry.unwrap().file_name());
            if folder.join(&path).is_dir() {
                open.push(path);
            } else {
                files.insert(path.to_string_lossy().into_owned(), std::fs::read_to_string(folder.join(&path)).unwrap());
            }
        }
    }
    Files(files)
}

/// The broken plans of several files, each in its folder.
pub fn fixtures() -> Vec<(String, Files)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/diagnostics/include");
    let mut found: Vec<(String, Files)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(&path)))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn every_broken_plan_of_several_files_gives_exactly_the_faults_marked_in_them() {
    let mut wrong = Vec::new();
    for (name, files) in fixtures() {
        let found = match files.resolve(&[]) {
            Ok(resolved) => resolved.warnings,
            Err(faults) => faults.sorted(),
        };
        for (file, text) in &files.0 {
            let here = found.iter().filter(|fault| fault.labels.first().is_none_or(|label| label.span.source.name == *file));
            wrong.extend(compare_found(&format!("{name}/{file}"), text, &here.cloned().collect::<Vec<_>>()).err());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
