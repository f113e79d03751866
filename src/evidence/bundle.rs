//! Sigstore bundles: an envelope with a hint of who signed it. Source: sigstore/protobuf-specs, sigstore_bundle.proto, v0.3; the JSON
//! is that of Protocol Buffers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dsse::Envelope;
use super::key::SigningKey;
use super::keyless::material::Material;

/// The media type of a bundle, which is also the artifact's.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What is read of the forms before.
const OLDER: &[&str] = &[
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    media_type: &'static str,
    verification_material: Hinted,
    dsse_envelope: &'a Envelope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hinted {
    public_key: Hint,
}

#[derive(Serialize)]
struct Hint {
    hint: String,
}

/// The bytes of a bundle.
#[must_use]
pub fn write(envelope: &Envelope, key: &SigningKey) -> Vec<u8> {
    let verification_material = Hinted { public_key: Hint { hint: key.public().hint() } };
    serde_json::to_vec(&Written { media_type: MEDIA_TYPE, verification_material, dsse_envelope: envelope }).unwrap_or_default()
}

/// Whether a layer or an artifact of this type is a bundle.
#[must_use]
pub fn is_bundle(media_type: &str) -> bool {
    media_type == MEDIA_TYPE || OLDER.contains(&media_type)
}

/// The envelope of a bundle and what came with it; `None` when it is no bundle, or one without an envelope.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<(Envelope, Material)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Read {
        media_type: String,
        #[serde(default)]
        verification_material: Value,
        dsse_envelope: Envelope,
    }
    let read: Read = serde_json::from_slice(bytes).ok()?;
    is_bundle(&read.media_type).then(|| (read.dsse_envelope, Material::of_bundle(read.verification_material)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_holds_its_envelope_and_names_the_key_by_its_digest() {
        let key = SigningKey::read(include_str!("../../fixtures/keys/rfc6979.pem"), None).unwrap();
        let envelope = Envelope::sign(b"{}", &key);
        let bytes = write(&envelope, &key);
        assert_eq!(read(&bytes), Some((envelope.clone(), Material::default())));
        let text = String::from_utf8(bytes).unwrap();
        let head = format!(r#"{{"mediaType":"{MEDIA_TYPE}","verificationMaterial":{{"publicKey":{{"hint":"{}"}}}},"#, key.public().hint());
        assert!(text.starts_with(&head), "{text}");
        assert_eq!(read(text.replace("bundle.v0.3", "bundle.v9.3").as_bytes()), None);
        assert_eq!(read(b"{}"), None);
        // What came along is nobody's proof of the envelope, whatever it looks like.
        let (head, rest) = text.split_once(r#""verificationMaterial":{"#).unwrap();
        let (_, tail) = rest.split_once("}},").unwrap();
        for odd in ["null", "[]", r#"{"tlogEntries":[{}]}"#, r#"{"tlogEntries":[null,7]}"#, r#"{"certificate":7}"#] {
            let odd = format!(r#"{head}"verificationMaterial":{odd},{tail}"#);
            assert_eq!(read(odd.as_bytes()), Some((envelope.clone(), Material::default())), "{odd}");
        }
    }
}
