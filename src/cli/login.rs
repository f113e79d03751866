//! `kiln login` and `kiln logout`: who this user is at a registry, kept where every tool for images looks.

use std::future::ready;
use std::sync::Arc;

use clap::Args;
use futures_util::future::BoxFuture;

use crate::base::diagnostic::{Class, Diagnostic, Diagnostics};
use crate::base::words;
use crate::oci::reference::Repository;
use crate::plan::{RegistryDef, RegistryPlace};
use crate::registry::auth::credentials::{ConfigFiles, Credential, CredentialError, CredentialSource};
use crate::registry::auth::keep::Kept;
use crate::registry::client::{Client, Options};
use crate::registry::login::Welcome;
use crate::report::login::{LoginView, Place};
use crate::report::{json, login as screen};
use crate::sys::ask::{self, Typed};
use crate::sys::file;
use crate::sys::signal::Interrupt;

use super::args::Global;
use super::open::{self, World};
use super::output::Output;
use super::{run, settings};

/// Options of `login`.
#[derive(Debug, Args)]
pub struct Login {
    /// The registry: `ghcr.io`, `localhost:5000`, or its name in the plan; Docker Hub is `docker.io`
    #[arg(default_value = "docker.io")]
    pub registry: String,
    /// The user; a token's user is what the registry's manual says
    #[arg(short, long, value_name = "NAME")]
    pub username: Option<String>,
    /// Reads the password, or a token, from standard input; without it, it is asked for
    #[arg(long)]
    pub password_stdin: bool,
    /// The registry may be spoken to without TLS
    #[arg(long)]
    pub insecure: bool,
}

/// Options of `logout`.
#[derive(Debug, Args)]
pub struct Logout {
    /// The registry, or its name in the plan
    #[arg(default_value = "docker.io")]
    pub registry: String,
}

/// The longest password or token that is read, in bytes.
const LIMIT: u64 = 64 << 10;

/// The one login that is tried.
struct Tried(Credential);

impl CredentialSource for Tried {
    fn credential<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, Result<Credential, CredentialError>> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}

/// # Errors
/// A name that is no registry, a login that was refused, a place that cannot be written.
pub fn login(global: &Global, output: &Output, asked: &Login) -> Result<u8, Diagnostics> {
    if global.offline {
        let fault = Diagnostic::new(Class::Usage, "login::offline", "a login is tried at the registry, and `--offline` lets nobody ask it");
        return Err(fault.into());
    }
    let (name, insecure) = named(global, &asked.registry)?;
    let place = place(&name)?;
    let host = place.host();
    let user = match &asked.username {
        Some(user) => user.clone(),
        None => match typed(&format!("User at {host}: "), true, "`--username NAME` says who logs in")? {
            Some(user) => user,
            None => return Ok(Interrupt::Keyboard.exit_code()),
        },
    };
    let password = if asked.password_stdin {
        let bytes = file::read_input(LIMIT).map_err(|error| Diagnostic::new(Class::Environment, "login::input", error.to_string()))?;
        let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= LIMIT);
        let text = text.ok_or_else(|| Diagnostic::new(Class::Usage, "login::input", "standard input is not a password"))?;
        text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line)).to_owned()
    } else {
        let otherwise = "`--password-stdin` reads it from standard input, for instance from a secret store";
        match typed(&format!("Password of {user} at {host}: "), false, otherwise)? {
            Some(password) => password,
            None => return Ok(Interrupt::Keyboard.exit_code()),
        }
    };
    if user.is_empty() || password.is_empty() {
        let what = if user.is_empty() { "user" } else { "password" };
        return Err(Diagnostic::new(Class::Usage, "login::input", format!("the {what} is empty")).into());
    }
    let config = ConfigFiles::of_machine();
    let (welcome, kept) = run::runtime()?.block_on(async {
        let tried = Arc::new(Tried(Credential::password(&user, &password)));
        let insecure_hosts = if asked.insecure || insecure { vec![host.to_owned()] } else { Vec::new() };
        let client = Client::new(Options { insecure_hosts, ..Options::new(tried) });
        let welcome = client.try_login(&place).await.map_err(|error| error.diagnostic())?;
        let kept = config.keep(host, &user, &password).await.map_err(|error| unkept(&error))?;
        Ok::<_, Diagnostic>((welcome, kept))
    })?;
    answer(
        output,
        &LoginView { registry: host.to_owned(), user: Some(user), known: Some(welcome == Welcome::Known), kept: Some(shown(kept)) },
    );
    Ok(0)
}

