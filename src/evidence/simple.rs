//! The payload of signatures in the old form: a digest and the name that it was signed under.
//! Source: github.com/containers/image, docs/containers-signature.5.md; cosign, SIGNATURE_SPEC.md.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::digest::BlobDigest;

/// The media type of a payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation of its layer that holds the signature, in base64.
pub const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What every payload says of itself.
const TYPE: &str = "cosign container image signature";

#[derive(Serialize, Deserialize)]
struct Payload {
    critical: Critical,
    optional: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

/// What is signed for an image under the name of its repository.
#[must_use]
pub fn payload(repository: &str, digest: BlobDigest) -> Vec<u8> {
    let critical = Critical {
        identity: Identity { docker_reference: repository.to_owned() },
        image: Image { docker_manifest_digest: digest.to_string() },
        kind: TYPE.to_owned(),
    };
    serde_json::to_vec(&Payload { critical, optional: None }).unwrap_or_default()
}

/// The digest that a payload is about; `None` when it is no payload.
#[must_use]
pub fn about(payload: &[u8]) -> Option<BlobDigest> {
    let payload: Payload = serde_json::from_slice(payload).ok()?;
    let known = matches!(payload.critical.kind.as_str(), TYPE | "atomic container signature");
    payload.critical.image.docker_manifest_digest.parse().ok().filter(|_| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_cosigns_own_bytes() {
        let digest: BlobDigest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let bytes = payload("ghcr.io/acme/web", digest);
        let expected = r#"{"critical":{"identity":{"docker-reference":"ghcr.io/acme/web"},"image":{"docker-manifest-digest":"sha256:HEX"},"type":"cosign container image signature"},"optional":null}"#;
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected.replace("HEX", &"ab".repeat(32)));
        assert_eq!(about(&bytes), Some(digest));
    }

    #[test]
    fn a_text_of_another_kind_is_no_payload() {
        for text in [
            "",
            "{}",
            r#"{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"latest"},"type":"cosign container image signature"}}"#,
            r#"{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"sha256:abababababababababababababababababababababababababababababababab"},"type":"invoice"}}"#,
        ] {
            assert_eq!(about(text.as_bytes()), None, "{text}");
        }
    }
}
