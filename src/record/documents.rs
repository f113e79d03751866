//! The last parsed document of a project, kept so that a plan that did not change is not parsed again: reading it back takes a
//! twentieth of the time.
//! In: a text. Out: the document that this very program made of this very text, or nothing. Never: a part of a damaged
//! file, a document of another text or of another build of kiln, an error that stops a command.
//!
//! The file is a checksum (32 bytes) over all that follows it: the digest of text and program, and the nodes. Numbers are
//! little-endian, texts stand behind their lengths, lists behind their counts.

use std::path::Path;
use std::sync::Arc;

use crate::base::canon::{HashSink, Sink as _};
use crate::base::diagnostic::{Source, Span};
use crate::base::digest::{Blake3, Digest};
use crate::syntax::document::{Document, Node, Prop, Scalar, Value, Word};
use crate::sys::file::{self, FileError};

use super::program;

/// The largest file that is read, in bytes.
const LIMIT: u64 = 256 << 20;
/// Blocks are never nested deeper in a text that was parsed; a file that says otherwise is not ours.
const DEPTH: usize = 256;
const SUM: usize = 32;

/// The document of `source`, when it is the one that `dir` holds.
#[must_use]
pub fn load(dir: &Path, source: &Arc<Source>) -> Option<Document> {
    let bytes = file::read(place(dir), LIMIT).ok()?;
    let (sum, body) = bytes.split_at_checked(SUM)?;
    if Digest::<Blake3>::of(body).as_bytes() != sum {
        return None;
    }
    let mut reader = Reader { rest: body, source };
    if reader.take::<SUM>()? != *identity(source)?.as_bytes() {
        return None;
    }
    let nodes = reader.list(|reader| reader.node(DEPTH))?;
    reader.rest.is_empty().then(|| Document { source: Arc::clone(source), nodes })
}

/// Keeps a document that has no fault, in place of the last one.
///
/// # Errors
/// [`FileError`]; nothing is lost but time.
pub fn save(dir: &Path, document: &Document) -> Result<(), FileError> {
    let Some(identity) = identity(&document.source) else { return Ok(()) };
    let mut writer = Writer(identity.as_bytes().to_vec());
    writer.list(&document.nodes, Writer::node);
    let mut bytes = Digest::<Blake3>::of(&writer.0).as_bytes().to_vec();
    bytes.extend_from_slice(&writer.0);
    file::write_atomic(place(dir), &bytes, false)
}

fn place(dir: &Path) -> std::path::PathBuf {
    dir.join("document")
}

