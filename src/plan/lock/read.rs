//! A parsed lock → pins, or every fault of the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::diagnostic::{Diagnostic, Diagnostics, Source, Span};
use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;
use crate::base::words::{closest, visible};
use crate::oci::reference::Reference;
use crate::syntax::document::{Document, Node, Scalar, Value};

use super::{EDITION, ImageName, ImagePin, Lock};

/// The kinds of lines with their properties, and their forms for messages.
const KINDS: &[(&str, &[&str], &str)] = &[
    ("image", &["platform", "digest"], "image \"NAME:TAG\" platform=\"OS/ARCH\" digest=\"sha256:…\""),
    ("include", &["digest"], "include \"SOURCE\" digest=\"sha256:…\""),
    ("tool", &["version"], "tool \"NAME\" version=\"…\""),
];
/// What a person does about a line that only kiln writes.
const REWRITE: &str = "only `kiln lock` writes this file: restore it from the last commit, or remove it and run `kiln lock`";

/// The marks that git leaves in a file that it could not merge. Looked for before the text is parsed, since they are no KDL.
///
/// # Errors
/// One fault for all of them.
pub fn conflicts(source: &Arc<Source>) -> Result<(), Diagnostic> {
    let mut marks = Vec::new();
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let text = line.trim_end();
        let mark = ["<<<<<<< ", "||||||| ", ">>>>>>> "].iter().any(|mark| text.starts_with(mark)) || text == "=======";
        if mark {
            marks.push(Span::new(source, at, text.len()));
        }
        at += line.len();
    }
    let Some((first, rest)) = marks.split_first() else { return Ok(()) };
    let mut fault = Diagnostic::plan("lock::conflict", "git could not merge this file", first, "one side begins here");
    for mark in rest {
        let end = mark.text().starts_with('>');
        fault = fault.label(mark, if end { "the other one ends here" } else { "" });
    }
    Err(fault
        .help("keep the lines of either side and remove the marks; where one name then has two digests, keep one, and run `kiln lock`"))
}

/// Reads the pins of a document.
///
/// # Errors
/// Every fault: another edition, lines that are no pins, a name with two meanings.
pub fn read(document: &Document) -> Result<Lock, Diagnostics> {
    let mut reader = Reader::default();
    match document.nodes.split_first() {
        Some((first, rest)) if first.name.text == "lock" => {
            if !matches!(first.args.as_slice(), [Value { scalar: Scalar::Integer(EDITION), .. }]) {
                let message = format!("this kiln reads edition {EDITION} of the lock");
                return Err(Diagnostic::plan("lock::edition", message, &first.span, "another edition").help("use a newer kiln").into());
            }
            rest.iter().for_each(|node| reader.line(node));
        }
        first => {
            let span = first.map_or_else(|| Span::new(&document.source, 0, 0), |(node, _)| node.name.span.clone());
            let fault = Diagnostic::plan("lock::edition", "the lock does not say its edition", &span, "`lock 1` comes first");
            return Err(fault.help(REWRITE).into());
        }
    }
    reader.finish()
}

/// A value with the place that it was read at.
type Placed<T> = (T, Span);

#[derive(Default)]
struct Reader {
    images: BTreeMap<ImageName, Placed<BlobDigest>>,
    platforms: BTreeMap<(ImageName, Platform), Placed<BlobDigest>>,
    includes: BTreeMap<String, Placed<BlobDigest>>,
    tools: BTreeMap<String, Placed<String>>,
    faults: Diagnostics,
}

