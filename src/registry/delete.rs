//! Takes documents out of a repository, by digest: with a document go all its tags.
//! In: a digest. Out: whether it was there. Never: a tag alone, which not every registry can take away.

use reqwest::Method;

use crate::base::digest::BlobDigest;
use crate::oci::reference::Repository;

use super::auth::token::Scope;
use super::client::{Call, Client};
use super::error::{Fault, RegistryError};

impl Client {
    /// Removes a manifest or an index; `false` when it was not there.
    ///
    /// # Errors
    /// [`RegistryError`]; [`Fault::Undeletable`] when the registry lets nobody remove anything.
    pub async fn remove(&self, repository: &Repository, document: BlobDigest) -> Result<bool, RegistryError> {
        let site = self.site(repository).await?;
        let scope = Scope::delete(repository);
        let call = Call::new(Method::DELETE, site.url(&format!("manifests/{document}")), &scope);
        match site.call(&call, &[200, 202, 204, 404]).await {
            Ok(answer) => Ok(answer.status() != 404),
            Err(error) => Err(match &*error.fault {
                Fault::Status(refusal) if refusal.status == 405 || refusal.has_code("UNSUPPORTED") => {
                    let fault = Fault::Undeletable(refusal.words());
                    RegistryError { fault: Box::new(fault), ..error }
                }
                _ => error,
            }),
        }
    }
}
