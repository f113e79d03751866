//! Private keys behind a password as cosign writes them: scrypt makes a key of the password, NaCl's secretbox holds PKCS#8.
//! Source: github.com/secure-systems-lab/go-securesystemslib/encrypted; NaCl, `crypto_secretbox_xsalsa20poly1305`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::Deserialize;

/// Labels of such keys: of today, and of cosign before 2.0.
pub(super) const LABELS: &[&str] = &["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// Memory that a key may ask for, in bytes: cosign's own take 64 MiB.
const MOST_MEMORY: u64 = 512 << 20;
/// The tag before the text.
const TAG: usize = 16;

#[derive(Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Why a sealed key stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// It is not of a form that is read; in a few words.
    Form(&'static str),
    /// The password does not open it.
    Password,
}

/// Opens a key: the JSON between its PEM lines, and the password.
pub(super) fn open(json: &[u8], password: &[u8]) -> Result<Vec<u8>, Closed> {
    let sealed: Sealed = serde_json::from_slice(json).map_err(|_| Closed::Form("what is between its lines is not cosign's"))?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        return Err(Closed::Form("it is sealed in a way that cosign does not use"));
    }
    let bytes = |text: &str| STANDARD.decode(text).map_err(|_| Closed::Form("a part of it is not base64"));
    let (salt, nonce, text) = (bytes(&sealed.kdf.salt)?, bytes(&sealed.cipher.nonce)?, bytes(&sealed.ciphertext)?);
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| Closed::Form("its nonce has not 24 bytes"))?;
    let key = stretch(password, &salt, &sealed.kdf.params)?;
    unbox(&key, &nonce, &text).ok_or(Closed::Password)
}

/// Whether scrypt with these parameters takes little enough: 128 × N × r bytes, p times.
pub(super) fn is_bounded(n: u64, r: u32, p: u32) -> bool {
    let memory = n.checked_mul(u64::from(r)).and_then(|product| product.checked_mul(128));
    memory.is_some_and(|memory| memory <= MOST_MEMORY) && p <= 16
}

fn stretch(password: &[u8], salt: &[u8], params: &Params) -> Result<[u8; 32], Closed> {
    const BAD: Closed = Closed::Form("its scrypt parameters are out of bounds");
    if !params.n.is_power_of_two() || params.n < 2 || !is_bounded(params.n, params.r, params.p) {
        return Err(BAD);
    }
    let log = u8::try_from(params.n.trailing_zeros()).map_err(|_| BAD)?;
    let params = scrypt::Params::new(log, params.r, params.p).map_err(|_| BAD)?;
    let mut key = [0; 32];
    scrypt::scrypt(password, salt, &params, &mut key).map_err(|_| BAD)?;
    Ok(key)
}

/// The text of a secretbox; `None` when the tag is not that of key, nonce and text.
fn unbox(key: &[u8; 32], nonce: &[u8; 24], sealed: &[u8]) -> Option<Vec<u8>> {
    let (tag, text) = sealed.split_at_checked(TAG)?;
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    // The first 32 bytes of the key stream are the key of the tag.
    let mut one_time = [0; 32];
    stream.apply_keystream(&mut one_time);
    let own = Poly1305::new((&one_time).into()).compute_unpadded(text);
    // Nobody measures how long this takes: the key is this user's own file.
    if own.as_slice() != tag {
        return None;
    }
    let mut text = text.to_vec();
    stream.apply_keystream(&mut text);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Source: NaCl, tests/secretbox.c and tests/secretbox2.c.
    #[test]
    fn the_box_of_nacls_own_test_opens_and_a_changed_one_does_not() {
        let key: [u8; 32] = hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389").try_into().unwrap();
        let nonce: [u8; 24] = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37").try_into().unwrap();
        let sealed = hex("
            f3ffc7703f9400e52a7dfb4b3d3305d9 8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a
            c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae
            90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74
            e355a5");
        let text = hex("
            be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c6129
            6cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde
            048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705");
        assert_eq!(unbox(&key, &nonce, &sealed), Some(text));
        for at in [0, 15, 16, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(unbox(&key, &nonce, &changed), None, "byte {at}");
        }
        assert_eq!(unbox(&key, &nonce, &sealed[..15]), None);
    }

    /// Source: RFC 7914, section 12.
    #[test]
    fn a_password_is_stretched_as_the_standard_says() {
        let key = stretch(b"pleaseletmein", b"SodiumChloride", &Params { n: 16384, r: 8, p: 1 }).unwrap();
        assert_eq!(key.to_vec(), hex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"));
    }

    #[test]
    fn a_key_cannot_ask_for_all_of_the_memory() {
        for (n, r, p) in [(1 << 40, 8, 1), (3, 8, 1), (0, 8, 1), (1 << 16, u32::MAX, 1), (1 << 16, 8, 1000), (1 << 16, 0, 1)] {
            assert!(stretch(b"x", b"y", &Params { n, r, p }).is_err(), "{n} {r} {p}");
        }
    }
}