/// What the file was made of: a text, and the program that read it. Another build of the same version counts as another one.
fn identity(source: &Source) -> Option<Digest<Blake3>> {
    let mut sink = HashSink::new("kiln document 1");
    sink.field("program", program::identity()?.as_bytes());
    sink.text("text", &source.text);
    Some(sink.finish())
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: usize) {
        // Texts that are parsed are far smaller than four gigabytes.
        self.0.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
    }
    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }
    fn list<T>(&mut self, list: &[T], one: impl Fn(&mut Self, &T)) {
        self.number(list.len());
        list.iter().for_each(|item| one(self, item));
    }
    fn maybe<T>(&mut self, value: Option<&T>, one: impl FnOnce(&mut Self, &T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            one(self, value);
        }
    }
    fn span(&mut self, span: &Span) {
        self.number(span.start);
        self.number(span.len);
    }
    fn word(&mut self, word: &Word) {
        self.text(&word.text);
        self.span(&word.span);
    }
    fn node(&mut self, node: &Node) {
        self.word(&node.name);
        self.list(&node.args, Self::value);
        self.list(&node.props, |writer, prop| {
            writer.word(&prop.name);
            writer.value(&prop.value);
        });
        self.maybe(node.children.as_ref(), |writer, children| writer.list(children, Self::node));
        self.span(&node.span);
    }
    fn value(&mut self, value: &Value) {
        match &value.scalar {
            Scalar::String(text) => {
                self.0.push(0);
                self.text(text);
            }
            Scalar::Integer(number) => {
                self.0.push(1);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
            Scalar::Float(number) => {
                self.0.push(2);
                self.0.extend_from_slice(&number.to_bits().to_le_bytes());
            }
            Scalar::Bool(flag) => self.0.extend_from_slice(&[3, u8::from(*flag)]),
            Scalar::Null => self.0.push(4),
        }
        self.maybe(value.annotation.as_deref(), Self::word);
        self.span(&value.span);
        self.0.push(u8::from(value.bare));
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    source: &'a Arc<Source>,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }
    fn number(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take()?)).ok()
    }
    fn flag(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
    fn text(&mut self) -> Option<String> {
        let length = self.number()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok().map(str::to_owned)
    }
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        // Every item takes a byte at least, so that a wrong count cannot ask for more memory than the file has.
        let mut list = Vec::with_capacity(count.min(self.rest.len() / 16));
        for _ in 0..count {
            list.push(one(self)?);
        }
        Some(list)
    }
    fn maybe<T>(&mut self, one: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { one(self).map(Some) } else { Some(None) }
    }
    fn span(&mut self) -> Option<Span> {
        let (start, len) = (self.number()?, self.number()?);
        self.source.text.get(start..start.checked_add(len)?)?;
        Some(Span::new(self.source, start, len))
    }
    fn word(&mut self) -> Option<Word> {
        Some(Word { text: self.text()?, span: self.span()? })
    }
    fn node(&mut self, depth: usize) -> Option<Node> {
        let depth = depth.checked_sub(1)?;
        let name = self.word()?;
        let args = self.list(Self::value)?;
        let props = self.list(|reader| Some(Prop { name: reader.word()?, value: reader.value()? }))?;
        let children = self.maybe(|reader| reader.list(|reader| reader.node(depth)))?;
        Some(Node { name, args, props, children, span: self.span()? })
    }
    fn value(&mut self) -> Option<Value> {
        let scalar = match self.take()? {
            [0] => Scalar::String(self.text()?),
            [1] => Scalar::Integer(i128::from_le_bytes(self.take()?)),
            [2] => Scalar::Float(f64::from_bits(u64::from_le_bytes(self.take()?))),
            [3] => Scalar::Bool(self.flag()?),
            [4] => Scalar::Null,
            _ => return None,
        };
        Some(Value { scalar, annotation: self.maybe(Self::word)?.map(Box::new), span: self.span()?, bare: self.flag()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "kiln 1\ntask \"ä\" a=-5 (min)b=1.5 #true #null {\n    run #\"\"\"\n        x\n        \"\"#\n    empty {\n    }\n}\n";

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source { name: "build.kdl".into(), text: text.into() })
    }

    fn document() -> Document {
        let source = source(TEXT);
        let span = |start, len| Span::new(&source, start, len);
        let word = |text: &str| Word { text: text.into(), span: span(0, 4) };
        let value = |scalar, annotation| Value { scalar, annotation, span: span(5, 1), bare: true };
        let leaf = Node { name: word("leaf"), args: vec![], props: vec![], children: Some(vec![]), span: span(2, 0) };
        let args = vec![
            value(Scalar::String("ä".into()), None),
            value(Scalar::Integer(i128::MIN), Some(Box::new(word("min")))),
            value(Scalar::Float(-0.0), None),
            value(Scalar::Bool(true), None),
            value(Scalar::Null, None),
        ];
        let props = vec![Prop { name: word("p"), value: value(Scalar::Bool(false), None) }];
        let nodes = vec![Node { name: word("top"), args, props, children: Some(vec![leaf]), span: span(0, TEXT.len()) }];
        Document { source, nodes }
    }

    #[test]
    fn what_is_kept_is_read_back_for_the_same_text_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path(), &source(TEXT)).is_none());
        save(dir.path(), &document()).unwrap();
        assert_eq!(format!("{:?}", load(dir.path(), &source(TEXT)).unwrap().nodes), format!("{:?}", document().nodes));
        assert!(load(dir.path(), &source(&TEXT.replace('5', "6"))).is_none());
    }

    #[test]
    fn a_file_that_is_cut_or_damaged_is_no_document() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &document()).unwrap();
        let bytes = file::read(place(dir.path()), LIMIT).unwrap();
        for at in 0..bytes.len() {
            file::write_atomic(place(dir.path()), &bytes[..at], false).unwrap();
            assert!(load(dir.path(), &source(TEXT)).is_none(), "cut at {at}");
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            file::write_atomic(place(dir.path()), &damaged, false).unwrap();
            assert!(load(dir.path(), &source(TEXT)).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_count_or_a_depth_that_cannot_be_ends_the_reading() {
        let source = source(TEXT);
        let endless = [0xff; 64];
        assert!(Reader { rest: &endless, source: &source }.list(|reader| reader.node(DEPTH)).is_none());
        let deep: Node =
            (0..300).fold(document().nodes.remove(0), |inner, _| Node { children: Some(vec![inner]), ..document().nodes.remove(0) });
        let mut writer = Writer(Vec::new());
        writer.node(&deep);
        assert!(Reader { rest: &writer.0, source: &source }.node(DEPTH).is_none());
    }
}
