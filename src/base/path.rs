//! Paths inside the project: normal, `/`-separated, below the root. Names are bytes, as the kernel has them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path below the project's root. Never absolute, never with `.` or `..`, never with a trailing slash.
/// The root itself is the empty path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Arc<[u8]>);

/// Why a text is not a path inside the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It begins with `/`.
    #[error("is absolute; write it relative to the plan")]
    Absolute,
    /// It leads out of the root.
    #[error("leads out of the project")]
    Outside,
    /// It holds a NUL byte.
    #[error("holds a NUL byte")]
    Nul,
    /// It is longer than the kernel accepts.
    #[error("is longer than 4096 bytes, or has a name longer than 255 bytes")]
    TooLong,
}

impl RelPath {
    /// The root of the project.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(&[][..]))
    }

    /// Normalises `text`: drops `.` and empty parts, resolves `..` against the parts before it.
    ///
    /// # Errors
    /// [`BadPath`] when the path is absolute, leaves the root, holds NUL, or is too long for the kernel.
    pub fn new(text: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let bytes = text.as_ref();
        if bytes.contains(&0) {
            return Err(BadPath::Nul);
        }
        if bytes.first() == Some(&b'/') {
            return Err(BadPath::Absolute);
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in bytes.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop().ok_or(BadPath::Outside)?;
                }
                name if name.len() > 255 => return Err(BadPath::TooLong),
                name => parts.push(name),
            }
        }
        let joined = parts.join(&b'/');
        if joined.len() > 4096 {
            return Err(BadPath::TooLong);
        }
        Ok(Self(joined.into()))
    }

    /// The bytes, as the kernel has them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For calls to `sys`.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The text, where the name is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends one name or a relative path.
    ///
    /// # Errors
    /// [`BadPath`] as for [`RelPath::new`].
    pub fn join(&self, more: impl AsRef<[u8]>) -> Result<Self, BadPath> {
        let more = more.as_ref();
        if more.first() == Some(&b'/') {
            return Err(BadPath::Absolute);
        }
        let mut bytes = self.0.to_vec();
        bytes.push(b'/');
        bytes.extend_from_slice(more);
        Self::new(bytes.strip_prefix(b"/").unwrap_or(&bytes))
    }

    /// Appends a single name, as a folder lists it: neither `.` nor `..`.
    ///
    /// # Errors
    /// [`BadPath`] as for [`RelPath::new`].
    pub fn child(&self, name: &[u8]) -> Result<Self, BadPath> {
        if name.is_empty() || name.contains(&b'/') || matches!(name, b"." | b"..") {
            return self.join(name);
        }
        if name.contains(&0) {
            return Err(BadPath::Nul);
        }
        let length = if self.is_root() { name.len() } else { self.0.len() + 1 + name.len() };
        if name.len() > 255 || length > 4096 {
            return Err(BadPath::TooLong);
        }
        let mut bytes = Vec::with_capacity(length);
        if !self.is_root() {
            bytes.extend_from_slice(&self.0);
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Ok(Self(bytes.into()))
    }

    /// The path without its last name; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.above().into()))
    }

    /// The bytes of the path without its last name: of [`RelPath::parent`], where nothing has to be kept of it.
    #[must_use]
    pub fn above(&self) -> &[u8] {
        &self.0[..self.0.iter().rposition(|byte| *byte == b'/').unwrap_or(0)]
    }

    /// The last name; `None` for the root.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        if self.is_root() { None } else { self.0.rsplit(|byte| *byte == b'/').next() }
    }

    /// What is left of this path below `base`; `None` when it does not lie there. The path itself gives the root.
    #[must_use]
    pub fn below(&self, base: &Self) -> Option<Self> {
        if base.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(base.as_bytes())?;
        match rest.first() {
            None => Some(Self::root()),
            Some(b'/') => Some(Self(rest[1..].into())),
            Some(_) => None,
        }
    }

    /// Whether this path is `base` or lies below it.
    #[must_use]
    pub fn is_within(&self, base: &Self) -> bool {
        let (own, base) = (self.as_bytes(), base.as_bytes());
        base.is_empty() || own.strip_prefix(base).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == b'/'))
    }

    /// A reversible text: backslashes, control characters and bytes that are not UTF-8 are escaped.
    #[must_use]
    pub fn escaped(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' {
                    text.push_str("\\\\");
                } else if super::words::is_hidden(c) {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        let _ = write!(text, "\\x{byte:02x}");
                    }
                } else {
                    text.push(c);
                }
            }
            for byte in chunk.invalid() {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
        text
    }

    /// Reads what [`RelPath::escaped`] wrote.
    ///
    /// # Errors
    /// [`BadPath`] as for [`RelPath::new`]; an unfinished escape stands for itself.
    pub fn from_escaped(text: &str) -> Result<Self, BadPath> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            match (first, tail) {
                (b'\\', [b'\\', tail @ ..]) => {
                    bytes.push(b'\\');
                    rest = tail;
                }
                (b'\\', [b'x', high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    let digit = |d: &u8| char::from(*d).to_digit(16).map_or(0, |v| v as u8);
                    bytes.push(digit(high) << 4 | digit(low));
                    rest = tail;
                }
                _ => {
                    bytes.push(*first);
                    rest = tail;
                }
            }
        }
        Self::new(bytes)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { f.write_str(&self.escaped()) }
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({self})")
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str(&self.escaped()) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            return Self::from_escaped(&text).map_err(serde::de::Error::custom);
        }
        let bytes = <&'de [u8]>::deserialize(deserializer)?;
        let usual = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && part.len() <= 255 && !part.contains(&0);
        if bytes.is_empty() || (bytes.len() <= 4096 && bytes.split(|byte| *byte == b'/').all(usual)) {
            Ok(Self(bytes.into()))
        } else {
            Err(serde::de::Error::custom("not a path in its normal form"))
        }
    }
}

