//! OCI layouts that kiln wrote into a project, read as they lie there.

use std::collections::BTreeMap;

use kiln::base::digest::{Digest, Sha256};
use serde_json::{Value, json};

use super::project::Project;

/// The list of a layout.
pub fn index(project: &Project, layout: &str) -> Value {
    serde_json::from_str(&project.read(&format!("{layout}/index.json"))).unwrap()
}

/// The text of a blob.
pub fn text(project: &Project, layout: &str, descriptor: &Value) -> String {
    project.read(&format!("{layout}/{}", place(descriptor)))
}

/// A blob that holds JSON.
pub fn document(project: &Project, layout: &str, descriptor: &Value) -> Value {
    serde_json::from_str(&text(project, layout, descriptor)).unwrap()
}

/// Where a blob lies in its layout.
pub fn place(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/")
}

/// Puts a blob into a layout, and describes it.
pub fn put(project: &Project, layout: &str, bytes: &[u8], media_type: &str) -> Value {
    let digest = Digest::<Sha256>::of(bytes).to_string();
    let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
    project.write(&format!("{layout}/{}", place(&descriptor)), bytes);
    descriptor
}

/// What the first entry of the list names.
pub fn first(project: &Project, layout: &str) -> String {
    index(project, layout)["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

/// Every tag with the digest that it names.
pub fn tags(project: &Project, layout: &str) -> BTreeMap<String, String> {
    let index = index(project, layout);
    let tag = |entry: &Value| {
        let tag = entry["annotations"]["org.opencontainers.image.ref.name"].as_str()?;
        Some((tag.to_owned(), entry["digest"].as_str().unwrap().to_owned()))
    };
    index["manifests"].as_array().unwrap().iter().filter_map(tag).collect()
}
