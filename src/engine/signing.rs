//! The key that signs: fetched just before it is used, forgotten after it.
//! In: where a plan says it is. Out: a key. Never: a key or a password in an argument, an event, the store, a message.

use std::os::unix::fs::PermissionsExt as _;

use crate::event::FailureClass;
use crate::evidence::key::SigningKey;
use crate::plan::evidence::{KeyFrom, SignDef};
use crate::plan::secret::SecretSource;
use crate::sys::{env, file};

use super::secret::{self, Unfound};
use super::{Failure, Machine};

/// Fetches and opens a key.
///
/// # Errors
/// A [`Failure`] of the environment that says where the key was looked for, and what is wrong with it.
pub fn key(machine: &Machine, sign: &SignDef) -> Result<SigningKey, Failure> {
    let failure = |from: &KeyFrom, why: String, help: String| {
        let shown = shown(from);
        Failure::new(FailureClass::Environment, format!("there is no key to sign with: {shown}: {why}"), Some(help))
    };
    let unfound = |from: &KeyFrom, error: Unfound| failure(from, error.why, error.help);
    let bytes = secret::look_up(machine, &sign.key.source).map_err(|error| unfound(&sign.key, error))?;
    let text = String::from_utf8_lossy(&bytes);
    if !SigningKey::is_sealed(&text) {
        guard(machine, &sign.key.source).map_err(|(why, help)| failure(&sign.key, why, help))?;
        return SigningKey::read(&text, None).map_err(|bad| failure(&sign.key, bad.to_string(), bad.help().to_owned()));
    }
    let password = match &sign.password {
        Some(from) => Some(secret::look_up(machine, &from.source).map_err(|error| unfound(from, error))?),
        // An empty password is one: cosign makes such keys in CI.
        None => env::var_os(PASSWORD).map(std::os::unix::ffi::OsStringExt::into_vec),
    };
    let password = password.as_deref().map(|password| password.strip_suffix(b"\n").unwrap_or(password));
    SigningKey::read(&text, password).map_err(|bad| failure(&sign.key, bad.to_string(), bad.help().to_owned()))
}

/// The variable that holds the password where the plan names no secret.
pub const PASSWORD: &str = "COSIGN_PASSWORD";

fn shown(from: &KeyFrom) -> String {
    match (&from.name, &from.source) {
        (Some(name), _) => format!("secret `{name}`"),
        (None, SecretSource::Env(name)) => name.clone(),
        (None, SecretSource::File(path)) => format!("`{path}`"),
        (None, SecretSource::Command(_)) => "its command".to_owned(),
    }
}

/// An open key that others may read is anybody's.
fn guard(machine: &Machine, source: &SecretSource) -> Result<(), (String, String)> {
    let SecretSource::File(path) = source else { return Ok(()) };
    let mode = file::status(secret::place(&machine.root, path)).map_err(|error| (error.to_string(), "look at the file".to_owned()))?;
    let mode = mode.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let help = format!("`chmod 600 {path}`; a key that `cosign generate-key-pair` makes is sealed with a password");
    Err((format!("it is not sealed, and others may read it (mode {mode:o})"), help))
}
