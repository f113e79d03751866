//! From the main document to all documents: follows every `include`, tells circles as chains, counts before it asks.

use crate::base::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::base::path::RelPath;
use crate::base::size::ByteSize;
use crate::base::words;
use crate::syntax::document::Document;

use super::{BYTES_LIMIT, DEPTH_LIMIT, FILE_LIMIT, IncludeSource, Included, Loaded, Sources, Unavailable, include};

/// Loads every document that `main` includes, directly or through others. `at` is the place of `main` in the project, if it has
/// one, so that a file which includes it again is found out.
///
/// What is wrong with one document does not keep the others from being loaded; all faults are in the value.
#[must_use]
pub fn load(main: Document, at: Option<RelPath>, sources: &dyn Sources) -> Loaded {
    let mut loading =
        Loading { sources, included: Vec::new(), weights: Vec::new(), bytes: main.source.text.len(), faults: Diagnostics::default() };
    let root = Step { place: at.map(IncludeSource::Local), span: None };
    loading.follow(&main, None, &mut vec![root]);
    Loaded { main, included: loading.included, faults: loading.faults }
}

/// A document on the way from the main one, and the `include` that led to it.
struct Step {
    place: Option<IncludeSource>,
    span: Option<Span>,
}

struct Loading<'s> {
    sources: &'s dyn Sources,
    included: Vec<Included>,
    /// How many documents each included one stands for, itself among them.
    weights: Vec<usize>,
    bytes: usize,
    faults: Diagnostics,
}

impl Loading<'_> {
    /// Follows the `include` nodes of a document and gives the number of documents that they stand for.
    fn follow(&mut self, document: &Document, from: Option<&IncludeSource>, way: &mut Vec<Step>) -> usize {
        let mut weight = 0_usize;
        for node in document.nodes.iter().filter(|node| node.name.text == "include") {
            let found = match include(node, from) {
                Ok(found) => found,
                Err(fault) => {
                    self.faults.extend(fault.map(|fault| *fault));
                    continue;
                }
            };
            let below = self.one(found.place, found.span, way);
            if weight <= FILE_LIMIT && weight.saturating_add(below) > FILE_LIMIT {
                let message = format!("the plan is made of more than {FILE_LIMIT} files, those that stand under two names counted twice");
                let fault = Diagnostic::plan("plan::too-large", message, found.span, "one of them");
                self.faults.push(fault.help("include each file once, under one name"));
            }
            weight = weight.saturating_add(below);
        }
        weight
    }

    fn one(&mut self, place: IncludeSource, span: &Span, way: &mut Vec<Step>) -> usize {
        if let Some(start) = way.iter().position(|step| step.place.as_ref() == Some(&place)) {
            self.faults.push(circle(&way[start..], &place, span));
            return 0;
        }
        if let Some(index) = self.included.iter().position(|known| known.place == place) {
            return self.weights[index];
        }
        if way.len() > DEPTH_LIMIT || self.included.len() >= FILE_LIMIT {
            let message = if way.len() > DEPTH_LIMIT {
                format!("files include each other more than {DEPTH_LIMIT} deep")
            } else {
                format!("the plan includes more than {FILE_LIMIT} files")
            };
            let fault = Diagnostic::plan("plan::too-large", message, span, "not followed from here");
            self.faults.push(fault.help("put what belongs together into one file"));
            return 0;
        }
        let index = self.included.len();
        let document = match self.sources.document(&place) {
            Ok(document) => self.admit(document, span),
            Err(why) => {
                self.faults.extend(unavailable(why, &place, span));
                None
            }
        };
        self.included.push(Included { place: place.clone(), document: document.clone() });
        self.weights.push(1);
        if let Some(document) = document {
            way.push(Step { place: Some(place.clone()), span: Some(span.clone()) });
            self.weights[index] = self.follow(&document, Some(&place), way).saturating_add(1);
            way.pop();
        }
        self.weights[index]
    }

    fn admit(&mut self, document: Document, span: &Span) -> Option<Document> {
        let before = self.bytes;
        self.bytes = before.saturating_add(document.source.text.len());
        if self.bytes <= BYTES_LIMIT {
            return Some(document);
        }
        if before <= BYTES_LIMIT {
            let message = format!("the files of the plan have more than {} together", ByteSize(BYTES_LIMIT as u64));
            let fault = Diagnostic::plan("plan::too-large", message, span, "too much with this one");
            self.faults.push(fault.help("a plan holds names and paths; put large texts into files of their own"));
        }
        None
    }
}

/// `build.kdl → ci/a.kdl → build.kdl`, with a mark at every `include` of the circle.
fn circle(way: &[Step], place: &IncludeSource, span: &Span) -> Diagnostic {
    let shown = |step: &Step| step.place.as_ref().map_or_else(String::new, ToString::to_string);
    let mut names: Vec<String> = way.iter().map(shown).collect();
    names.push(place.to_string());
    let message = if way.len() == 1 {
        format!("`{place}` includes itself")
    } else {
        format!("files include each other in a circle: {}", names.join(" → "))
    };
    let includes = way[1..].iter().filter_map(|step| step.span.as_ref()).chain([span]);
    let mut fault = Diagnostic::new(crate::base::diagnostic::Class::Plan, "plan::include-circle", message);
    for (span, pair) in includes.zip(names.windows(2)) {
        fault = fault.label(span, format!("`{}` includes `{}`", pair[0], pair[1]));
    }
    fault.help("move what both need into a third file")
}

