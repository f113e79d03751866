//! What a registry asks for with `WWW-Authenticate`, and which token servers may see credentials.
//! In: header text. Out: a [`Challenge`], or the reason why its realm is refused.
//! Never: a realm that could lead credentials, or a request from inside the network, to a third party.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use crate::registry::error::redacted;

/// How a registry wants to be authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with every request. Source: RFC 7617.
    Basic,
    /// A token from a token server. Source: distribution, "Token Authentication Specification".
    Bearer {
        /// The token server.
        realm: String,
        /// The name under which the token server knows the registry; may be empty.
        service: String,
    },
}

impl Challenge {
    /// The challenge of an answer; a token is preferred to a password on every request.
    pub(in crate::registry) fn of(headers: &HeaderMap) -> Option<Self> {
        let all: Vec<Self> = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).flat_map(read).collect();
        all.iter().find(|one| matches!(one, Self::Bearer { .. })).or(all.first()).cloned()
    }
}

/// Reads one header: challenges separated by commas, each a scheme with `name=value` or `name="value"` parameters.
/// Source: RFC 9110, 11.6.1.
fn read(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let word = rest[..end].to_ascii_lowercase();
        let after = rest[end..].trim_start_matches([' ', '\t']);
        if let Some(value) = after.strip_prefix('=') {
            let (value, more) = read_value(value.trim_start_matches([' ', '\t']));
            if let Some((_, parameters)) = found.last_mut() {
                parameters.push((word, value));
            }
            rest = more;
        } else {
            found.push((word, Vec::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

/// A token or a quoted string, and what stands behind it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let get = |name: &str| parameters.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer { realm: get("realm")?, service: get("service").unwrap_or_default() }),
        _ => None,
    }
}

/// The address of the token server, when a registry at `registry` may name it.
///
/// The registry's own scheme, host and port may; a registry on this machine may name another port of this machine;
/// anything else must be https and must not be an address inside the network. Models: CVE-2020-15157, go-containerregistry.
///
/// # Errors
/// Why not, in one clause.
pub(in crate::registry) fn token_server(realm: &str, registry: &Url) -> Result<Url, String> {
    let url: Url = realm.parse().map_err(|_| "its address cannot be read".to_owned())?;
    let refused = |why: &str| Err(format!("`{}` {why}", redacted(&url)));
    if !url.username().is_empty() || url.password().is_some() {
        return refused("carries a user or a password");
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return refused("is not an https address");
    }
    if url.origin() == registry.origin() || is_loopback(registry) && is_loopback(&url) {
        return Ok(url);
    }
    if url.scheme() != "https" {
        return refused("is not an https address");
    }
    if is_loopback(&url) || address(&url).is_some_and(is_internal) {
        return refused("is an address inside this network");
    }
    Ok(url)
}

/// The host as an IP address; the URL parser has already read decimal, octal and hexadecimal forms.
fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether a URL's host is this machine by its literal name: `localhost`, `127.0.0.0/8`, `::1`.
pub(in crate::registry) fn is_loopback(url: &Url) -> bool {
    url.host_str() == Some("localhost") || address(url).is_some_and(|address| plain(address).is_loopback())
}

/// IPv4 addresses in IPv6 clothes count as what they are.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn is_internal(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(four) => {
            let shared = four.octets()[0] == 100 && four.octets()[1] & 0xc0 == 64;
            four.is_private()
                || four.is_link_local()
                || four.is_unspecified()
                || four.is_broadcast()
                || shared
                || four.octets()[0] == 0
                || four == Ipv4Addr::new(192, 0, 0, 192)
        }
        IpAddr::V6(six) => six == Ipv6Addr::UNSPECIFIED || six.is_unicast_link_local() || six.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: &str) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.to_owned() }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (text, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
                vec![bearer("https://auth.docker.io/token", "registry.docker.io")],
            ),
            (r#"Basic realm="x""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Negotiate, Basic realm="a, Bearer realm=b", bearer realm=https://c/t , service = d"#,
                vec![Challenge::Basic, bearer("https://c/t", "d")],
            ),
            (r#"Bearer realm="a\"b\\c""#, vec![bearer(r#"a"b\c"#, "")]),
            (r#"Bearer realm="unclosed"#, vec![bearer("unclosed", "")]),
            ("Bearer service=x", vec![]),
            ("", vec![]),
            (",,, =x", vec![]),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn credentials_go_to_trusted_token_servers_only() {
        let refused = [
            "http://auth.example.com/token",
            "https://169.254.169.254/latest",
            "https://[::1]/token",
            "https://0.0.0.0/token",
            "https://2130706433/token",
            "https://0x7f000001/token",
            "https://10.0.0.1/token",
            "https://192.168.1.1:8443/token",
            "https://[fe80::1]/token",
            "https://[::ffff:10.0.0.1]/token",
            "https://localhost/token",
            "https://user:pw@auth.example.com/token",
            "ftp://auth.example.com/token",
            "file:///etc/passwd",
            "not a url",
            "https://[fd00::1]/",
        ];
        let registry: Url = "https://reg.example.com".parse().unwrap();
        for realm in refused {
            assert!(token_server(realm, &registry).is_err(), "{realm}");
        }
        for (registry, realm, allowed) in [
            ("https://reg.example.com", "https://auth.example.com/token", true),
            ("https://reg.example.com", "https://reg.example.com/token", true),
            ("http://reg.example.com:5000", "http://reg.example.com:5000/token", true),
            ("http://reg.example.com:5000", "http://reg.example.com:5001/token", false),
            ("https://10.0.0.1", "https://10.0.0.1/token", true),
            ("https://10.0.0.1", "https://10.0.0.1:8443/token", false),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true),
            ("http://localhost:5000", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000", "http://10.0.0.1/token", false),
        ] {
            let registry: Url = registry.parse().unwrap();
            assert_eq!(token_server(realm, &registry).is_ok(), allowed, "{registry} {realm}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_stops_the_reader(text in "[a-zA-Z=\", \\\\é\t]{0,60}", realm in ".{0,60}") {
            let _ = read(&text);
            let _ = token_server(&realm, &"https://reg.example.com".parse().unwrap());
        }
    }
}
