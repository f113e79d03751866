//! Digests that carry their algorithm and their meaning in the type, so that a key is never taken for a blob.

use std::fmt;
use std::hash::{Hash, Hasher as StdHasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// A hash function with 32 bytes of output.
pub trait Algorithm: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// The name that stands before the colon, as OCI and REAPI write it.
    const NAME: &'static str;
    /// The running state.
    type State: Default + Send;
    /// Takes more bytes in.
    fn update(state: &mut Self::State, bytes: &[u8]);
    /// Closes the state.
    fn finish(state: Self::State) -> [u8; 32];
    /// All in one: an algorithm may have a faster way when it sees the end.
    fn of(bytes: &[u8]) -> [u8; 32] {
        let mut state = Self::State::default();
        Self::update(&mut state, bytes);
        Self::finish(state)
    }
}

/// BLAKE3: keys and the content of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blake3 {}

/// SHA-256: everything that OCI and the Remote Execution API name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sha256 {}

impl Algorithm for Blake3 {
    const NAME: &'static str = "blake3";
    type State = blake3::Hasher;
    fn update(state: &mut Self::State, bytes: &[u8]) {
        state.update(bytes);
    }
    fn finish(state: Self::State) -> [u8; 32] {
        *state.finalize().as_bytes()
    }
    fn of(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }
}

impl Algorithm for Sha256 {
    const NAME: &'static str = "sha256";
    type State = sha2::Sha256;
    fn update(state: &mut Self::State, bytes: &[u8]) {
        state.update(bytes);
    }
    fn finish(state: Self::State) -> [u8; 32] {
        state.finalize().into()
    }
}

/// The output of algorithm `A`. Printed and stored as `name:hex`, lower case.
pub struct Digest<A>([u8; 32], PhantomData<A>);

impl<A> Clone for Digest<A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A> Copy for Digest<A> {}
impl<A> PartialEq for Digest<A> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<A> Eq for Digest<A> {}
impl<A> PartialOrd for Digest<A> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<A> Ord for Digest<A> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<A> Hash for Digest<A> {
    fn hash<H: StdHasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<A: Algorithm> Digest<A> {
    /// Hashes `bytes` in one call.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_bytes(A::of(bytes))
    }

    /// Wraps the raw output of the hash function.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes, PhantomData)
    }

    /// The 32 raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        self.digits().iter().copied().map(char::from).collect()
    }

    /// The 64 digits. Each key is made of many digests in words, so they are told without a formatter.
    fn digits(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        for (two, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *two = [byte >> 4, byte & 15].map(|half| b"0123456789abcdef"[usize::from(half)]);
        }
        digits
    }

    /// Writes what `Display` shows behind other bytes, without a formatter: for the many lines of a journal.
    pub fn push_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(A::NAME.as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(&self.digits());
    }

    /// The first 12 hexadecimal digits: enough to tell two apart on a screen, never enough to look one up.
    #[must_use]
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }

    /// Reads 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`BadDigest`] for anything else; upper case is refused, as the OCI image specification says.
    pub fn from_hex(hex: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest { text: words_of(hex), algorithm: A::NAME };
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(bad());
        }
        let mut bytes = [0_u8; 32];
        for (index, pair) in digits.chunks_exact(2).enumerate() {
            let value = |digit: u8| match digit {
                b'0'..=b'9' => Some(digit - b'0'),
                b'a'..=b'f' => Some(digit - b'a' + 10),
                _ => None,
            };
            match (value(pair[0]), value(pair[1])) {
                (Some(high), Some(low)) => bytes[index] = high << 4 | low,
                _ => return Err(bad()),
            }
        }
        Ok(Self::from_bytes(bytes))
    }
}

fn words_of(text: &str) -> String {
    super::words::shorten(&super::words::visible(text), 80)
}

/// A text that is not a digest of the wanted algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: expected `{algorithm}:` and 64 lower-case hexadecimal digits")]
pub struct BadDigest {
    text: String,
    algorithm: &'static str,
}

impl<A: Algorithm> FromStr for Digest<A> {
    type Err = BadDigest;
    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest { text: words_of(text), algorithm: A::NAME };
        let (name, hex) = text.split_once(':').ok_or_else(bad)?;
        if name != A::NAME {
            return Err(bad());
        }
        Self::from_hex(hex).map_err(|_| bad())
    }
}

impl<A: Algorithm> fmt::Display for Digest<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [A::NAME, ":", str::from_utf8(&self.digits()).unwrap_or_default()] {
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl<A: Algorithm> fmt::Debug for Digest<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<A: Algorithm> Serialize for Digest<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.as_bytes().serialize(serializer) }
    }
}

impl<'de, A: Algorithm> Deserialize<'de> for Digest<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(Self::from_bytes);
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes bytes as they come.
pub struct Hasher<A: Algorithm>(A::State);

impl<A: Algorithm> Hasher<A> {
    /// An empty state.
    #[must_use]
    pub fn new() -> Self {
        Self(A::State::default())
    }
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        A::update(&mut self.0, bytes);
    }
    /// Closes the state.
    #[must_use]
    pub fn finish(self) -> Digest<A> {
        Digest::from_bytes(A::finish(self.0))
    }
}

impl<A: Algorithm> Default for Hasher<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Algorithm> std::io::Write for Hasher<A> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Gives a digest a meaning of its own.
macro_rules! meaning {
    ($($(#[$doc:meta])* $name:ident($algorithm:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest<$algorithm>);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = BadDigest;
            fn from_str(text: &str) -> Result<Self, BadDigest> {
                text.parse().map(Self)
            }
        }
    )*};
}

meaning! {
    /// The digest of everything that can change the result of an action.
    ActionKey(Blake3);
    /// The digest of what a plan says and of the sources it names, before anything runs.
    PlanDigest(Blake3);
    /// The bytes of a file that a step read or wrote.
    ContentDigest(Blake3);
    /// A blob as an OCI registry names it: a config, a manifest or a compressed layer.
    BlobDigest(Sha256);
    /// A layer before compression: what a config lists in `rootfs.diff_ids`.
    DiffId(Sha256);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_printing_and_parsing() {
        let digest = Digest::<Sha256>::of(b"");
        assert_eq!(digest.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().parse::<Digest<Sha256>>(), Ok(digest));
    }

    #[test]
    fn hostile_digests_are_refused() {
        let hex = "a".repeat(64);
        for text in [
            "",
            "sha256:",
            "sha256:../../etc",
            &hex,
            &format!("sha512:{hex}"),
            &format!("blake3:{hex}"),
            &format!("sha256:{}", "A".repeat(64)),
            &format!("sha256:{hex}a"),
            &format!("SHA256:{hex}"),
            &format!(" sha256:{hex}"),
        ] {
            assert!(text.parse::<Digest<Sha256>>().is_err(), "{text}");
        }
    }
}
