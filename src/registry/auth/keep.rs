//! Keeps a login where `docker login` keeps it, so that every tool finds it: with the credential helper in charge of the host,
//! else in Docker's config file. Source: docker/cli, "docker login", "Credential stores".
//! In: a host and what was typed. Out: the changed file, with everything else in it as it was.
//! Never: a secret on a command line, a file that others may read.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::sys::{file, folder_lock};

use super::credentials::{ConfigFile, ConfigFiles, CredentialError, FILE_LIMIT, bad_file, clean, names, server_key, tell_helper};

/// Where a login was kept, or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// With this credential helper.
    Helper(String),
    /// In this file, where whoever reads the file reads the password.
    File(PathBuf),
}

impl ConfigFiles {
    /// Keeps a user and a password, or a token in its place, for `host` (`host[:port]`).
    ///
    /// # Errors
    /// [`CredentialError`] when there is no place for a config file, it cannot be read or written, or the helper refuses.
    pub async fn keep(&self, host: &str, user: &str, password: &str) -> Result<Kept, CredentialError> {
        for text in [user, password] {
            clean(text).map_err(|why| CredentialError(format!("what was typed {why}")))?;
        }
        let path = self.first()?;
        if let Some(helper) = config_of(path)?.1.helper(host) {
            let said = json!({ "ServerURL": server_key(host), "Username": user, "Secret": password });
            tell_helper(helper, "store", said.to_string().as_bytes()).await?;
            return Ok(Kept::Helper(helper.to_owned()));
        }
        change(path, |root| {
            let auths = root.entry("auths").or_insert_with(|| json!({}));
            let Some(auths) = auths.as_object_mut() else { return false };
            // One entry for one host, however an older one spelled it.
            auths.retain(|key, _| !names(key, host));
            auths.insert(server_key(host).to_owned(), json!({ "auth": STANDARD.encode(format!("{user}:{password}")) }));
            true
        })?;
        Ok(Kept::File(path.to_owned()))
    }

    /// Removes the login of `host`; `None` when there was none.
    ///
    /// # Errors
    /// As [`ConfigFiles::keep`].
    pub async fn forget(&self, host: &str) -> Result<Option<Kept>, CredentialError> {
        let path = self.first()?;
        let (there, config) = config_of(path)?;
        if let Some(helper) = config.helper(host) {
            let known = tell_helper(helper, "erase", server_key(host).as_bytes()).await?;
            return Ok(known.then(|| Kept::Helper(helper.to_owned())));
        }
        if !there || config.entry(host).is_none() {
            return Ok(None);
        }
        change(path, |root| {
            root.get_mut("auths").and_then(Value::as_object_mut).is_none_or(|auths| {
                auths.retain(|key, _| !names(key, host));
                true
            })
        })?;
        Ok(Some(Kept::File(path.to_owned())))
    }

    fn first(&self) -> Result<&Path, CredentialError> {
        self.files()
            .first()
            .map(PathBuf::as_path)
            .ok_or_else(|| CredentialError("neither DOCKER_CONFIG nor HOME says where logins are kept".to_owned()))
    }
}

/// The file as the reader of credentials understands it, and whether it is there.
fn config_of(path: &Path) -> Result<(bool, ConfigFile), CredentialError> {
    match file::optional(file::read(path, FILE_LIMIT)).map_err(|error| CredentialError(error.to_string()))? {
        Some(bytes) => serde_json::from_slice(&bytes).map(|config| (true, config)).map_err(|error| bad_file(path, &error.to_string())),
        None => Ok((false, ConfigFile::default())),
    }
}

/// Changes the file under a lock, so that of two logins at once neither loses the other's.
fn change(path: &Path, edit: impl FnOnce(&mut Map<String, Value>) -> bool) -> Result<(), CredentialError> {
    let failed = |error: file::FileError| CredentialError(error.to_string());
    let folder = path.parent().unwrap_or(Path::new("/"));
    file::create_dirs(folder.parent().unwrap_or(Path::new("/"))).and_then(|()| file::create_private_dir(folder)).map_err(failed)?;
    let _alone = folder_lock::lock(folder).map_err(failed)?;
    let old = file::optional(file::read(path, FILE_LIMIT)).map_err(failed)?;
    let mut root: Map<String, Value> = match &old {
        Some(bytes) => serde_json::from_slice(bytes).map_err(|error| bad_file(path, &error.to_string()))?,
        None => Map::new(),
    };
    if !edit(&mut root) {
        return Err(bad_file(path, "its `auths` is no object"));
    }
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default().replace("\n  ", "\n\t");
    text.push('\n');
    if old.is_some() { file::replace(path, text.as_bytes()) } else { file::write_private(path, text.as_bytes()) }.map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::registry::auth::credentials::{Credential, CredentialSource as _};

    #[tokio::test]
    async fn a_login_is_found_again_and_leaves_the_rest_of_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker/config.json");
        let config = ConfigFiles::new(vec![path.clone()]);
        assert_eq!(config.keep("ghcr.io", "ada", "p:w").await.unwrap(), Kept::File(path.clone()));
        assert_eq!(file::status(&path).unwrap().permissions().mode() & 0o777, 0o600);
        file::replace(&path, br#"{"psFormat":"x","auths":{"https://ghcr.io/v2/":{"auth":"eDp5"},"quay.io":{"auth":"YTpi"}}}"#).unwrap();
        config.keep("ghcr.io", "ada", "p:w").await.unwrap();
        let text = String::from_utf8(file::read(&path, 1 << 20).unwrap()).unwrap();
        assert!(text.contains("psFormat") && text.contains("quay.io") && !text.contains("https://ghcr.io"), "{text}");
        assert!(config.credential("ghcr.io").await.unwrap() == Credential::password("ada", "p:w"));
        assert_eq!(config.forget("ghcr.io").await.unwrap(), Some(Kept::File(path)));
        assert_eq!(config.forget("ghcr.io").await.unwrap(), None);
        assert!(config.credential("ghcr.io").await.unwrap() == Credential::anonymous());
        assert!(config.credential("quay.io").await.unwrap() == Credential::password("a", "b"));
    }

    #[tokio::test]
    async fn a_file_that_is_not_understood_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        for text in ["{", r#"{"auths":[]}"#, "[]"] {
            file::write_atomic(&path, text.as_bytes(), false).unwrap();
            assert!(ConfigFiles::new(vec![path.clone()]).keep("ghcr.io", "a", "b").await.is_err(), "{text}");
            assert_eq!(file::read(&path, 100).unwrap(), text.as_bytes());
        }
        assert!(ConfigFiles::new(Vec::new()).keep("ghcr.io", "a", "b").await.is_err());
        assert!(ConfigFiles::new(vec![path]).keep("ghcr.io", "a", "b\nc").await.is_err());
    }
}
