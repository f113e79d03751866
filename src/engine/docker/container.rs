//! One command in one container, which is gone afterwards, however the step ends.

use std::collections::HashMap;

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountTmpfsOptions, MountType};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, RemoveContainerOptions, StopContainerOptions, WaitContainerOptions,
};
use futures_util::StreamExt as _;

use crate::base::path::AbsPath;
use crate::engine::task::GRACE;
use crate::event::Stream;
use crate::plan::isolation::{self, MountSource, Network};
use crate::plan::target::Container;

use super::{Docker, DockerError};

/// Where the project is mounted.
pub const WORK: &str = "/work";

/// One command to run.
#[derive(Debug)]
pub struct Order<'a> {
    /// The id of an image that the daemon has.
    pub image: &'a str,
    /// What the plan says about the container.
    pub container: &'a Container,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments of the entrypoint; empty keeps the image's.
    pub cmd: Vec<String>,
    /// The project, for the mount.
    pub root: &'a AbsPath,
    /// Below the mount.
    pub dir: String,
    /// Marks the container as this run's.
    pub labels: HashMap<String, String>,
}

impl Docker {
    /// Runs the command, hands its output on, and gives its exit code. When `stop` resolves first, the command is asked to end,
    /// killed after a grace or when `kill` resolves, and `None` is given. In every case the container is removed.
    ///
    /// # Errors
    /// [`DockerError`].
    pub async fn run(
        &self,
        order: Order<'_>,
        mut output: impl FnMut(Stream, &[u8]),
        stop: impl Future<Output = ()>,
        kill: impl Future<Output = ()>,
    ) -> Result<Option<i64>, DockerError> {
        let created = self
            .api
            .create_container(None::<CreateContainerOptions>, body(order))
            .await
            .map_err(DockerError::refused("create a container"))?;
        let mut attended = Box::pin(self.attend(&created.id, &mut output));
        let result = tokio::select! {
            code = &mut attended => code.map(Some),
            () = stop => {
                let grace = StopContainerOptions { t: i32::try_from(GRACE.as_secs()).ok(), ..Default::default() };
                tokio::select! {
                    // Whether it went well does not matter: the removal below ends whatever is left.
                    _ = async { tokio::join!(self.api.stop_container(&created.id, Some(grace)), &mut attended) } => {}
                    () = kill => {}
                }
                Ok(None)
            }
        };
        drop(attended);
        let removal = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = self.api.remove_container(&created.id, Some(removal)).await.map_err(DockerError::refused("remove the container"));
        result.and_then(|code| removed.map(|()| code))
    }

    async fn attend(&self, id: &str, output: &mut impl FnMut(Stream, &[u8])) -> Result<i64, DockerError> {
        let attach = AttachContainerOptions { stream: true, stdout: true, stderr: true, ..Default::default() };
        let mut attached = self.api.attach_container(id, Some(attach)).await.map_err(DockerError::refused("attach to the container"))?;
        self.api.start_container(id, None).await.map_err(DockerError::refused("start the container"))?;
        while let Some(piece) = attached.output.next().await {
            match piece.map_err(DockerError::refused("read the container's output"))? {
                LogOutput::StdErr { message } => output(Stream::Err, &message),
                LogOutput::StdOut { message } | LogOutput::Console { message } => output(Stream::Out, &message),
                LogOutput::StdIn { .. } => {}
            }
        }
        let mut ended = std::pin::pin!(self.api.wait_container(id, None::<WaitContainerOptions>));
        match ended.next().await {
            Some(Ok(answer)) => Ok(answer.status_code),
            // The library gives every exit code but zero as an error.
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(error)) => Err(DockerError::refused("wait for the container")(error)),
            None => Err(DockerError::Refused { act: "wait for the container", cause: "the connection closed early".to_owned() }),
        }
    }
}

fn body(order: Order<'_>) -> ContainerCreateBody {
    let inside = order.container;
    let walls = &inside.isolation;
    let project = inside.mount.then(|| bind(order.root.as_path(), WORK, false));
    let own = walls.mounts.iter().filter_map(|mount| mounted(mount, order.root));
    let host = HostConfig {
        mounts: Some(project.into_iter().chain(own).collect()),
        network_mode: matches!(walls.network, Network::None).then(|| "none".to_owned()),
        readonly_rootfs: Some(walls.read_only),
        memory: walls.memory.and_then(|bytes| i64::try_from(bytes).ok()),
        nano_cpus: walls.cpus.map(|cpus| (cpus * 1e9) as i64),
        pids_limit: walls.pids.map(i64::from),
        cap_drop: (!walls.cap_drop.is_empty()).then(|| walls.cap_drop.clone()),
        cap_add: (!walls.cap_add.is_empty()).then(|| walls.cap_add.clone()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        // An init process reaps what the command leaves behind and hands signals on.
        init: Some(true),
        ..Default::default()
    };
    // kiln's own labels win: orphans are found by them.
    let labels = walls.labels.iter().cloned().chain(order.labels).collect();
    ContainerCreateBody {
        image: Some(order.image.to_owned()),
        user: walls.user.clone(),
        env: Some(order.env),
        entrypoint: order.entrypoint,
        cmd: (!order.cmd.is_empty()).then_some(order.cmd),
        working_dir: inside.mount.then(|| if order.dir.is_empty() { WORK.to_owned() } else { format!("{WORK}/{}", order.dir) }),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        labels: Some(labels),
        host_config: Some(host),
        ..Default::default()
    }
}

fn bind(source: &std::path::Path, at: &str, read_only: bool) -> Mount {
    Mount {
        target: Some(at.to_owned()),
        source: Some(source.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        ..Default::default()
    }
}

/// A volume of the plan is made by `kiln up` and mounted by services alone; preflight refuses it in a task.
fn mounted(mount: &isolation::Mount, root: &AbsPath) -> Option<Mount> {
    match &mount.source {
        MountSource::Project(path) => Some(bind(root.at(path).as_path(), &mount.at, mount.read_only)),
        MountSource::Memory(size) => Some(Mount {
            target: Some(mount.at.clone()),
            typ: Some(MountType::TMPFS),
            read_only: Some(mount.read_only),
            tmpfs_options: Some(MountTmpfsOptions { size_bytes: size.and_then(|bytes| i64::try_from(bytes).ok()), ..Default::default() }),
            ..Default::default()
        }),
        MountSource::Volume(_) => None,
    }
}
