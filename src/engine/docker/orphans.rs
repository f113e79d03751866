//! Containers whose kiln was killed: the daemon keeps them, and they would go on writing into the project behind the next run.
//! In: a step that is about to run. Out: none of its containers is left but those of a kiln that lives. Never: removes a
//! container of another project, machine or store; what cannot be told is left alone.

use std::collections::HashMap;

use bollard::query_parameters::{ListContainersOptions, RemoveContainerOptions};

use crate::base::digest::{ActionKey, Digest};
use crate::base::id::RunId;
use crate::store::claim::Life;
use crate::store::local::Store;

use super::{Docker, DockerError};

/// Whose a container is: the run, the project and the step, as labels.
#[derive(Debug, Clone)]
pub struct Mark {
    /// The run that made it.
    pub run: RunId,
    /// The project's directory.
    pub project: String,
    /// The step.
    pub step: String,
}

const RUN: &str = "dev.kiln.run";
const PROJECT: &str = "dev.kiln.project";
const STEP: &str = "dev.kiln.step";

impl Mark {
    /// The labels of a container.
    #[must_use]
    pub fn labels(&self) -> HashMap<String, String> {
        let pairs = [(RUN, self.run.to_string()), (PROJECT, self.project.clone()), (STEP, self.step.clone())];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Says that the run lives for as long as the sign is held. The kernel takes it from a kiln that is killed, but leaves its
    /// file: only this machine and this store know the run, and know that it is dead.
    #[must_use]
    pub fn live(&self, store: &Store) -> Life {
        store.live(self.key(&self.run.to_string()))
    }

    fn key(&self, run: &str) -> ActionKey {
        ActionKey(Digest::of(format!("container\0{run}\0{}\0{}", self.project, self.step).as_bytes()))
    }
}

impl Docker {
    /// Removes what killed runs left of this step; gives the number of containers.
    ///
    /// # Errors
    /// [`DockerError`].
    pub async fn remove_orphans(&self, store: &Store, mark: &Mark) -> Result<usize, DockerError> {
        let labels = [(PROJECT, &mark.project), (STEP, &mark.step)].map(|(name, value)| format!("{name}={value}"));
        let filters = Some(HashMap::from([("label".to_owned(), labels.to_vec())]));
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        let found = self.api.list_containers(Some(options)).await.map_err(DockerError::refused("list its containers"))?;
        let mut removed = 0;
        for container in found {
            let run = container.labels.as_ref().and_then(|labels| labels.get(RUN));
            let (Some(id), Some(run)) = (container.id, run) else { continue };
            let Some(_dead) = store.take_abandoned(mark.key(run)) else { continue };
            let removal = RemoveContainerOptions { force: true, v: true, ..Default::default() };
            self.api.remove_container(&id, Some(removal)).await.map_err(DockerError::refused("remove a container that was left"))?;
            removed += 1;
        }
        Ok(removed)
    }
}
