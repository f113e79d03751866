//! Which files of an image say what is installed, and who reads them.
//! In: a path, later the bytes. Out: what they say. Never: a file that no rule here names.

use crate::base::path::RelPath;

use super::debian::Form;
use super::{Corrupt, Package, alpine, debian, golang, npm, python, rust};

/// A kind of file that names packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `/var/lib/dpkg/status`.
    Dpkg,
    /// A file below `/var/lib/dpkg/status.d`, where images without dpkg keep their packages.
    DpkgPart,
    /// `/lib/apk/db/installed`.
    Apk,
    /// rpm's database, which this version cannot read.
    Rpm,
    /// Cargo.lock.
    CargoLock,
    /// go.mod.
    GoMod,
    /// go.sum; counts only where no go.mod lies beside it.
    GoSum,
    /// package-lock.json or npm-shrinkwrap.json.
    NpmLock,
    /// The package.json of an installed package.
    NpmInstalled,
    /// A requirements file.
    Requirements,
    /// poetry.lock or uv.lock.
    PythonLock,
    /// Pipfile.lock.
    PipfileLock,
    /// METADATA or PKG-INFO of an installed package.
    PythonInstalled,
}

/// What a file says.
#[derive(Debug)]
pub enum Reading {
    /// These packages.
    Packages(Vec<Package>),
    /// It describes one package of many, and cannot be read: the list of packages has a gap.
    Gap(Corrupt),
    /// It is the database of all packages and cannot be read: there is no list of packages.
    Failed(Corrupt),
}

/// Where package managers keep what they installed; lock files in there are those of other people's projects.
const INSTALLED: [&[u8]; 6] = [b"node_modules", b"site-packages", b"dist-packages", b".cargo", b"pkg/mod", b"usr/share/doc"];

impl Source {
    /// What a regular file with this path is.
    #[must_use]
    pub fn of(path: &RelPath) -> Option<Self> {
        let bytes = path.as_bytes();
        match bytes {
            b"var/lib/dpkg/status" => return Some(Self::Dpkg),
            b"lib/apk/db/installed" | b"usr/lib/apk/db/installed" => return Some(Self::Apk),
            _ => {}
        }
        if let Some(part) = bytes.strip_prefix(b"var/lib/dpkg/status.d/") {
            return (!part.contains(&b'/') && !part.ends_with(b".md5sums")).then_some(Self::DpkgPart);
        }
        let (folder, name) = match bytes.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&bytes[..slash], &bytes[slash + 1..]),
            None => (&bytes[..0], bytes),
        };
        if matches!(folder, b"var/lib/rpm" | b"usr/lib/sysimage/rpm" | b"usr/share/rpm") {
            return matches!(name, b"Packages" | b"Packages.db" | b"rpmdb.sqlite").then_some(Self::Rpm);
        }
        Self::installed(folder, name).or_else(|| Self::locked(folder, name))
    }

    fn installed(folder: &[u8], name: &[u8]) -> Option<Self> {
        let mut above = folder.rsplit(|byte| *byte == b'/');
        let (parent, second, third) = (above.next()?, above.next(), above.next());
        let modules = Some(&b"node_modules"[..]);
        let in_modules =
            second == modules && !parent.starts_with(b"@") || second.is_some_and(|scope| scope.starts_with(b"@")) && third == modules;
        match name {
            b"package.json" if in_modules => Some(Self::NpmInstalled),
            b"METADATA" if parent.ends_with(b".dist-info") => Some(Self::PythonInstalled),
            b"PKG-INFO" if parent.ends_with(b".egg-info") || parent == b"EGG-INFO" => Some(Self::PythonInstalled),
            _ if name.ends_with(b".egg-info") && name.len() > 9 => Some(Self::PythonInstalled),
            _ => None,
        }
    }

    fn locked(folder: &[u8], name: &[u8]) -> Option<Self> {
        let found = match name {
            b"Cargo.lock" => Self::CargoLock,
            b"go.mod" => Self::GoMod,
            b"go.sum" => Self::GoSum,
            b"package-lock.json" | b"npm-shrinkwrap.json" => Self::NpmLock,
            b"poetry.lock" | b"uv.lock" => Self::PythonLock,
            b"Pipfile.lock" => Self::PipfileLock,
            _ if name.starts_with(b"requirements") && name.ends_with(b".txt") => Self::Requirements,
            _ => return None,
        };
        let around = [b"/", folder, b"/"].concat();
        let is_around = |parts: &&[u8]| {
            around
                .windows(parts.len() + 2)
                .any(|window| window[1..=parts.len()] == **parts && window[0] == b'/' && window[parts.len() + 1] == b'/')
        };
        (!INSTALLED.iter().any(is_around)).then_some(found)
    }

    /// The most bytes that are read of such a file.
    #[must_use]
    pub const fn limit(self) -> u64 {
        match self {
            Self::Rpm => 0,
            Self::DpkgPart | Self::NpmInstalled | Self::PythonInstalled => 4 << 20,
            _ => 64 << 20,
        }
    }

    /// The words for it in a message.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Dpkg | Self::DpkgPart => "the dpkg database",
            Self::Apk => "the apk database",
            Self::Rpm => "the rpm database",
            Self::GoMod | Self::GoSum => "the module file",
            Self::Requirements => "the requirements file",
            Self::NpmInstalled | Self::PythonInstalled => "the package metadata",
            Self::CargoLock | Self::NpmLock | Self::PythonLock | Self::PipfileLock => "the lock file",
        }
    }

    /// Reads such a file; `None` in place of bytes when it was larger than [`Source::limit`].
    #[must_use]
    pub fn read(self, bytes: Option<&[u8]>) -> Reading {
        if self == Self::Rpm {
            return Reading::Gap(Corrupt("is of a kind that kiln does not read".to_owned()));
        }
        let found = match bytes {
            Some(bytes) => self.parse(bytes),
            None => Err(Corrupt(format!("is larger than {}", crate::base::size::ByteSize(self.limit())))),
        };
        match found {
            Ok(packages) => Reading::Packages(packages),
            Err(why) if matches!(self, Self::NpmInstalled | Self::PythonInstalled) => Reading::Gap(why),
            Err(why) => Reading::Failed(why),
        }
    }

    fn parse(self, bytes: &[u8]) -> Result<Vec<Package>, Corrupt> {
        match self {
            Self::Dpkg => debian::parse(bytes, Form::Status),
            Self::DpkgPart => debian::parse(bytes, Form::Part),
            Self::Apk => alpine::parse(bytes),
            Self::Rpm => Ok(Vec::new()),
            Self::CargoLock => rust::parse_lock(bytes),
            Self::GoMod => golang::parse_mod(bytes),
            Self::GoSum => golang::parse_sum(bytes),
            Self::NpmLock => npm::parse_lock(bytes),
            Self::NpmInstalled => npm::parse_installed(bytes).map(|package| package.into_iter().collect()),
            Self::Requirements => python::parse_requirements(bytes),
            Self::PythonLock => python::parse_toml_lock(bytes),
            Self::PipfileLock => python::parse_pipfile_lock(bytes),
            Self::PythonInstalled => python::parse_metadata(bytes).map(|package| vec![package]),
        }
    }
}

