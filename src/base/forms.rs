//! The ways in which a value may be written down: as it is, in hexadecimal digits, for an address, as JSON, in base64.
//! Whoever hides a secret hides all of them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Every form of a value, in upper and in lower case where digits have both.
#[must_use]
pub fn of(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::from([value.to_vec()]);
    let hex = hex(value);
    forms.insert(hex.to_ascii_uppercase().into_bytes());
    forms.insert(hex.into_bytes());
    for upper in [true, false] {
        forms.insert(percent(value, upper).into_bytes());
    }
    if let Ok(json) = std::str::from_utf8(value).map(|text| serde_json::Value::from(text).to_string()) {
        forms.insert(json.as_bytes()[1..json.len() - 1].to_vec());
    }
    // In base64 a value looks different by where it begins in the encoded text: after 0, 1 or 2 bytes modulo 3. Characters
    // that also hold bits of its neighbours are left out of the form.
    for engine in [&STANDARD, &URL_SAFE] {
        for before in 0..3 {
            let mut padded = vec![0; before];
            padded.extend_from_slice(value);
            let text = engine.encode(&padded).into_bytes();
            let first = (before * 8).div_ceil(6);
            let last = padded.len() * 8 / 6;
            forms.extend(text.get(first..last).map(<[u8]>::to_vec));
        }
    }
    forms
}

/// Two digits for each byte, in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 3986: all but unreserved characters as `%XX`.
fn percent(value: &[u8], upper: bool) -> String {
    let mut text = String::new();
    for byte in value {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            _ if upper => text.push_str(&format!("%{byte:02X}")),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_in_every_form_and_at_every_place_in_base64() {
        let forms = of("a/b \"c\"".as_bytes());
        for form in
            ["a/b \"c\"", "612f6220226322", "612F6220226322".to_lowercase().as_str(), "a%2Fb%20%22c%22", "a%2fb%20%22c%22", r#"a/b \"c\""#]
        {
            assert!(forms.contains(form.as_bytes()), "{form}");
        }
        for before in 0..3 {
            let text = STANDARD.encode(format!("{}secret value", "x".repeat(before)));
            assert!(of(b"secret value").iter().any(|form| text.contains(std::str::from_utf8(form).unwrap())), "{text}");
        }
    }
}
