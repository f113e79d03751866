//! `kiln load`: an image of the store becomes an image of the daemon.

use std::io::{self, Write};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use crate::base::digest::BlobDigest;
use crate::image::archive::{self, Readers};
use crate::oci::descriptor::Descriptor;
use crate::oci::reference::Reference;
use crate::store::local::Store;

use super::{Docker, DockerError};

/// The bytes between the thread that writes the archive and the connection, in pieces of at most 256 KiB.
const PIECES: usize = 8;
const PIECE: usize = 256 << 10;

/// An image that the daemon has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id there, which names this content and no other.
    pub id: String,
    /// Whether it was sent; it is not when it stood under its name already.
    pub sent: bool,
}

impl Docker {
    /// Makes `name` in the daemon stand for an image of one platform. Nothing is sent when it does already.
    ///
    /// # Errors
    /// [`DockerError`].
    pub async fn load(&self, store: &Store, image: &Descriptor, name: &Reference) -> Result<Loaded, DockerError> {
        let ids = archive::engine_ids(store, image).map_err(|error| DockerError::Image(error.to_string()))?;
        if let Some(id) = self.holds(name, &ids).await? {
            return Ok(Loaded { id, sent: false });
        }
        self.send(store, image, name).await?;
        let id = self.holds(name, &ids).await?;
        id.map(|id| Loaded { id, sent: true }).ok_or_else(|| DockerError::Refused {
            act: "load the image",
            cause: format!("it took {}, and `{name}` names another image", image.digest.0.short()),
        })
    }

    async fn holds(&self, name: &Reference, ids: &[BlobDigest]) -> Result<Option<String>, DockerError> {
        let id = self.image_id(&name.to_string()).await?;
        Ok(id.filter(|id| ids.iter().any(|known| known.to_string() == *id)))
    }

    async fn send(&self, store: &Store, image: &Descriptor, name: &Reference) -> Result<(), DockerError> {
        let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES);
        let (store, image, names) = (store.clone(), image.clone(), [name.clone()]);
        let writer = tokio::task::spawn_blocking(move || {
            let mut pipe = Pipe { sender, buffer: Vec::with_capacity(PIECE) };
            archive::write_archive(&store, &image, &names, Readers::All, &mut pipe)
                .map_err(|error| error.to_string())
                .and_then(|_| pipe.flush().map_err(|error| error.to_string()))
        });
        let body =
            futures_util::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|piece| (piece, receiver)) });
        let options = bollard::query_parameters::ImportImageOptions { quiet: true, ..Default::default() };
        let mut answers = std::pin::pin!(self.api.import_image(options, bollard::body_try_stream(body), None));
        let mut refusal = None;
        while let Some(answer) = answers.next().await {
            if let Err(error) = answer {
                refusal = Some(error);
            }
        }
        let written = writer.await.map_err(|error| DockerError::Image(error.to_string()))?;
        match (refusal, written) {
            (Some(error), _) => Err(DockerError::refused("load the image")(error)),
            (None, Err(error)) => Err(DockerError::Image(error)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// The id of the image that has this name in the daemon.
    ///
    /// # Errors
    /// [`DockerError`]; an image that is not there is none.
    pub async fn image_id(&self, name: &str) -> Result<Option<String>, DockerError> {
        match self.api.inspect_image(name).await {
            Ok(found) => Ok(found.id),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(DockerError::refused("look for the image")(error)),
        }
    }
}

struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.buffer.len();
        let count = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the daemon closed the connection"))
    }
}
