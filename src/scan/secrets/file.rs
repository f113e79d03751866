//! Files whose name says that they hold secrets, and what must be in them to count.
//! In: a path and the beginning of the file. Out: hits. Never: an empty file, or one that only refers to a secret.

use crate::base::path::RelPath;

use super::name::{given, is_secret, password_of_address};
use super::{Hit, redacted, text};

/// Finds what the name of the file makes a secret, and what is one by its form.
#[must_use]
pub fn find(path: &RelPath, bytes: &[u8]) -> Vec<Hit> {
    let mut hits = rule(path).map(|rule| rule(&String::from_utf8_lossy(bytes))).unwrap_or_default();
    // A file that is a secret by its name need not be named again for the token in it.
    if hits.is_empty() {
        hits = text::find(bytes);
    }
    hits.sort();
    hits.dedup();
    hits.truncate(text::MOST);
    hits
}

/// What looks into a file of this name.
fn rule(path: &RelPath) -> Option<fn(&str) -> Vec<Hit>> {
    let whole = path.as_bytes();
    let name = path.name()?;
    let parent = whole.rsplit(|byte| *byte == b'/').nth(1).unwrap_or_default();
    Some(match (parent, name) {
        _ if matches!(whole, b"etc/shadow" | b"etc/shadow-") => shadow,
        _ if matches!(whole, b"etc/passwd" | b"etc/passwd-") => passwd,
        (_, b".netrc" | b"_netrc") => netrc,
        (_, b".npmrc") => npmrc,
        (_, b".pypirc") => pypirc,
        (_, b".git-credentials") => git_credentials,
        (_, b".pgpass") => pgpass,
        (b".aws", b"credentials") => aws,
        (b".docker", b"config.json") | (b"containers", b"auth.json") | (_, b".dockercfg") => docker,
        (_, b"id_rsa" | b"id_dsa" | b"id_ecdsa" | b"id_ed25519") => ssh_key,
        (_, name) if is_env_file(name) => env_file,
        _ => return None,
    })
}

fn npmrc(text: &str) -> Vec<Hit> {
    settings(text, "an npm login", |key| key.ends_with("_authToken") || key.ends_with("_auth") || key.ends_with("_password"))
}

fn pypirc(text: &str) -> Vec<Hit> {
    settings(text, "a PyPI login", |key| key == "password")
}

fn aws(text: &str) -> Vec<Hit> {
    settings(text, "an AWS key", |key| key == "aws_secret_access_key" || key == "aws_session_token")
}

fn git_credentials(text: &str) -> Vec<Hit> {
    password_of_address(text).map(|_| Hit::new("holds a git login with its password")).into_iter().collect()
}

fn ssh_key(text: &str) -> Vec<Hit> {
    if text.trim().is_empty() { Vec::new() } else { vec![Hit::new("is a private SSH key by its name")] }
}

/// Lines of `user:hash:…`. `!` and `*` lock an account; nothing at all opens it to everyone.
fn shadow(text: &str) -> Vec<Hit> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let hits = lines.filter_map(|(user, rest)| {
        let user = shown(user);
        match rest.split(':').next().unwrap_or_default() {
            "" if rest.contains(':') => Some(Hit::new(format!("lets user `{user}` in without a password"))),
            "" => None,
            hash if hash.starts_with(['!', '*']) || hash == "x" => None,
            _ => Some(Hit::new(format!("holds the password hash of user `{user}`"))),
        }
    });
    hits.take(text::MOST).collect()
}

/// Old systems kept hashes in the account file itself.
fn passwd(text: &str) -> Vec<Hit> {
    let hashed = text.lines().filter_map(|line| line.split_once(':')).filter(|(_, rest)| rest.starts_with('$'));
    hashed.map(|(user, _)| Hit::new(format!("holds the password hash of user `{}`", shown(user)))).take(text::MOST).collect()
}

/// `machine host login name password text`, over any number of lines. Source: ftp(1), GNU inetutils.
fn netrc(text: &str) -> Vec<Hit> {
    let mut words = text.split_ascii_whitespace();
    let mut host = String::new();
    let mut hits = Vec::new();
    while let (Some(word), true) = (words.next(), hits.len() < text::MOST) {
        match word {
            "machine" => host = shown(words.next().unwrap_or_default()),
            "password" if words.next().and_then(given).is_some() => hits.push(Hit::new(format!("holds the password for `{host}`"))),
            _ => {}
        }
    }
    hits
}

/// Lines of `key = value`, where some keys are secrets.
fn settings(text: &str, what: &str, secret: fn(&str) -> bool) -> Vec<Hit> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let given = pairs.filter(|(key, _)| secret(key.trim())).filter_map(|(_, value)| given(value));
    given.map(|value| Hit::new(format!("holds {what} ({})", redacted(value)))).take(text::MOST).collect()
}

/// `host:port:database:user:password`.
fn pgpass(text: &str) -> Vec<Hit> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let with = lines.filter(|line| line.splitn(5, ':').nth(4).and_then(given).is_some());
    with.map(|line| Hit::new(format!("holds the password for `{}`", shown(line.split(':').next().unwrap_or_default()))))
        .take(text::MOST)
        .collect()
}

