//! Secrets that show by the name they are given: `DB_PASSWORD=…`, `npm-token: …`.
//! In: names and values. Out: whether the pair gives something away. Never: a value that only says where the secret is.

/// Words that make a name one of a secret.
const SECRET: [&str; 13] = [
    "PASSWORD",
    "PASSWORDS",
    "PASSWD",
    "PASSPHRASE",
    "PASSWORT",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "SECRETKEY",
    "AUTHTOKEN",
];
/// Words that make one together with a `KEY` after them.
const KEYS: [&str; 8] = ["API", "ACCESS", "PRIVATE", "SECRET", "ENCRYPTION", "SIGNING", "AUTH", "MASTER"];
/// Words that, at the end, name something about the secret but not the secret.
const ABOUT: [&str; 22] = [
    "FILE",
    "PATH",
    "DIR",
    "URL",
    "URI",
    "NAME",
    "ID",
    "TTL",
    "EXPIRY",
    "LENGTH",
    "TYPE",
    "ENDPOINT",
    "HOST",
    "PORT",
    "ISSUER",
    "ALGORITHM",
    "ENABLED",
    "REQUIRED",
    "LIFETIME",
    "TIMEOUT",
    "HEADER",
    "COOKIE",
];

/// Whether a variable, label or option of this name would hold a secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let upper = split_camel(name).to_ascii_uppercase();
    let words: Vec<&str> = upper.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.last().is_none_or(|last| ABOUT.contains(last)) || words.contains(&"PUBLIC") {
        return false;
    }
    words.iter().any(|word| SECRET.contains(word)) || words.windows(2).any(|pair| KEYS.contains(&pair[0]) && pair[1] == "KEY")
}

/// `dbPassword` → `db_Password`.
fn split_camel(name: &str) -> String {
    let mut split = String::with_capacity(name.len() + 4);
    let mut lower = false;
    for c in name.chars() {
        if lower && c.is_ascii_uppercase() {
            split.push('_');
        }
        lower = c.is_ascii_lowercase();
        split.push(c);
    }
    split
}

/// The value without quotes, when it gives something away: it is not empty, not a reference to what is elsewhere, not a switch.
#[must_use]
pub fn given(value: &str) -> Option<&str> {
    let value = value.trim().trim_matches(['"', '\'', ',', ';']);
    let elsewhere = value.starts_with(['$', '<', '%', '{']) || value.starts_with("/run/secrets/") || value.starts_with("file:");
    let word =
        matches!(value.to_ascii_lowercase().as_str(), "" | "true" | "false" | "yes" | "no" | "on" | "off" | "0" | "1" | "null" | "none");
    let hidden = value.bytes().all(|byte| byte == b'*' || byte == b'x' || byte == b'X' || byte == b'.');
    (!elsewhere && !word && !hidden).then_some(value)
}

/// The password of the first address in `text` that has one: `scheme://user:password@host`.
#[must_use]
pub fn password_of_address(text: &str) -> Option<&str> {
    text.match_indices("://").find_map(|(at, mark)| {
        let rest = &text[at + mark.len()..];
        let end = rest.find(['/', ' ', '"', '\'', '\t', '\n', '?', '#']).unwrap_or(rest.len());
        let (login, _) = rest[..end].rsplit_once('@')?;
        given(login.split_once(':')?.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_names_about_them() {
        for name in [
            "DB_PASSWORD",
            "NPM_TOKEN",
            "api-key",
            "org.acme.secret",
            "dbPassword",
            "AWS_SECRET_ACCESS_KEY",
            "--password",
            "SECRET_KEY_BASE",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "PATH",
            "POSTGRES_PASSWORD_FILE",
            "TOKEN_URL",
            "AWS_ACCESS_KEY_ID",
            "GPG_KEY",
            "PWD",
            "TOKENIZER",
            "PUBLIC_API_KEY",
            "KEY",
            "SECRETARY",
            "",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn references_and_switches_give_nothing_away() {
        for value in ["", "\"\"", "$TOKEN", "${TOKEN}", "$(cat x)", "/run/secrets/db", "true", "****", "<password>", "%s", "{{ token }}"] {
            assert_eq!(given(value), None, "{value}");
        }
        for (value, expected) in [("hunter2", "hunter2"), ("'hunter2'", "hunter2"), ("changeme", "changeme")] {
            assert_eq!(given(value), Some(expected));
        }
    }

    #[test]
    fn addresses_with_a_password_are_found() {
        for (text, expected) in [
            ("postgres://shop:hunter2@db:5432/shop", Some("hunter2")),
            ("a https://host/x b://u:pw@h", Some("pw")),
            ("https://user@host/", None),
            ("https://${USER}:${PASS}@host", None),
            ("https://host:443/a@b", None),
            ("://", None),
        ] {
            assert_eq!(password_of_address(text), expected, "{text}");
        }
    }
}
