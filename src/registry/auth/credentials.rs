//! Credentials of this machine: the Docker config, podman's `auth.json`, and the helpers that they name.
//! In: a registry's host. Out: its [`Credential`], anonymous when none is known.
//! Never: another host's credential, a guess after a helper failed, a secret in a message or a debug print.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use indexmap::IndexMap;
use serde::Deserialize;

use crate::base::forms;
use crate::base::words::{shorten, visible};
use crate::sys::{env, file, helper};

/// What a registry is told about who asks. It has no `Display`, and its debug form is blank.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credential(pub(in crate::registry) Kind);

/// The kinds of credentials. Without a debug form: it holds secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Kind {
    /// None.
    #[default]
    Anonymous,
    /// A user, and a password or a token in its place.
    Password {
        /// The name.
        user: String,
        /// The secret.
        password: String,
    },
    /// A long-lived token that the token server turns into short-lived ones.
    Identity(String),
    /// A token that the registry takes as it is.
    Bearer(String),
}

impl Credential {
    /// Nobody in particular.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self(Kind::Anonymous)
    }

    /// A user with a password, or with a token in its place.
    #[must_use]
    pub fn password(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Kind::Password { user: user.into(), password: password.into() })
    }

    /// An identity token. Source: distribution, "Token Authentication Specification", OAuth 2.
    #[must_use]
    pub fn identity(token: impl Into<String>) -> Self {
        Self(Kind::Identity(token.into()))
    }

    /// The secret itself, for whoever carries it to a registry.
    #[must_use]
    pub fn reveal(&self) -> &Kind {
        &self.0
    }

    /// Takes every form of the secret out of a text that someone else wrote.
    pub(in crate::registry) fn scrub(&self, text: &str) -> String {
        let mut secrets = match &self.0 {
            Kind::Anonymous => Vec::new(),
            Kind::Password { user, password } => {
                let mut forms = forms_of(password);
                forms.push(STANDARD.encode(format!("{user}:{password}")));
                forms
            }
            Kind::Identity(token) | Kind::Bearer(token) => forms_of(token),
        };
        secrets.retain(|secret| secret.len() >= 4);
        // The longest first: one form may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| without(&text, secret))
    }
}

/// A secret as it is, and as somebody may have written it down. A value that is not text has no form in a text.
fn forms_of(secret: &str) -> Vec<String> {
    forms::of(secret.as_bytes()).into_iter().filter_map(|form| String::from_utf8(form).ok()).collect()
}

/// A text without a secret, whose digits may stand there in upper or lower case.
fn without(text: &str, secret: &str) -> String {
    let (lower, wanted) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let (mut clean, mut from) = (String::new(), 0);
    for (at, _) in lower.match_indices(&wanted) {
        clean.push_str(&text[from..at]);
        clean.push_str("***");
        from = at + wanted.len();
    }
    clean + &text[from..]
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// Why the credentials of a host cannot be told. Lower case, one sentence, no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CredentialError(pub String);

/// Where credentials come from.
pub trait CredentialSource: Send + Sync {
    /// The credential for `host` (`host[:port]`, `docker.io` for Docker Hub), anonymous when none is known.
    ///
    /// The future fails with [`CredentialError`] when a file or a helper that is in charge of the host fails.
    fn credential<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Credential, CredentialError>>;
}

/// Nobody logs in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    fn credential<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(std::future::ready(Ok(Credential::anonymous())))
    }
}

/// How long a credential helper may take.
const HELPER_LIMIT: Duration = Duration::from_secs(10);
/// The largest config file that is read, in bytes.
pub(super) const FILE_LIMIT: u64 = 1 << 20;

/// Docker's config file and podman's, in the order in which they are asked.
#[derive(Debug, Clone)]
pub struct ConfigFiles {
    files: Vec<PathBuf>,
}

