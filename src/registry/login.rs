//! Tries a login without doing anything with it.
//! In: a client whose credentials are the ones to be tried. Out: whether the registry takes them.
//! Never: a second try of a password that was refused.

use reqwest::Method;

use crate::oci::reference::Repository;

use super::auth::token::Scope;
use super::client::{Call, Client};
use super::error::RegistryError;

/// What a registry says to a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcome {
    /// It knows who this is.
    Known,
    /// It let everybody in without asking, so nothing is known of the login.
    Unasked,
}

impl Client {
    /// Asks the registry of `repository` whether it takes this client's credentials. The repository need not exist.
    ///
    /// # Errors
    /// [`RegistryError`]; [`super::error::Fault::Login`] when they are refused.
    pub async fn try_login(&self, repository: &Repository) -> Result<Welcome, RegistryError> {
        let site = self.site(repository).await?;
        let scope = Scope::none();
        site.call(&Call::new(Method::GET, site.top(), &scope), &[200]).await?;
        Ok(if site.was_asked() { Welcome::Known } else { Welcome::Unasked })
    }
}
