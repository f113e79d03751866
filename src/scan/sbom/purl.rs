//! Package URLs: one name for a package in every tool.
//! In: the parts as the ecosystem writes them. Out: the canonical text. Never: a part that reads differently after parsing.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// A package URL. The parts are already normal for their type; [`fmt::Display`] only encodes.
/// Source: package-url specification, "PURL-SPECIFICATION" and the type definitions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purl {
    kind: &'static str,
    namespace: Vec<String>,
    name: String,
    version: Option<String>,
    qualifiers: BTreeMap<&'static str, String>,
}

impl Purl {
    fn new(kind: &'static str, namespace: &str, name: &str, version: &str) -> Self {
        Self {
            kind,
            namespace: namespace.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            name: name.to_owned(),
            version: (!version.is_empty()).then(|| version.to_owned()),
            qualifiers: BTreeMap::new(),
        }
    }

    /// A Debian package; vendor and distribution come later, with [`Purl::of_vendor`].
    #[must_use]
    pub fn deb(name: &str, version: &str) -> Self {
        Self::new("deb", "", &name.to_lowercase(), version)
    }

    /// An Alpine package; vendor and distribution come later, with [`Purl::of_vendor`].
    #[must_use]
    pub fn apk(name: &str, version: &str) -> Self {
        Self::new("apk", "", &name.to_lowercase(), version)
    }

    /// A Rust crate. Names keep their case.
    #[must_use]
    pub fn cargo(name: &str, version: &str) -> Self {
        Self::new("cargo", "", name, version)
    }

    /// A Go module, by its path: lower case, the last part is the name.
    #[must_use]
    pub fn golang(path: &str, version: &str) -> Self {
        let path = path.to_lowercase();
        let path = path.trim_matches('/');
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        Self::new("golang", namespace, name, version)
    }

    /// An npm package, with or without a scope. Old names keep their case.
    #[must_use]
    pub fn npm(name: &str, version: &str) -> Self {
        let (scope, name) = name.split_once('/').filter(|(scope, _)| scope.starts_with('@')).unwrap_or(("", name));
        Self::new("npm", scope, name, version)
    }

    /// A Python package: lower case, `_` is `-`.
    #[must_use]
    pub fn pypi(name: &str, version: &str) -> Self {
        Self::new("pypi", "", &name.to_lowercase().replace('_', "-"), version)
    }

    /// An image; `repository` is its place with the host, the last part of it is the name.
    #[must_use]
    pub fn oci(repository: &str, digest: &str) -> Self {
        let repository = repository.to_lowercase();
        let name = repository.rsplit('/').next().unwrap_or(&repository);
        let purl = Self::new("oci", "", name, digest);
        if repository.contains('/') { purl.with("repository_url", &repository) } else { purl }
    }

    /// Adds a qualifier; an empty value is none, as the specification says.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: &str) -> Self {
        if !value.is_empty() {
            self.qualifiers.insert(key, value.to_owned());
        }
        self
    }

    /// Says whose package it is: the namespace, and `distro`.
    #[must_use]
    pub fn of_vendor(mut self, vendor: &str, distro: &str) -> Self {
        self.namespace = vec![vendor.to_lowercase()];
        self.with("distro", distro)
    }

    /// The type, for instance `deb`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The namespace, `/`-separated; empty where there is none.
    #[must_use]
    pub fn namespace(&self) -> String {
        self.namespace.join("/")
    }

    /// The name, not encoded.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, not encoded.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

/// Encodes one part: letters, digits, `.`, `-`, `_`, `~` and the colon stand for themselves, all else is `%XX` per UTF-8 byte.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte) {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkg:{}/", self.kind)?;
        for part in &self.namespace {
            write!(f, "{}/", Encoded(part))?;
        }
        write!(f, "{}", Encoded(&self.name))?;
        if let Some(version) = &self.version {
            write!(f, "@{}", Encoded(version))?;
        }
        for (index, (key, value)) in self.qualifiers.iter().enumerate() {
            write!(f, "{}{key}={}", if index == 0 { '?' } else { '&' }, Encoded(value))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected texts are those of the specification's own test suite, where it has the case.
    #[test]
    fn package_urls_are_written_as_the_specification_says() {
        for (purl, expected) in [
            (
                Purl::deb("curl", "7.50.3-1").with("arch", "i386").of_vendor("debian", "jessie"),
                "pkg:deb/debian/curl@7.50.3-1?arch=i386&distro=jessie",
            ),
            (
                Purl::deb("attr", "1:2.4.47-2+b1").with("arch", "amd64").of_vendor("Debian", ""),
                "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64",
            ),
            (Purl::deb("libstdc++6", "12").of_vendor("debian", "debian-12"), "pkg:deb/debian/libstdc%2B%2B6@12?distro=debian-12"),
            (Purl::apk("curl", "7.83.0-r0").with("arch", "x86").of_vendor("alpine", ""), "pkg:apk/alpine/curl@7.83.0-r0?arch=x86"),
            (Purl::golang("github.com/Gorilla/Context", "v1.1.1"), "pkg:golang/github.com/gorilla/context@v1.1.1"),
            (
                Purl::golang("github.com/docker/docker", "v20.10.7+incompatible"),
                "pkg:golang/github.com/docker/docker@v20.10.7%2Bincompatible",
            ),
            (Purl::golang("stdlib", "1.22.1"), "pkg:golang/stdlib@1.22.1"),
            (Purl::npm("@angular/animation", "12.3.1"), "pkg:npm/%40angular/animation@12.3.1"),
            (
                Purl::npm("mypackage", "12.4.5").with("vcs_url", "git://host.com/path/to/repo.git@4345abcd34343"),
                "pkg:npm/mypackage@12.4.5?vcs_url=git:%2F%2Fhost.com%2Fpath%2Fto%2Frepo.git%404345abcd34343",
            ),
            (Purl::pypi("Django_package", "1.11.1.dev1"), "pkg:pypi/django-package@1.11.1.dev1"),
            (Purl::cargo("rand", "0.7.2"), "pkg:cargo/rand@0.7.2"),
            (
                Purl::oci("docker.io/library/debian", "sha256:244fd47e07d10").with("arch", "amd64"),
                "pkg:oci/debian@sha256:244fd47e07d10?arch=amd64&repository_url=docker.io%2Flibrary%2Fdebian",
            ),
            (Purl::oci("api", "sha256:244fd47e07d10"), "pkg:oci/api@sha256:244fd47e07d10"),
            (Purl::cargo("a b/ü", ""), "pkg:cargo/a%20b%2F%C3%BC"),
        ] {
            assert_eq!(purl.to_string(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_can_pass_for_another_part(name in "\\PC{1,20}", version in "\\PC{1,20}") {
            let text = Purl::cargo(&name, &version).to_string();
            let rest = text.strip_prefix("pkg:cargo/").unwrap();
            proptest::prop_assert_eq!(rest.matches(['@', '/', '?', '#', '&', '=']).collect::<String>(), "@");
        }
    }
}
