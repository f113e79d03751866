//! Certificates for single registries: authorities beside those of the system, and what kiln shows of itself.
//! In: files that a plan names for a host, and the folders of Docker and podman. Out: what connections to that host take.
//! Never: a certificate for another host, a key in a message. Source: Docker, "Verify repository client with certificates".

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity};

use crate::base::words::visible;
use crate::sys::{env, file};

use super::error::Fault;

/// The largest file of certificates, in bytes.
const LIMIT: u64 = 1 << 20;

/// Files for one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// PEM files with certificates of authorities.
    pub authorities: Vec<PathBuf>,
    /// The certificate that kiln shows, and its key where that lies in a file of its own.
    pub own: Option<(PathBuf, Option<PathBuf>)>,
}

/// Where certificates come from.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    named: BTreeMap<String, Files>,
    folders: Vec<PathBuf>,
}

/// What connections to a host take.
pub(super) struct Loaded {
    pub authorities: Vec<Certificate>,
    pub own: Option<Identity>,
}

impl Trust {
    /// Files by host (`host[:port]`), and folders that hold one folder per host; an earlier one counts before a later one.
    #[must_use]
    pub fn new(named: BTreeMap<String, Files>, folders: Vec<PathBuf>) -> Self {
        Self { named, folders }
    }

    /// The folders of this machine: those of the user, of podman, of Docker.
    #[must_use]
    pub fn of_machine(named: BTreeMap<String, Files>) -> Self {
        let own = env::config_folder();
        let own = own.iter().flat_map(|config| [config.join("containers/certs.d"), config.join("docker/certs.d")]);
        let machine = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        Self::new(named, own.chain(machine).collect())
    }

    /// What connections to this host take beyond the system's certificates; `None` when there is nothing.
    pub(super) fn of(&self, host: &str) -> Result<Option<Loaded>, Fault> {
        let mut files = self.named.get(host).cloned().unwrap_or_default();
        for folder in &self.folders {
            if files != Files::default() {
                break;
            }
            // A host has no `/` and does not begin with a dot, so it leads to no other folder.
            files = in_folder(&folder.join(host))?;
        }
        if files == Files::default() {
            return Ok(None);
        }
        let mut authorities = Vec::new();
        for path in &files.authorities {
            let found = Certificate::from_pem_bundle(&read(path)?).map_err(|_| bad(path, "is no PEM file"))?;
            if found.is_empty() {
                return Err(bad(path, "holds no certificate"));
            }
            authorities.extend(found);
        }
        let own = match &files.own {
            Some((certificate, key)) => {
                let mut pem = read(certificate)?;
                if let Some(key) = key {
                    pem.push(b'\n');
                    pem.extend(read(key)?);
                }
                let why = "and its key are no PEM files with one certificate chain and one key";
                Some(Identity::from_pem(&pem).map_err(|_| bad(certificate, why))?)
            }
            None => None,
        };
        Ok(Some(Loaded { authorities, own }))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    file::read(path, LIMIT).map_err(|error| Fault::Certificates(error.to_string()))
}

fn bad(path: &Path, why: &str) -> Fault {
    Fault::Certificates(format!("`{}` {why}", visible(&path.to_string_lossy())))
}

/// `*.crt` are authorities; `NAME.cert` with `NAME.key` is what is shown.
fn in_folder(folder: &Path) -> Result<Files, Fault> {
    let unreadable = |error: file::FileError| Fault::Certificates(error.to_string());
    let mut names = file::optional(file::names(folder)).map_err(unreadable)?.unwrap_or_default();
    names.sort();
    let mut files = Files::default();
    for path in names.iter().map(|name| folder.join(OsStr::from_bytes(name))) {
        match path.extension().and_then(OsStr::to_str) {
            Some("crt") => files.authorities.push(path),
            Some("cert") if files.own.is_none() => {
                let key = path.with_extension("key");
                files.own = Some((path, Some(key)));
            }
            _ => {}
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_read_as_docker_reads_them_and_for_their_own_host_only() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("reg.example.com:5000");
        file::create_dirs(&host).unwrap();
        for name in ["b.crt", "a.crt", "me.cert", "me.key", "README"] {
            file::write_atomic(host.join(name), b"x", false).unwrap();
        }
        let path = |name: &str| host.join(name);
        let expected = Files { authorities: vec![path("a.crt"), path("b.crt")], own: Some((path("me.cert"), Some(path("me.key")))) };
        assert_eq!(in_folder(&host).unwrap(), expected);
        let trust = Trust::new(BTreeMap::new(), vec![folder.path().join("missing"), folder.path().to_owned()]);
        assert!(matches!(trust.of("reg.example.com"), Ok(None)));
        let Err(Fault::Certificates(why)) = trust.of("reg.example.com:5000") else { panic!("it is no certificate") };
        assert!(why.contains("a.crt") && why.contains("holds no certificate"), "{why}");
    }

    #[test]
    fn what_a_plan_names_counts_before_the_folders_and_must_be_there() {
        let named = Files { authorities: vec!["/nowhere/ca.pem".into()], own: None };
        let trust = Trust::new([("r.example.com".to_owned(), named)].into(), Vec::new());
        let Err(Fault::Certificates(why)) = trust.of("r.example.com") else { panic!("it is not there") };
        assert!(why.contains("/nowhere/ca.pem"), "{why}");
        assert!(matches!(trust.of("other.example.com"), Ok(None)));
    }
}
