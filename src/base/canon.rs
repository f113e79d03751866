//! The canonical encoding: one walk over a value feeds two sinks, the hash and its explanation.
//!
//! Law of framing: every field is written as its name and its value, each preceded by its length as eight
//! little-endian bytes; a group is a name, an opening mark, its fields, and a closing mark. Marks are single bytes
//! that stand where a length could not, because every length is introduced by a mark of its own. So no two different
//! sequences of calls give the same bytes.

use super::digest::{Blake3, Digest, Hasher};

/// Receives the fields of a value in canonical order.
pub trait Sink {
    /// One named value.
    fn field(&mut self, name: &str, value: &[u8]);
    /// The fields until the matching [`Sink::close`] belong to `name`.
    fn open(&mut self, name: &str);
    /// Ends the innermost group.
    fn close(&mut self);

    /// A named text.
    fn text(&mut self, name: &str, value: &str) {
        self.field(name, value.as_bytes());
    }
    /// A named text that may be absent; absence differs from the empty text.
    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }
    /// A named list, in the order given.
    fn list<T: AsRef<[u8]>>(&mut self, name: &str, values: &[T])
    where
        Self: Sized,
    {
        self.open(name);
        for value in values {
            self.field("", value.as_ref());
        }
        self.close();
    }
    /// A named flag.
    fn flag(&mut self, name: &str, value: bool) {
        self.field(name, if value { b"yes" } else { b"no" });
    }
}

/// The sink that hashes.
pub struct HashSink(Hasher<Blake3>);

impl HashSink {
    /// Starts a hash for one kind of value; `domain` names the kind and the version of its encoding.
    #[must_use]
    pub fn new(domain: &str) -> Self {
        let mut sink = Self(Hasher::new());
        sink.framed(b'D', domain.as_bytes());
        sink
    }
    fn framed(&mut self, mark: u8, bytes: &[u8]) {
        self.0.update(&[mark]);
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
    /// The digest of all that was received.
    #[must_use]
    pub fn finish(self) -> Digest<Blake3> {
        self.0.finish()
    }
}

impl Sink for HashSink {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.framed(b'N', name.as_bytes());
        self.framed(b'V', value);
    }
    fn open(&mut self, name: &str) {
        self.framed(b'(', name.as_bytes());
    }
    fn close(&mut self) {
        self.0.update(b")");
    }
}

/// The sink that explains: one line per field, `group › name` and a value fit to be shown.
#[derive(Debug, Default)]
pub struct LineSink {
    groups: Vec<String>,
    lines: Vec<(String, String)>,
}

impl LineSink {
    /// The lines, in canonical order.
    #[must_use]
    pub fn finish(self) -> Vec<(String, String)> {
        self.lines
    }
}

impl Sink for LineSink {
    fn field(&mut self, name: &str, value: &[u8]) {
        let mut path = self.groups.join(" › ");
        if !name.is_empty() {
            if !path.is_empty() {
                path.push_str(" › ");
            }
            path.push_str(name);
        }
        self.lines.push((path, String::from_utf8_lossy(value).into_owned()));
    }
    fn open(&mut self, name: &str) {
        self.groups.push(name.to_owned());
    }
    fn close(&mut self) {
        self.groups.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(walk: impl Fn(&mut HashSink)) -> Digest<Blake3> {
        let mut sink = HashSink::new("test 1");
        walk(&mut sink);
        sink.finish()
    }

    #[test]
    fn moving_a_byte_from_one_field_to_the_next_changes_the_hash() {
        let a = hash(|sink| sink.list("x", &["a", "bc"]));
        let b = hash(|sink| sink.list("x", &["ab", "c"]));
        let c = hash(|sink| sink.list("x", &["abc"]));
        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn an_empty_group_is_not_an_empty_field_nor_nothing() {
        let none = hash(|_| {});
        let group = hash(|sink| sink.list::<&str>("x", &[]));
        let field = hash(|sink| sink.text("x", ""));
        assert!(none != group && group != field && none != field);
    }
}
