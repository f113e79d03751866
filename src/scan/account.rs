//! Who an image runs as.
//! In: the `User` of a config, and the image's `/etc/passwd`. Out: whether that is root. Never: a guess in the image's favour.

/// What is known of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The image runs as root; the words say why.
    Root(String),
    /// It runs as someone else.
    Other,
    /// It cannot be told; the words say why.
    Unknown(String),
}

/// The largest id that all engines read alike. Beyond it containerd before 1.7.27 ran as root (CVE-2024-40635).
const LARGEST_ID: i128 = i32::MAX as i128;

/// Judges `user`, which is `name`, `name:group`, `id` or `id:group`; `passwd` is empty where the image has none.
///
/// Engines differ in what they take for a name when it is a number, and which of two lines they take; one reading as root is enough.
#[must_use]
pub fn standing(user: Option<&str>, passwd: &[u8]) -> Standing {
    let user = user.unwrap_or_default().split(':').next().unwrap_or_default().trim();
    let shown = crate::base::words::shorten(&crate::base::words::visible(user), 60);
    if user.is_empty() {
        return Standing::Root("the image sets no user, so it runs as root".to_owned());
    }
    let ids: Vec<Option<i128>> = ids_of(user, passwd).collect();
    if ids.contains(&Some(0)) {
        return Standing::Root(format!("the image runs as `{shown}`, which is user 0 in `/etc/passwd`"));
    }
    let digits = user.trim_start_matches(['+', '-']);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return match user.parse::<i128>() {
            Ok(0) => Standing::Root(format!("the image runs as `{shown}`, which is root")),
            Ok(id) if (1..=LARGEST_ID).contains(&id) => Standing::Other,
            _ => Standing::Root(format!("the image runs as `{shown}`, which is no user id; some engines take it for root")),
        };
    }
    match ids.as_slice() {
        [] if user == "root" => Standing::Root("the image runs as `root`".to_owned()),
        [] => Standing::Unknown(format!("the image runs as `{shown}`, which is not in its `/etc/passwd`")),
        ids if ids.iter().all(|id| id.is_some_and(|id| (1..=LARGEST_ID).contains(&id))) => Standing::Other,
        _ => Standing::Unknown(format!("the image runs as `{shown}`, which has no sound user id in `/etc/passwd`")),
    }
}

/// The ids of all lines with this name: `name:password:id:…`.
fn ids_of<'a>(user: &'a str, passwd: &'a [u8]) -> impl Iterator<Item = Option<i128>> + 'a {
    passwd.split(|byte| *byte == b'\n').filter_map(move |line| {
        let mut fields = line.trim_ascii().split(|byte| *byte == b':');
        let named = fields.next()?.trim_ascii() == user.as_bytes();
        named.then(|| std::str::from_utf8(fields.nth(1)?.trim_ascii()).ok()?.parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/false\n\
        1001:x:0:0::/:/bin/sh\nodd:x::0::/:\nbig:x:4294967296:0::/:\ntwice:x:5:5::/:\ntwice:x:0:0::/:\n";

    #[test]
    fn root_is_known_under_every_name() {
        for user in [
            None,
            Some(""),
            Some("root"),
            Some("0"),
            Some("00"),
            Some("+0"),
            Some("-0"),
            Some("0:1000"),
            Some("root:app"),
            Some(":1000"),
            Some("toor"),
            Some("1001"),
            Some("twice"),
            Some("4294967296"),
            Some("2147483648"),
            Some("-1"),
            Some("99999999999999999999999999999999999999999999999999"),
        ] {
            assert!(matches!(standing(user, PASSWD), Standing::Root(_)), "{user:?}");
        }
    }

    #[test]
    fn others_are_let_through_and_the_unknown_is_named() {
        for user in ["app", "1000", "65532:65532", "app:root", "2147483647"] {
            assert_eq!(standing(Some(user), PASSWD), Standing::Other, "{user}");
        }
        for user in ["nobody", "odd", "big", "\u{1b}[2J"] {
            assert!(matches!(standing(Some(user), PASSWD), Standing::Unknown(words) if !words.contains('\u{1b}')), "{user}");
        }
    }

    #[test]
    fn without_an_account_file_a_name_is_unknown_and_a_number_is_not() {
        assert!(matches!(standing(Some("app"), b""), Standing::Unknown(_)));
        assert_eq!(standing(Some("1000"), b""), Standing::Other);
        assert!(matches!(standing(Some("root"), b""), Standing::Root(_)));
    }
}