/// What `/etc/os-release` says of the distribution: the vendor and `vendor-version`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    /// `ID`, for instance `debian`.
    pub id: String,
    /// `VERSION_ID`; empty for rolling distributions.
    pub version: String,
}

impl Release {
    /// Reads os-release(5); what cannot be read is not there.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut release = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Some((name, value)) = std::str::from_utf8(line).ok().and_then(|line| line.trim().split_once('=')) else { continue };
            let value = value.trim_matches(['"', '\'']);
            match name {
                "ID" if super::is_plain(value) => value.clone_into(&mut release.id),
                "VERSION_ID" if super::is_plain(value) => value.clone_into(&mut release.version),
                _ => {}
            }
        }
        release
    }

    /// `debian-12`; empty when nothing is known.
    #[must_use]
    pub fn distro(&self) -> String {
        if self.version.is_empty() { self.id.clone() } else { format!("{}-{}", self.id, self.version) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_name_packages_are_told_by_their_path() {
        for (path, expected) in [
            ("var/lib/dpkg/status", Some(Source::Dpkg)),
            ("var/lib/dpkg/status.d/base-files", Some(Source::DpkgPart)),
            ("var/lib/dpkg/status.d/base-files.md5sums", None),
            ("var/lib/dpkg/status-old", None),
            ("usr/lib/apk/db/installed", Some(Source::Apk)),
            ("var/lib/rpm/rpmdb.sqlite", Some(Source::Rpm)),
            ("app/Cargo.lock", Some(Source::CargoLock)),
            ("Cargo.lock", Some(Source::CargoLock)),
            ("root/.cargo/registry/src/x/Cargo.lock", None),
            ("app/node_modules/left-pad/package.json", Some(Source::NpmInstalled)),
            ("app/node_modules/@a/b/package.json", Some(Source::NpmInstalled)),
            ("app/node_modules/@a/package.json", None),
            ("app/node_modules/resolve/test/resolver/malformed/package.json", None),
            ("app/package.json", None),
            ("app/node_modules/x/package-lock.json", None),
            ("app/my_node_modules/package-lock.json", Some(Source::NpmLock)),
            ("usr/lib/python3/site-packages/a-1.dist-info/METADATA", Some(Source::PythonInstalled)),
            ("usr/lib/python3/dist-packages/a.egg-info", Some(Source::PythonInstalled)),
            ("usr/lib/python3/dist-packages/a.egg-info/PKG-INFO", Some(Source::PythonInstalled)),
            ("app/requirements-dev.txt", Some(Source::Requirements)),
            ("go/pkg/mod/example.org/x@v1.0.0/go.mod", None),
        ] {
            assert_eq!(Source::of(&RelPath::new(path).unwrap()), expected, "{path}");
        }
    }

    #[test]
    fn a_damaged_database_fails_and_a_damaged_package_is_a_gap() {
        assert!(matches!(Source::Dpkg.read(Some(b"\0")), Reading::Failed(_)));
        assert!(matches!(Source::Apk.read(None), Reading::Failed(Corrupt(why)) if why == "is larger than 64.0 MiB"));
        assert!(matches!(Source::NpmInstalled.read(Some(b"{")), Reading::Gap(_)));
        assert!(matches!(Source::Rpm.read(None), Reading::Gap(_)));
    }

    #[test]
    fn the_distribution_is_read_with_and_without_quotes() {
        for (text, expected) in [("ID=debian\nVERSION_ID=\"12\"\n", "debian-12"), ("PRETTY_NAME='x'\nID='arch'\n", "arch"), ("\u{0}", "")] {
            assert_eq!(Release::parse(text.as_bytes()).distro(), expected);
        }
    }
}
