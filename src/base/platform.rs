//! Platforms as OCI has them: `os/arch[/variant]`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An operating system, an architecture and, for some architectures, a variant, in their normal form.
/// Names and events hold one each, nearly always none: so it takes the room of a pointer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Parts {
    os: String,
    arch: String,
    variant: Option<String>,
}

/// A text that is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform")]
pub struct BadPlatform(String);

impl Platform {
    /// `linux`, `windows`, …
    #[must_use]
    pub fn os(&self) -> &str {
        &self.0.os
    }
    /// `amd64`, `arm64`, `arm`, …
    #[must_use]
    pub fn arch(&self) -> &str {
        &self.0.arch
    }
    /// `v7` of `linux/arm/v7`.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.0.variant.as_deref()
    }

    /// The platform of this build of kiln, in OCI's words.
    #[must_use]
    pub fn host() -> Self {
        let (arch, variant) = normal(std::env::consts::ARCH, None);
        let os = if std::env::consts::OS == "macos" { "linux" } else { std::env::consts::OS };
        Self(Arc::new(Parts { os: os.to_owned(), arch, variant }))
    }

    /// A name for paths and step names: `linux-arm-v7`.
    #[must_use]
    pub fn dashed(&self) -> String {
        self.to_string().replace('/', "-")
    }
}

/// Maps the names that compilers and kernels use to those of OCI, as containerd's normalisation does.
fn normal(arch: &str, variant: Option<&str>) -> (String, Option<String>) {
    let arch = arch.to_ascii_lowercase();
    let variant = variant.map(str::to_ascii_lowercase);
    let (name, variant) = match (arch.as_str(), variant.as_deref()) {
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("amd64", Some("v1")) => ("amd64", None),
        ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        ("i386" | "i686" | "x86", _) => ("386", None),
        ("powerpc64le", variant) => ("ppc64le", variant),
        (other, variant) => (other, variant),
    };
    (name.to_owned(), variant.map(str::to_owned))
}

/// The operating systems and architectures that OCI images name (Go's list), for messages.
pub const KNOWN_ARCHITECTURES: &[&str] = &["386", "amd64", "arm", "arm64", "loong64", "mips64le", "ppc64le", "riscv64", "s390x", "wasm"];
const KNOWN_SYSTEMS: &[&str] = &["linux", "windows", "darwin", "freebsd", "wasip1"];

impl FromStr for Platform {
    type Err = BadPlatform;

    /// Reads `linux/arm/v7`, and the short forms that need no quotes in a plan: `arm64`, `arm-v7`, `linux-amd64`.
    fn from_str(text: &str) -> Result<Self, BadPlatform> {
        let bad = || BadPlatform(super::words::shorten(&super::words::visible(text), 60));
        let separator = if text.contains('/') { '/' } else { '-' };
        let parts: Vec<&str> = text.split(separator).collect();
        let word = |part: &&str| {
            !part.is_empty() && part.len() <= 32 && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
        };
        if !parts.iter().all(word) {
            return Err(bad());
        }
        let known_os = |os: &str| KNOWN_SYSTEMS.contains(&os.to_ascii_lowercase().as_str());
        let (os, arch, variant) = match parts.as_slice() {
            [arch] => ("linux", *arch, None),
            [os, arch] if known_os(os) => (*os, *arch, None),
            [arch, variant] if separator == '-' => ("linux", *arch, Some(*variant)),
            [os, arch, variant] if known_os(os) => (*os, *arch, Some(*variant)),
            _ => return Err(bad()),
        };
        let (arch, variant) = normal(arch, variant);
        if !KNOWN_ARCHITECTURES.contains(&arch.as_str()) {
            return Err(bad());
        }
        Ok(Self(Arc::new(Parts { os: os.to_ascii_lowercase(), arch, variant })))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os(), self.arch())?;
        self.variant().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_forms_are_the_same_platform() {
        for (text, expected) in [
            ("amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("arm-v7", "linux/arm/v7"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux-amd64", "linux/amd64"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(text.parse::<Platform>().map(|platform| platform.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_platform_cannot_be_a_path() {
        for text in ["", "linux/../../x", "linux/", "/amd64", "linux/amd64/v1/x", "amd46", "linux amd64", "linux/\u{1b}"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }
}