impl ConfigFiles {
    /// Asks these files, the first one first.
    #[must_use]
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files }
    }

    /// The files of this machine: `$REGISTRY_AUTH_FILE`, then `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`,
    /// then podman's `auth.json` below `$XDG_RUNTIME_DIR` and `~/.config`.
    #[must_use]
    pub fn of_machine() -> Self {
        let dir = |name: &str| env::var_os(name).map(PathBuf::from);
        let docker = dir("DOCKER_CONFIG").or_else(|| dir("HOME").map(|home| home.join(".docker")));
        let podman = [dir("XDG_RUNTIME_DIR"), env::config_folder()].into_iter().flatten().map(|dir| dir.join("containers/auth.json"));
        let files = dir("REGISTRY_AUTH_FILE").into_iter().chain(docker.map(|dir| dir.join("config.json"))).chain(podman);
        Self::new(files.collect())
    }

    /// In the order in which they are asked.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    async fn find(&self, host: &str) -> Result<Credential, CredentialError> {
        for path in &self.files {
            let Some(bytes) = file::optional(file::read(path, FILE_LIMIT)).map_err(|error| CredentialError(error.to_string()))? else {
                continue;
            };
            let config: ConfigFile = serde_json::from_slice(&bytes).map_err(|error| bad_file(path, &error.to_string()))?;
            if let Some(name) = config.helper(host)
                && let Some(found) = ask_helper(name, host).await?
            {
                return Ok(found);
            }
            if let Some(entry) = config.entry(host)
                && let Some(found) = entry.credential().map_err(|why| bad_file(path, &format!("the entry for `{host}` {why}")))?
            {
                return Ok(found);
            }
        }
        Ok(Credential::anonymous())
    }
}

pub(super) fn bad_file(path: &std::path::Path, why: &str) -> CredentialError {
    CredentialError(format!("cannot read `{}`: {why}", visible(&path.to_string_lossy())))
}

impl CredentialSource for ConfigFiles {
    fn credential<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(self.find(host))
    }
}

/// The parts of Docker's `config.json` that are about registries.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigFile {
    #[serde(default)]
    auths: IndexMap<String, Entry>,
    #[serde(default)]
    cred_helpers: IndexMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

impl ConfigFile {
    /// The helper in charge of a host: its own, else the one for all.
    pub(super) fn helper(&self, host: &str) -> Option<&str> {
        let own = self.cred_helpers.get(host).or_else(|| self.cred_helpers.iter().find(|(key, _)| names(key, host)).map(|(_, name)| name));
        own.or(self.creds_store.as_ref()).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(super) fn entry(&self, host: &str) -> Option<&Entry> {
        self.auths.get(host).or_else(|| self.auths.iter().find(|(key, _)| names(key, host)).map(|(_, entry)| entry))
    }
}

/// Whether a key of a config file names exactly this host: `https://ghcr.io/v2/` does, `ghcr.io/acme` and `my-ghcr.io` do not.
pub(super) fn names(key: &str, host: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (name, path) = bare.split_once('/').unwrap_or((bare, ""));
    if !matches!(path.trim_end_matches('/'), "" | "v1" | "v2") {
        return false;
    }
    let name = name.to_ascii_lowercase();
    name == host || host == "docker.io" && matches!(name.as_str(), "index.docker.io" | "registry-1.docker.io")
}

impl Entry {
    /// The credential of the entry, `None` when it is one of the empty ones that Docker leaves beside a helper.
    fn credential(&self) -> Result<Option<Credential>, &'static str> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential(Kind::Bearer(clean(&self.registrytoken)?))));
        }
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential(Kind::Identity(clean(&self.identitytoken)?))));
        }
        let (user, password) = if self.auth.is_empty() {
            (self.username.clone(), self.password.clone())
        } else {
            let bytes = STANDARD.decode(self.auth.trim()).map_err(|_| "has an `auth` that is not base64")?;
            let text = String::from_utf8(bytes).map_err(|_| "has an `auth` that is not text")?;
            let (user, password) = text.split_once(':').ok_or("has an `auth` without a colon")?;
            (user.to_owned(), password.trim_end_matches('\0').to_owned())
        };
        if user.is_empty() && password.is_empty() {
            return Ok(None);
        }
        Ok(Some(Credential::password(clean(&user)?, clean(&password)?)))
    }
}

