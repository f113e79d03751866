//! Signers known by a certificate alone: an authority says who held the key, and a log says when, since the key lives for minutes.
//! In: what came with a signature, and what the user trusts. Out: who signed and when, or why that is not known.
//! Never: trusts a root, a log or a time that nobody named.

mod certificate;
mod entry;
pub mod identity;
pub mod material;
mod stamp;
pub mod trust;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::material::Material;

    /// The root of trust of sigstore's public instance, as its repository had it in 2023.
    pub(super) const PUBLISHED: &str = include_str!("../../../fixtures/keyless/trusted_root.json");

    /// A signature in the old form that a workflow of GitHub made in public: payload and signature, and what came with them.
    pub(super) fn github() -> ((Vec<u8>, Vec<u8>), Material) {
        let layer: crate::oci::descriptor::Descriptor =
            serde_json::from_str(include_str!("../../../fixtures/keyless/github-actions.json")).unwrap();
        let image = "sha256:c05263d2ff654c3a94243662440913f045075d59c436e2c69e9145ec2b87a321".parse().unwrap();
        let payload = super::super::simple::payload("index.docker.io/salrashid123/server_image", image);
        let signature = STANDARD.decode(&layer.annotations[super::super::simple::SIGNATURE]).unwrap();
        ((payload, signature), Material::of_annotations(&layer.annotations))
    }
}
