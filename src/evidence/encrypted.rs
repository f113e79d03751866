//! Private keys behind a password as PKCS#8 itself has them: a key is stretched from the password, AES holds the private key.
//! Source: RFC 5958, section 3; RFC 8018, PBES2; RFC 7914, section 7.

use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};

use super::sealed::{self, Closed};

/// The label of such keys.
pub(super) const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// Rounds that a key may ask for: twenty times what is recommended today, a few seconds.
const MOST_ROUNDS: u32 = 12_000_000;

/// Before PBES2 there were DES and RC2.
const OLD: Closed = Closed::Form("what is between its lines is no PKCS#8, or encrypted in a way that nobody should use today");

/// Opens a key: the bytes between its PEM lines, and the password. Gives PKCS#8.
pub(super) fn open(der: &[u8], password: &[u8]) -> Result<Vec<u8>, Closed> {
    let sealed = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| OLD)?;
    let EncryptionScheme::Pbes2(scheme) = &sealed.encryption_algorithm else { return Err(OLD) };
    if !is_bounded(&scheme.kdf) {
        return Err(Closed::Form("what its password is stretched by is out of bounds"));
    }
    let opened = scheme.decrypt(password, sealed.encrypted_data.as_bytes());
    let opened = opened.map_err(|error| match error {
        pkcs8::pkcs5::Error::DecryptFailed => Closed::Password,
        _ => Closed::Form("it is encrypted in a way that is not read; AES-CBC with PBKDF2 (HMAC-SHA-2) or scrypt is"),
    })?;
    // Of 256 wrong passwords, one leaves an end that looks right.
    PrivateKeyInfoRef::try_from(opened.as_slice()).map_err(|_| Closed::Password)?;
    Ok(opened)
}

fn is_bounded(kdf: &Kdf) -> bool {
    match kdf {
        Kdf::Pbkdf2(params) => params.iteration_count <= MOST_ROUNDS,
        Kdf::Scrypt(params) => sealed::is_bounded(params.cost_parameter, params.block_size.into(), params.parallelization.into()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pem;
    use super::*;

    fn der(text: &str) -> Vec<u8> {
        let (label, bytes) = pem::first(text).unwrap();
        assert_eq!(label, LABEL);
        bytes
    }

    /// Written by `openssl pkcs8 -topk8 -passout pass:swordfish`, with `-v2 aes-256-cbc`, `-scrypt`, `-v1 PBE-SHA1-3DES`.
    const PBKDF2: &str = include_str!("../../fixtures/keys/rfc6979.pbkdf2.pem");
    const SCRYPT: &str = include_str!("../../fixtures/keys/rfc6979.scrypt.pem");
    const PBES1: &str = include_str!("../../fixtures/keys/rfc6979.pbes1.pem");

    #[test]
    fn what_openssl_encrypted_opens_with_its_password_and_with_no_other() {
        let (_, plain) = pem::first(include_str!("../../fixtures/keys/rfc6979.pem")).unwrap();
        for text in [PBKDF2, SCRYPT] {
            assert_eq!(open(&der(text), b"swordfish"), Ok(plain.clone()));
        }
        for n in 0..24_u32 {
            assert_eq!(open(&der(PBKDF2), &n.to_be_bytes()), Err(Closed::Password), "{n}");
        }
        assert!(matches!(open(&der(PBES1), b"swordfish"), Err(Closed::Form(_))));
    }

    #[test]
    fn a_damaged_key_is_never_taken_for_the_whole_one() {
        let (_, plain) = pem::first(include_str!("../../fixtures/keys/rfc6979.pem")).unwrap();
        let whole = der(PBKDF2);
        for at in (0..whole.len()).step_by(5) {
            let mut changed = whole.clone();
            changed[at] ^= 0x40;
            assert_ne!(open(&changed, b"swordfish").ok().as_ref(), Some(&plain), "byte {at}");
            assert!(open(&whole[..at], b"swordfish").is_err());
        }
    }

    #[test]
    fn a_key_cannot_ask_for_all_of_the_memory_or_the_day() {
        let scrypt = |n: u8| {
            let mut bytes = der(SCRYPT);
            // INTEGER 0x4000, which is N.
            let at = bytes.windows(4).position(|four| four == [2, 2, 0x40, 0]).unwrap();
            bytes[at + 2] = n;
            open(&bytes, b"swordfish")
        };
        assert!(scrypt(0x40).is_ok());
        assert!(matches!(scrypt(0x7f), Err(Closed::Form(_))), "no power of two");
        let most = Kdf::Pbkdf2(pkcs8::pkcs5::pbes2::Pbkdf2Params::hmac_sha256(MOST_ROUNDS + 1, b"salt").unwrap());
        assert!(!is_bounded(&most));
        let params = scrypt::Params::new(20, 8, 1).unwrap();
        assert!(!is_bounded(&Kdf::Scrypt(pkcs8::pkcs5::pbes2::ScryptParams::from_params_and_salt(params, b"salt").unwrap())));
    }
}