/// Docker's logins: `auths`, or in old files the same map at the top.
fn docker(text: &str) -> Vec<Hit> {
    let Ok(document) = serde_json::from_str::<serde_json::Value>(text) else { return Vec::new() };
    let Some(hosts) = document.get("auths").unwrap_or(&document).as_object() else { return Vec::new() };
    let holds = |login: &serde_json::Value| {
        ["auth", "password", "identitytoken", "registrytoken"]
            .iter()
            .any(|key| login.get(key).and_then(serde_json::Value::as_str).is_some_and(|text| !text.is_empty()))
    };
    let with = hosts.iter().filter(|(_, login)| holds(login));
    with.map(|(host, _)| Hit::new(format!("holds a registry login for `{}`", shown(host)))).take(text::MOST).collect()
}

/// `.env`, `.env.production`, `shop.env`; not the samples that projects hand round.
fn is_env_file(name: &[u8]) -> bool {
    let sample = [&b"example"[..], b"sample", b"template", b"dist", b"defaults"].iter().any(|word| name.ends_with(word));
    (name == b".env" || name.starts_with(b".env.") || name.ends_with(b".env")) && !sample
}

fn env_file(text: &str) -> Vec<Hit> {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("export ")).filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let hits = pairs.filter_map(|(name, value)| {
        let name = name.trim();
        let secret = if is_secret(name) { given(value) } else { password_of_address(value) }?;
        Some(Hit::new(format!("holds a value for `{}` ({})", shown(name), redacted(secret))))
    });
    hits.take(text::MOST).collect()
}

/// A name out of a hostile file, fit for a message.
fn shown(text: &str) -> String {
    crate::base::words::shorten(&crate::base::words::visible(text), 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = find(&RelPath::new(path).unwrap(), text.as_bytes()).into_iter().map(|hit| hit.message).collect();
        assert_eq!(found, expected, "{path}: {text}");
    }

    #[test]
    fn password_hashes_count_and_locked_accounts_do_not() {
        check("etc/shadow", "root:*:19000:0:::::\nbin:!:1::\nsshd:!$6$salt$hash:1\nx:!!:1\n", &[]);
        check("etc/shadow", "root:$6$salt$hash:19000:0:::::\n", &["holds the password hash of user `root`"]);
        check("etc/shadow", "root::19000:0:::::\n", &["lets user `root` in without a password"]);
        check("app/etc/shadow", "root:$6$salt$hash:19000\n", &[]);
        check("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", &[]);
        check("etc/passwd", "root:$1$salt$hash:0:0:root:/root:/bin/sh\n", &["holds the password hash of user `root`"]);
    }

    #[test]
    fn login_files_count_when_they_hold_a_login() {
        check("root/.netrc", "machine example.org\n login a password hunter2\n", &["holds the password for `example.org`"]);
        check("root/.netrc", "machine example.org login a\n", &[]);
        check("app/.npmrc", "//registry.example.org/:_authToken=abc-def\n", &["holds an npm login (`…`)"]);
        check("app/.npmrc", "//registry.example.org/:_authToken=${NPM_TOKEN}\nsave-exact=true\n", &[]);
        check("root/.docker/config.json", r#"{"auths":{"ghcr.io":{"auth":"YTpi"},"x":{}}}"#, &["holds a registry login for `ghcr.io`"]);
        check("root/.docker/config.json", r#"{"auths":{"ghcr.io":{}},"credsStore":"pass"}"#, &[]);
        check("root/.docker/config.json", "{", &[]);
        check("root/.aws/credentials", "[default]\naws_secret_access_key = abcdefghijklmnopqrst\n", &["holds an AWS key (`abcd…`)"]);
        check("root/.git-credentials", "https://me:hunter2@example.org\n", &["holds a git login with its password"]);
        check("root/.pgpass", "db:5432:*:shop:hunter2\n", &["holds the password for `db`"]);
        check("root/.ssh/id_ed25519", "anything", &["is a private SSH key by its name"]);
        check("root/.ssh/id_ed25519.pub", "ssh-ed25519 AAAA", &[]);
    }

    #[test]
    fn env_files_count_by_their_names_and_samples_do_not() {
        check("app/.env", "PORT=80\nexport DB_PASSWORD='hunter2'\n# X_TOKEN=a\n", &["holds a value for `DB_PASSWORD` (`…`)"]);
        check("app/.env.production", "DATABASE_URL=postgres://a:hunter2@db/x\n", &["holds a value for `DATABASE_URL` (`…`)"]);
        check("app/.env.example", "DB_PASSWORD=hunter2\n", &[]);
        check("app/.env", "DB_PASSWORD=${FROM_ELSEWHERE}\nTOKEN_FILE=/x\n", &[]);
    }

    #[test]
    fn names_from_a_hostile_file_cannot_reach_the_terminal() {
        check("etc/shadow", "\u{1b}[31mroot:$6$x:1\n", &["holds the password hash of user `\\u{1b}[31mroot`"]);
    }
}
