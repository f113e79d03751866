//! The OCI image specification's values and their exact bytes.
//! In: JSON as it came from a registry or a layout. Out: values that keep unknown fields, and canonical bytes of our own.
//! Never: serialises a document that came from elsewhere again; raw bytes travel beside the parsed value.

pub mod config;
pub mod descriptor;
pub mod manifest;
pub mod reference;

/// Media types that kiln writes or reads. Source: OCI image-spec 1.1, media-types.md; Docker image manifest v2 schema 2.
pub mod media_type {
    /// An OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image config.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A config that there is none of: `{}`. Source: image-spec 1.1, manifest.md, "Guidance for an Empty Descriptor".
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// A layer, uncompressed.
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// A layer compressed with gzip.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A layer compressed with zstd.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's image manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker's gzip layer.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

    /// Docker's uncompressed layer.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker's zstd layer.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// Docker's layer that registries do not hold, such as those of Windows.
    pub const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    /// The same in OCI's words.
    pub const FOREIGN_LAYER_GZIP: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

    /// OCI's name for a layer type of Docker; other types stay as they are. The bytes are the same.
    #[must_use]
    pub fn layer_in_oci(media_type: &str) -> &str {
        match media_type {
            DOCKER_LAYER => LAYER,
            DOCKER_LAYER_GZIP => LAYER_GZIP,
            DOCKER_LAYER_ZSTD => LAYER_ZSTD,
            DOCKER_FOREIGN_LAYER => FOREIGN_LAYER_GZIP,
            other => other,
        }
    }

    /// Docker's name for a layer type of OCI; other types stay as they are.
    #[must_use]
    pub fn layer_in_docker(media_type: &str) -> &str {
        match media_type {
            LAYER => DOCKER_LAYER,
            LAYER_GZIP => DOCKER_LAYER_GZIP,
            LAYER_ZSTD => DOCKER_LAYER_ZSTD,
            FOREIGN_LAYER_GZIP => DOCKER_FOREIGN_LAYER,
            other => other,
        }
    }

    /// Whether a document of this type lists manifests.
    #[must_use]
    pub fn is_index(media_type: &str) -> bool {
        media_type == INDEX || media_type == DOCKER_LIST
    }
    /// Whether a document of this type lists layers.
    #[must_use]
    pub fn is_manifest(media_type: &str) -> bool {
        media_type == MANIFEST || media_type == DOCKER_MANIFEST
    }
}