impl Reader {
    fn line(&mut self, node: &Node) {
        let word = node.name.text.as_str();
        let Some((_, props, form)) = KINDS.iter().find(|(kind, ..)| *kind == word) else {
            let fault = Diagnostic::plan("lock::bad-pin", format!("`{}` is no kind of pin", visible(word)), &node.name.span, "not a kind");
            return self.faults.push(match closest(word, KINDS.iter().map(|(kind, ..)| *kind)) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help(REWRITE),
            });
        };
        if let Err(fault) = self.pin(node, props, form) {
            self.faults.push(fault);
        }
    }

    fn pin(&mut self, node: &Node, props: &[&str], form: &str) -> Result<(), Diagnostic> {
        let bad =
            |span: &Span, why: String| Diagnostic::plan("lock::bad-pin", why, span, "here").help(format!("a line is `{form}`; {REWRITE}"));
        let [name] = node.args.as_slice() else { return Err(bad(&node.span, "a pin has one name".to_owned())) };
        if node.children.is_some() {
            return Err(bad(&node.span, "a pin has no block".to_owned()));
        }
        if let Some(prop) = node.props.iter().find(|prop| !props.contains(&prop.name.text.as_str())) {
            return Err(bad(&prop.name.span, format!("a pin of this kind has no `{}`", visible(&prop.name.text))));
        }
        let text = |value: &Value| match &value.scalar {
            Scalar::String(text) => Ok((text.clone(), value.span.clone())),
            _ => Err(bad(&value.span, "this is no text".to_owned())),
        };
        let prop = |word: &str| node.props.iter().find(|prop| prop.name.text == word).map(|prop| text(&prop.value)).transpose();
        let needed = |word: &str| prop(word)?.ok_or_else(|| bad(&node.span, format!("the pin has no `{word}`")));
        let digest = || {
            let (value, span) = needed("digest")?;
            let digest: BlobDigest = value.parse().map_err(|why| bad(&span, format!("{why}")))?;
            Ok::<_, Diagnostic>((digest, span))
        };
        let (name, span) = text(name)?;
        match node.name.text.as_str() {
            "image" => {
                let reference: Reference = name.parse().map_err(|why| bad(&span, format!("{why}")))?;
                let name = ImageName::of(&reference).ok_or_else(|| bad(&span, "a name with a digest needs no pin".to_owned()))?;
                match prop("platform")? {
                    None => insert(&mut self.images, name, digest()?),
                    Some((platform, at)) => {
                        let platform: Platform = platform.parse().map_err(|why| bad(&at, format!("{why}")))?;
                        insert(&mut self.platforms, (name, platform), digest()?)
                    }
                }
            }
            "include" => insert(&mut self.includes, name, digest()?),
            _ => insert(&mut self.tools, name, needed("version")?),
        }
    }

    fn finish(mut self) -> Result<Lock, Diagnostics> {
        let mut images: BTreeMap<ImageName, ImagePin> = BTreeMap::new();
        for (name, (digest, _)) in self.images {
            images.insert(name, ImagePin { digest, platforms: BTreeMap::new() });
        }
        let mut told = None;
        for ((name, platform), (digest, span)) in self.platforms {
            match images.get_mut(&name) {
                Some(pin) => drop(pin.platforms.insert(platform, digest)),
                None if told.as_ref() == Some(&name) => {}
                None => {
                    let message = format!("`{name}` is pinned for {platform}, but not as a whole");
                    let fault = Diagnostic::plan("lock::bad-pin", message, &span, "a line without `platform` is missing");
                    self.faults.push(fault.help(REWRITE));
                    told = Some(name);
                }
            }
        }
        if self.faults.has_errors() {
            return Err(self.faults);
        }
        let plain = |(name, (value, _)): (String, Placed<BlobDigest>)| (name, value);
        let tools = self.tools.into_iter().map(|(name, (version, _))| (name, version)).collect();
        Ok(Lock { images, includes: self.includes.into_iter().map(plain).collect(), tools })
    }
}

/// The same line twice is what a merge of both sides leaves, and says nothing new; two meanings of one name are a fault.
fn insert<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, Placed<V>>, name: K, value: Placed<V>) -> Result<(), Diagnostic> {
    match map.get(&name) {
        Some((known, first)) if *known != value.0 => {
            let fault = Diagnostic::plan("lock::twice", "one name is pinned to two things", &value.1, "and to this one");
            Err(fault
                .label(first, "pinned to this one")
                .help("keep one of the lines and run `kiln lock`; `kiln lock --update NAME` asks anew"))
        }
        Some(_) => Ok(()),
        None => {
            map.insert(name, value);
            Ok(())
        }
    }
}
