//! Which entry of an index is meant for a platform.
//! In: the platform of an entry and the one that is wanted. Out: how well it fits. Never: a platform that cannot run there.

use crate::base::platform::Platform;

/// How far an image for `offered` is from the best for `wanted`; `None` when it does not run there. Source: containerd, `platforms`.
///
/// An arm processor runs what was built for an earlier version of it, and so does amd64 with its levels.
pub(super) fn distance(wanted: &Platform, offered: &Platform) -> Option<usize> {
    if (wanted.os(), wanted.arch()) != (offered.os(), offered.arch()) {
        return None;
    }
    if wanted.variant() == offered.variant() {
        return Some(0);
    }
    let downward: &[Option<&str>] = match wanted.arch() {
        "arm" => &[Some("v8"), Some("v7"), Some("v6"), Some("v5")],
        "amd64" => &[Some("v4"), Some("v3"), Some("v2"), None],
        // Every version of arm64 runs plain v8, which has no variant in its normal form.
        "arm64" => return offered.variant().is_none().then_some(1),
        _ => return None,
    };
    let place = |variant: Option<&str>| downward.iter().position(|known| *known == variant);
    place(offered.variant())?.checked_sub(place(wanted.variant())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_variant_that_runs_is_chosen() {
        for (wanted, offered, expected) in [
            ("linux/amd64", "linux/amd64", Some(0)),
            ("linux/amd64", "linux/arm64", None),
            ("linux/amd64", "windows/amd64", None),
            ("linux/arm/v7", "linux/arm/v7", Some(0)),
            ("linux/arm/v7", "linux/arm/v6", Some(1)),
            ("linux/arm/v7", "linux/arm/v5", Some(2)),
            ("linux/arm/v6", "linux/arm/v7", None),
            ("linux/arm64", "linux/arm64/v8", Some(0)),
            ("linux/arm64", "linux/arm/v7", None),
            ("linux/amd64/v3", "linux/amd64", Some(2)),
            ("linux/amd64/v3", "linux/amd64/v2", Some(1)),
            ("linux/amd64", "linux/amd64/v3", None),
            ("linux/s390x", "linux/s390x", Some(0)),
            ("linux/arm64/v9", "linux/arm64", Some(1)),
        ] {
            let platform = |text: &str| text.parse::<Platform>().unwrap();
            assert_eq!(distance(&platform(wanted), &platform(offered)), expected, "{wanted} {offered}");
        }
    }
}