/// Line ends and NUL could start a second header or a second line of a protocol.
pub(super) fn clean(text: &str) -> Result<String, &'static str> {
    if text.contains(['\r', '\n', '\0']) { Err("holds a line end or a NUL byte") } else { Ok(text.to_owned()) }
}

/// What `docker-credential-NAME get` answers. Source: docker-credential-helpers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// The words with which every helper says that it knows nothing of a host.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// What a host is called in Docker's config and towards its helpers.
pub(super) fn server_key(host: &str) -> &str {
    if host == "docker.io" { "https://index.docker.io/v1/" } else { host }
}

/// The program behind a helper's name.
fn program_of(name: &str) -> Result<String, CredentialError> {
    let program = format!("docker-credential-{}", shorten(&visible(name), 60));
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(CredentialError(format!("the credential helper `{program}` has a name that is not a program's")));
    }
    Ok(program)
}

async fn ask_helper(name: &str, host: &str) -> Result<Option<Credential>, CredentialError> {
    ask_program(&program_of(name)?, host).await
}

/// Lets a helper `store` or `erase`; `false` when it knows nothing of the host.
pub(super) async fn tell_helper(name: &str, verb: &str, input: &[u8]) -> Result<bool, CredentialError> {
    Ok(talk(&program_of(name)?, verb, input).await?.is_some())
}