/// # Errors
/// A name that is no registry, a place that cannot be written.
pub fn logout(global: &Global, output: &Output, asked: &Logout) -> Result<u8, Diagnostics> {
    let (name, _) = named(global, &asked.registry)?;
    let place = place(&name)?;
    let host = place.host();
    let gone = run::runtime()?.block_on(ConfigFiles::of_machine().forget(host)).map_err(|error| unkept(&error))?;
    answer(output, &LoginView { registry: host.to_owned(), user: None, known: None, kept: gone.map(shown) });
    Ok(0)
}

fn answer(output: &Output, view: &LoginView) {
    output.answer(&if output.json { json::document(view) } else { screen::screen(view, output.out) });
}

fn shown(kept: Kept) -> Place {
    match kept {
        Kept::Helper(name) => Place { helper: Some(name), file: None },
        Kept::File(path) => Place { helper: None, file: Some(words::visible(&path.to_string_lossy())) },
    }
}

fn unkept(error: &CredentialError) -> Diagnostic {
    Diagnostic::new(Class::Environment, "login::place", error.to_string())
        .help("DOCKER_CONFIG names another folder for logins; nothing was changed")
}

/// The host that a name stands for, and whether the plan lets it be spoken to without TLS. A name without a dot or a port is one of the
/// plan, where there is a plan that has it.
fn named(global: &Global, name: &str) -> Result<(String, bool), Diagnostics> {
    let itself = Ok((name.to_owned(), false));
    if name.contains(['.', ':', '/']) || name == "localhost" {
        return itself;
    }
    let Ok(settings) = settings::resolve(global) else { return itself };
    let opened = open::open(&settings, World::Asked)?;
    match opened.plan.registries.get(name) {
        Some(RegistryDef { place: RegistryPlace::Remote { host, .. }, insecure, .. }) => Ok((host.clone(), *insecure)),
        Some(_) => {
            let message = format!("the registry `{}` of the plan is a folder", words::visible(name));
            Err(Diagnostic::new(Class::Usage, "login::registry", message).help("nobody has to log in there").into())
        }
        None => itself,
    }
}

/// Any repository of the registry.
fn place(registry: &str) -> Result<Repository, Diagnostic> {
    let bare = registry.trim_end_matches('/');
    let bare = bare.strip_prefix("https://").unwrap_or(bare);
    let host = match bare {
        "index.docker.io" | "registry-1.docker.io" | "index.docker.io/v1" => "docker.io",
        other => other,
    };
    let found = format!("{host}/login/login").parse::<Repository>().ok();
    found.filter(|found| found.host().eq_ignore_ascii_case(host)).ok_or_else(|| {
        let message = format!("`{}` is not a registry", words::shorten(&words::visible(registry), 100));
        Diagnostic::new(Class::Usage, "login::registry", message).help(
            "name its host, and its port where it has one: `ghcr.io`, `localhost:5000`; a login is for all repositories of a registry",
        )
    })
}

/// A line from the terminal, seen or unseen while it is typed; `None` when the person wants to stop.
fn typed(question: &str, seen: bool, otherwise: &str) -> Result<Option<String>, Diagnostic> {
    match ask::ask(question, seen, LIMIT) {
        Ok(Typed::Line(line)) => Ok(Some(line)),
        Ok(Typed::Stopped) => Ok(None),
        Ok(Typed::NoTerminal) => {
            let what = if seen { "user" } else { "password" };
            let message = format!("nobody can be asked for the {what}: there is no terminal");
            Err(Diagnostic::new(Class::Usage, "login::input", message).help(otherwise))
        }
        Err(error) => Err(Diagnostic::new(Class::Environment, "login::input", error.to_string())),
    }
}