fn unavailable(why: Unavailable, place: &IncludeSource, span: &Span) -> Vec<Diagnostic> {
    let fault = |message: String, label: &str| Diagnostic::plan("plan::bad-include", message, span, label);
    vec![match why {
        Unavailable::Missing => {
            fault(format!("there is no `{place}`"), "no such file").help("the path is relative to the folder of the file that it stands in")
        }
        Unavailable::Outside => fault(format!("`{place}` leads out of the project through a link"), "outside the project")
            .help("a plan reaches only files below its own folder; put a copy there instead of the link"),
        Unavailable::Unreadable(detail) => fault(format!("`{place}` cannot be read: {}", words::visible(&detail)), "included here")
            .help("name a file that this user may read"),
        Unavailable::Fault(fault) => fault.label(span, "included here"),
        Unavailable::Text(faults) => return faults.into_iter().collect(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Source;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// Files by name; counts how often each is asked for.
    struct Files(BTreeMap<String, String>, RefCell<Vec<String>>);

    fn parse(name: &str, text: &str) -> Result<Document, Diagnostics> {
        crate::syntax::parse(Arc::new(Source { name: name.into(), text: text.into() }))
    }

    impl Sources for Files {
        fn document(&self, place: &IncludeSource) -> Result<Document, Unavailable> {
            let name = place.to_string();
            self.1.borrow_mut().push(name.clone());
            parse(&name, self.0.get(&name).ok_or(Unavailable::Missing)?).map_err(Unavailable::Text)
        }
    }

    fn all(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let main = parse("build.kdl", files[0].1).unwrap();
        let files = Files(files[1..].iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(), RefCell::default());
        let loaded = load(main, Some(RelPath::new("build.kdl").unwrap()), &files);
        let asked = files.1.into_inner();
        assert_eq!(asked, loaded.included.iter().map(|included| included.place.to_string()).collect::<Vec<_>>());
        (
            asked,
            loaded.faults.sorted().iter().map(|fault| format!("{}: {}", fault.code.rsplit(':').next().unwrap(), fault.message)).collect(),
        )
    }

    fn check(files: &[(&str, &str)], asked: &[&str], faults: &[&str]) {
        let (found, told) = all(files);
        assert_eq!(
            (found.iter().map(String::as_str).collect::<Vec<_>>(), told.iter().map(String::as_str).collect::<Vec<_>>()),
            (asked.to_vec(), faults.to_vec())
        );
    }

    #[test]
    fn every_file_is_asked_for_once_and_relative_to_the_one_that_includes_it() {
        check(
            &[
                ("build.kdl", "include \"a/x.kdl\" as=a\ninclude b.kdl as=b\ninclude b.kdl as=c\n"),
                ("a/x.kdl", "include y.kdl as=y\ninclude \"../b.kdl\" as=b\n"),
                ("a/y.kdl", ""),
                ("b.kdl", ""),
            ],
            &["a/x.kdl", "a/y.kdl", "b.kdl"],
            &[],
        );
    }

    #[test]
    fn circles_are_told_once_as_chains_and_not_followed() {
        check(&[("build.kdl", "include build.kdl as=a\n")], &[], &["include-circle: `build.kdl` includes itself"]);
        check(
            &[("build.kdl", "include a.kdl as=a\n"), ("a.kdl", "include b.kdl as=b\n"), ("b.kdl", "include a.kdl as=a\n")],
            &["a.kdl", "b.kdl"],
            &["include-circle: files include each other in a circle: a.kdl → b.kdl → a.kdl"],
        );
    }

    #[test]
    fn one_broken_file_does_not_hide_the_faults_of_another() {
        let (asked, faults) = all(&[
            ("build.kdl", "include gone.kdl as=a\ninclude broken.kdl as=b\ninclude \"../x.kdl\" as=c\ninclude other.kdl as=d\n"),
            ("broken.kdl", "task \"a {\n"),
            ("other.kdl", "include gone2.kdl as=a\n"),
        ]);
        assert_eq!(asked, ["gone.kdl", "broken.kdl", "other.kdl", "gone2.kdl"]);
        assert_eq!(faults.len(), 4, "{faults:?}");
    }

    #[test]
    fn doubling_includes_and_deep_ones_are_counted_before_they_are_followed() {
        let mut files = vec![("build.kdl".to_owned(), "include f0.kdl as=a\ninclude f0.kdl as=b\n".to_owned())];
        files.extend((0..14).map(|n| (format!("f{n}.kdl"), format!("include f{}.kdl as=a\ninclude f{}.kdl as=b\n", n + 1, n + 1))));
        files.push(("f14.kdl".to_owned(), String::new()));
        let borrowed: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let (asked, faults) = all(&borrowed);
        assert_eq!(asked.len(), 15);
        assert!(faults.iter().any(|fault| fault.starts_with("too-large: the plan is made of more than 256 files")), "{faults:?}");
        let chain: Vec<(String, String)> = (0..30).map(|n| (format!("g{n}.kdl"), format!("include g{}.kdl as=a\n", n + 1))).collect();
        let mut borrowed = vec![("build.kdl", "include g0.kdl as=a\n")];
        borrowed.extend(chain.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        let (asked, faults) = all(&borrowed);
        assert_eq!((asked.len(), faults.len()), (DEPTH_LIMIT, 1), "{faults:?}");
    }
}
