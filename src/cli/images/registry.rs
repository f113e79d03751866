//! Images of a registry: documents alone, unless their layers are wanted.

use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::digest::BlobDigest;
use crate::base::platform::Platform;
use crate::evidence::artifact::Companion;
use crate::image::build::BaseImage;
use crate::oci::config::Config;
use crate::oci::descriptor::Descriptor;
use crate::oci::manifest::{self, Document, Manifest};
use crate::oci::reference::{Reference, Repository};
use crate::registry::session::Session;
use crate::report::inspect::ReferrerView;
use crate::store::local::Store;

use super::super::args::Global;
use super::super::{machine, run};
use super::beside::{self, About};
use super::{Found, MOST_PLATFORMS, Wanted, no_image, no_platform, platform_of, unsound};

pub(super) fn of_registry(global: &Global, reference: &Reference, wanted: Wanted<'_>) -> Result<Found, Diagnostics> {
    let (session, store) = machine::apart(global, wanted.insecure.then(|| reference.repository.host()))?;
    run::runtime()?.block_on(Registry { session: &session, store: &store, reference, wanted }.find()).map_err(Diagnostics::from)
}

struct Registry<'a> {
    session: &'a Session,
    store: &'a Store,
    reference: &'a Reference,
    wanted: Wanted<'a>,
}

impl Registry<'_> {
    fn repository(&self) -> &Repository {
        &self.reference.repository
    }

    async fn document(&self, name: &str) -> Result<(Descriptor, Document), Diagnostic> {
        let found = self.session.document(self.repository(), name).await.map_err(|error| error.diagnostic())?;
        let (descriptor, bytes) =
            found.ok_or_else(|| no_image(&self.reference.to_string(), "is not there", "`kiln tags` lists what is"))?;
        let document = manifest::read(&descriptor.media_type, &bytes)
            .map_err(|error| no_image(&self.reference.to_string(), &format!("cannot be used: {error}"), "it is not an image"))?;
        Ok((descriptor, document))
    }

    async fn find(&self) -> Result<Found, Diagnostic> {
        let (top, document) = self.document(&self.reference.version()).await?;
        let within = if let Document::Index(index) = &document { beside::within(index) } else { Vec::new() };
        let (available, platforms) = match document {
            Document::Manifest(manifest) => {
                let image = self.image(&top, manifest, None).await?;
                let platform = platform_of(&image.config);
                (vec![platform.clone()], vec![(platform, image)])
            }
            Document::Index(index) => {
                let named = |entry: &Descriptor| Some((entry.platform.as_ref()?.to_platform()?, entry.clone()));
                let entries: Vec<(Platform, Descriptor)> = index.manifests.iter().filter_map(named).take(MOST_PLATFORMS).collect();
                let available: Vec<String> = entries.iter().map(|(platform, _)| platform.to_string()).collect();
                let host = Platform::host();
                let chosen = match self.wanted.platform {
                    Some(wanted) => entries.iter().find(|(platform, _)| platform == wanted),
                    None => entries.iter().find(|(platform, _)| *platform == host).or_else(|| entries.first()),
                };
                let Some((platform, entry)) = chosen else {
                    return Err(no_platform(&self.reference.to_string(), self.wanted.platform.unwrap_or(&host), &available));
                };
                let (child, Document::Manifest(manifest)) = self.document(&entry.digest.to_string()).await? else {
                    return Err(no_image(
                        &self.reference.to_string(),
                        "holds an index within an index",
                        "name the inner one by its digest",
                    ));
                };
                (available, vec![(platform.to_string(), self.image(&child, manifest, Some(platform)).await?)])
            }
        };
        let referrers = if self.wanted.beside { self.referrers(&top, within, &platforms).await? } else { Vec::new() };
        Ok(Found { store: self.store.clone(), top, available, platforms, recipes: Vec::new(), referrers, former: Vec::new() })
    }

    async fn referrers(
        &self,
        top: &Descriptor,
        within: Vec<(Descriptor, BlobDigest)>,
        platforms: &[(String, BaseImage)],
    ) -> Result<Vec<ReferrerView>, Diagnostic> {
        let mut subjects = vec![top.digest];
        subjects.extend(platforms.iter().map(|(_, image)| image.descriptor.digest).filter(|digest| *digest != top.digest));
        let mut about = Vec::new();
        for (entry, subject) in within.into_iter().filter(|(_, subject)| subjects.contains(subject)) {
            let (found, document) = self.document(&entry.digest.to_string()).await?;
            about.extend(beside::pieces(&found, document, subject, None));
        }
        for subject in subjects {
            let listed = self.session.referrers(self.repository(), subject).await.map_err(|error| error.diagnostic())?;
            about.extend(listed.into_iter().map(|entry| About { entry, subject, tag: None }));
            for companion in Companion::ALL {
                let tag = companion.tag(subject);
                let found = self.session.document(self.repository(), tag.as_str()).await.map_err(|error| error.diagnostic())?;
                let Some((found, bytes)) = found else { continue };
                // What is no manifest is no evidence.
                let Ok(document) = manifest::read(&found.media_type, &bytes) else { continue };
                about.extend(beside::pieces(&found, document, subject, Some(tag.as_str())));
            }
        }
        Ok(beside::shown(about, platforms, top.digest))
    }

    /// The documents of one platform; with its layers where these are wanted.
    async fn image(&self, own: &Descriptor, manifest: Manifest, platform: Option<&Platform>) -> Result<BaseImage, Diagnostic> {
        if self.wanted.layers {
            let pinned = Reference { digest: Some(own.digest), ..self.reference.clone() };
            let platform = platform.cloned().or_else(|| self.wanted.platform.cloned());
            let platform = match platform {
                Some(platform) => platform,
                None => {
                    let config = self.config(&manifest).await?;
                    platform_of(&config)
                        .parse()
                        .map_err(|_| no_image(&self.reference.to_string(), "is for no platform that kiln knows", ""))?
                }
            };
            let pulled = self.session.pull(&pinned, &platform).await.map_err(|error| error.diagnostic())?;
            return BaseImage::read(self.store, &pulled.descriptor).map_err(|error| unsound(&error));
        }
        let config = self.config(&manifest).await?;
        Ok(BaseImage { descriptor: own.clone(), manifest, config })
    }

    async fn config(&self, manifest: &Manifest) -> Result<Config, Diagnostic> {
        let read = self.session.small_blob(self.repository(), &manifest.config, manifest::LIMIT).await;
        let bytes = read.map_err(|error| error.diagnostic())?;
        serde_json::from_slice(&bytes)
            .map_err(|error| no_image(&self.reference.to_string(), &format!("has no config of an image: {error}"), ""))
    }
}