/// An absolute path of this machine. Used by `sys` and the floors above it; never part of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsPath(PathBuf);

impl AbsPath {
    /// Wraps a path that is absolute; `None` otherwise.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Option<Self> {
        let path = path.into();
        path.is_absolute().then_some(Self(path))
    }

    /// For calls to `sys`.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The place of a project path below this directory.
    #[must_use]
    pub fn at(&self, path: &RelPath) -> Self {
        if path.is_root() { self.clone() } else { Self(self.0.join(path.as_path())) }
    }

    /// The path of the project that is at `path`, the other way round; `None` for a place that is not below this directory.
    #[must_use]
    pub fn below(&self, path: impl AsRef<Path>) -> Option<RelPath> {
        RelPath::new(path.as_ref().strip_prefix(&self.0).ok()?.as_os_str().as_bytes()).ok()
    }

    /// One more name.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> Self {
        Self(self.0.join(name))
    }

    /// The directory that holds this path.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(|parent| Self(parent.to_owned()))
    }
}

impl AsRef<Path> for AbsPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::words::visible(&self.0.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_what_joining_its_name_gives() {
        let deep = RelPath::new(["n".repeat(255).as_str(); 15].join("/")).unwrap();
        let long = "n".repeat(256);
        for above in [RelPath::root(), RelPath::new("a/b").unwrap(), deep] {
            for name in ["x", "...", " ", "\n", "", ".", "..", "x/y", "/", "a\0b", &long, &long[..255]] {
                assert_eq!(above.child(name.as_bytes()), above.join(name), "{above:?} {name:?}");
            }
        }
    }

    #[test]
    fn paths_are_normalised_and_confined() {
        for (text, expected) in [
            ("a/b", Ok("a/b")),
            ("./a//b/", Ok("a/b")),
            ("a/../b", Ok("b")),
            ("", Ok("")),
            ("..", Err(BadPath::Outside)),
            ("a/../../b", Err(BadPath::Outside)),
            ("/etc", Err(BadPath::Absolute)),
            ("a\0", Err(BadPath::Nul)),
        ] {
            assert_eq!(RelPath::new(text).map(|path| path.escaped()), expected.map(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn every_byte_of_a_name_survives_the_text_form() {
        for name in [&b"a b\n-x\\"[..], b"\xff\xfe", b"\\x41", "ü\u{202e}".as_bytes()] {
            let path = RelPath::new(name).unwrap();
            assert_eq!(RelPath::from_escaped(&path.escaped()), Ok(path));
        }
    }

    #[test]
    fn a_sibling_with_a_longer_name_is_not_below() {
        let path = |text| RelPath::new(text).unwrap();
        assert_eq!(path("dist/a").below(&path("dist")), Some(path("a")));
        assert_eq!(path("distant").below(&path("dist")), None);
        assert!(path("dist").is_within(&path("dist")));
    }
}
