//! Images of containers that the daemon does not have: it fetches them, with the login of this machine.

use bollard::auth::DockerCredentials;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt as _;

use crate::oci::reference::Reference;
use crate::registry::auth::credentials::{ConfigFiles, CredentialSource as _, Kind};

use super::{Docker, DockerError};

impl Docker {
    /// Lets the daemon pull an image, and gives its id.
    ///
    /// # Errors
    /// [`DockerError::Pull`], with the daemon's words.
    pub async fn pull(&self, reference: &Reference) -> Result<String, DockerError> {
        let refused = |cause: String| DockerError::pull(reference, &cause);
        let login = login(reference.repository.host()).await.map_err(refused)?;
        // Without a tag, the daemon would pull all of them.
        let version = reference.version();
        let from = Some(reference.repository.to_string());
        let options = CreateImageOptions { from_image: from, tag: Some(version), ..Default::default() };
        let mut answers = std::pin::pin!(self.api.create_image(Some(options), None, login));
        while let Some(answer) = answers.next().await {
            answer.map_err(|error| refused(super::said(&error)))?;
        }
        self.image_id(&reference.to_string()).await?.ok_or_else(|| refused("the daemon does not have it afterwards".to_owned()))
    }
}

async fn login(host: &str) -> Result<Option<DockerCredentials>, String> {
    let credential = ConfigFiles::of_machine().credential(host).await.map_err(|error| error.to_string())?;
    let blank = DockerCredentials { serveraddress: Some(host.to_owned()), ..Default::default() };
    Ok(match credential.reveal().clone() {
        Kind::Anonymous => None,
        Kind::Password { user, password } => Some(DockerCredentials { username: Some(user), password: Some(password), ..blank }),
        Kind::Identity(token) => Some(DockerCredentials { identitytoken: Some(token), ..blank }),
        Kind::Bearer(token) => Some(DockerCredentials { registrytoken: Some(token), ..blank }),
    })
}