/// One word to a helper: what it answers, or `None` when it knows nothing of the host.
async fn talk(program: &str, verb: &str, input: &[u8]) -> Result<Option<Vec<u8>>, CredentialError> {
    let failed = |why: &str| CredentialError(format!("the credential helper `{program}` {why}"));
    let output = helper::run(program, verb, input, HELPER_LIMIT).await.map_err(|error| failed(&format!("failed: {error}")))?;
    if output.success {
        return Ok(Some(output.stdout));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    if text.trim() == NOT_FOUND {
        return Ok(None);
    }
    // What it wrote may hold anything, so only its first line is shown.
    let line = shorten(&visible(text.trim().lines().next().unwrap_or_default()), 120);
    Err(failed(&if line.is_empty() { "failed without a word".to_owned() } else { format!("failed: {line}") }))
}

async fn ask_program(program: &str, host: &str) -> Result<Option<Credential>, CredentialError> {
    let failed = |why: &str| CredentialError(format!("the credential helper `{program}` {why}"));
    let key = server_key(host);
    clean(key).map_err(|why| failed(&format!("was not asked: the host {why}")))?;
    let Some(said) = talk(program, "get", key.as_bytes()).await? else { return Ok(None) };
    let answer: Answer = serde_json::from_slice(&said).map_err(|_| failed("gave an answer that is not its protocol's"))?;
    let (user, secret) = (clean(&answer.username), clean(&answer.secret));
    let (user, secret) = user.and_then(|user| Ok((user, secret?))).map_err(|why| failed(&format!("gave an answer that {why}")))?;
    Ok(match (user.as_str(), secret.is_empty()) {
        ("", true) => None,
        ("<token>", _) => Some(Credential::identity(secret)),
        _ => Some(Credential::password(user, secret)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ConfigFile {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_host_gets_its_own_entry_and_no_other() {
        let config = config(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"aHViOnB3"},"ghcr.io":{"auth":"Z2g6cHc6eDo="},
                "reg.example.com:5000":{"username":"u","password":"p"},"https://quay.io/v2/":{"identitytoken":"idt"},
                "quay.io/acme":{"auth":"YTpi"},"empty.io":{}}}"#,
        );
        for (host, expected) in [
            ("docker.io", Some(Credential::password("hub", "pw"))),
            ("ghcr.io", Some(Credential::password("gh", "pw:x:"))),
            ("reg.example.com:5000", Some(Credential::password("u", "p"))),
            ("reg.example.com", None),
            ("quay.io", Some(Credential::identity("idt"))),
            ("my-ghcr.io", None),
            ("ghcr.io.evil.com", None),
            ("empty.io", None),
        ] {
            assert!(config.entry(host).and_then(|entry| entry.credential().unwrap()) == expected, "{host}");
        }
    }

    #[test]
    fn a_host_gets_its_own_helper_before_the_one_for_all() {
        let both = config(r#"{"credHelpers":{"https://ghcr.io":"gh"},"credsStore":"desktop"}"#);
        assert_eq!((both.helper("ghcr.io"), both.helper("quay.io")), (Some("gh"), Some("desktop")));
        let one = config(r#"{"credHelpers":{"ghcr.io":"gh"}}"#);
        assert_eq!((one.helper("ghcr.io"), one.helper("quay.io")), (Some("gh"), None));
    }

    #[test]
    fn entries_that_could_forge_a_header_are_refused() {
        let auth = STANDARD.encode("user:pass\r\nX-Evil: 1");
        for text in [format!(r#"{{"auth":"{auth}"}}"#), r#"{"auth":"!!"}"#.to_owned(), r#"{"identitytoken":"a\nb"}"#.to_owned()] {
            let entry: Entry = serde_json::from_str(&text).unwrap();
            assert!(entry.credential().is_err(), "{text}");
        }
    }

    #[test]
    fn a_credential_never_shows_itself() {
        let credential = Credential::password("user", "canary-secret");
        assert_eq!(format!("{credential:?}"), "Credential(…)");
        let echoed = format!("bad password canary-secret ({})", STANDARD.encode("user:canary-secret"));
        assert_eq!(credential.scrub(&echoed), "bad password *** (***)");
    }

    #[tokio::test]
    async fn a_helper_is_believed_only_when_it_keeps_to_its_protocol() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("helper");
        let identity = r#"printf '{"Username":"<token>","Secret":"idt"}'"#;
        let hub = r#"test "$(cat)" = https://index.docker.io/v1/ && printf '{"Username":"u","Secret":"p"}'"#;
        for (script, host, expected) in [
            (hub, "docker.io", Ok(Some(Credential::password("u", "p")))),
            (identity, "ghcr.io", Ok(Some(Credential::identity("idt")))),
            ("echo credentials not found in native keychain; exit 1", "ghcr.io", Ok(None)),
            ("echo the keychain is locked; exit 1", "ghcr.io", Err("failed: the keychain is locked")),
            ("kill -SEGV $$", "ghcr.io", Err("failed without a word")),
            ("echo canary", "ghcr.io", Err("gave an answer that is not its protocol's")),
            (r#"printf %s '{"Username":"u","Secret":"a\nb"}'"#, "ghcr.io", Err("gave an answer that holds a line end or a NUL byte")),
        ] {
            file::write_atomic(&program, format!("#!/bin/sh\n{script}\n").as_bytes(), false).unwrap();
            file::set_mode(&program, 0o755).unwrap();
            let found = ask_program(program.to_str().unwrap(), host).await;
            let expected = expected.map_err(|why| CredentialError(format!("the credential helper `{}` {why}", program.display())));
            assert!(found == expected, "{script}: {:?}", found.err());
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_missing_or_misnamed_is_an_error_and_not_anonymous() {
        for name in ["kiln-test-that-is-not-there", "../../bin/sh", "a b", "x\ny"] {
            let error = ask_helper(name, "ghcr.io").await.unwrap_err();
            assert!(error.0.starts_with("the credential helper"), "{error}");
        }
        assert!(ask_helper("x", "ghcr.io\nhost=evil").await.unwrap_err().0.contains("was not asked"));
    }
}
