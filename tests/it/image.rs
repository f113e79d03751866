//! Images: the same bytes everywhere, and readable by the tools that people have.

use std::cell::Cell as StdCell;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use kiln::base::diagnostic::{Class, Source, Span};
use kiln::base::digest::{BlobDigest, ContentDigest, Digest, Sha256};
use kiln::base::id::RunId;
use kiln::base::path::{AbsPath, RelPath};
use kiln::base::pattern::Pattern;
use kiln::base::platform::Platform;
use kiln::image::archive::{Readers, write_archive};
use kiln::image::build::{BaseImage, Builder, Built, index};
use kiln::image::cache::StoreCache;
use kiln::image::files::walk;
use kiln::image::layer::Contents;
use kiln::image::layout::{LayoutError, read_layout, tags};
use kiln::image::publish::{Check, Published, check_layout, publish_blobs, publish_tags};
use kiln::image::tree::{SourceFile, SourceKind};
use kiln::oci::descriptor::Descriptor;
use kiln::oci::manifest::{self, Document};
use kiln::oci::media_type;
use kiln::oci::reference::Tag;
use kiln::plan::image::{Copy, Form, LayerDef, Media, Recipe, Settings};
use kiln::plan::target::FileSet;
use kiln::store::local::Store;

const EPOCH: i64 = 1_700_000_000;

/// A store in a folder of its own.
struct Home {
    folder: tempfile::TempDir,
    store: Store,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(AbsPath::new(folder.path().join("store")).unwrap()).unwrap();
        Self { folder, store }
    }
    fn at(&self, name: &str) -> AbsPath {
        AbsPath::new(self.folder.path().join(name)).unwrap()
    }
    fn cache(&self) -> StoreCache {
        StoreCache { store: self.store.clone(), run: RunId("test".to_owned()) }
    }
}

/// A project held in memory, which counts how often a file is read.
struct Project {
    files: Vec<(SourceFile, Vec<u8>)>,
    opened: StdCell<usize>,
}

impl Contents for Project {
    fn open(&self, file: &SourceFile) -> io::Result<Box<dyn Read + '_>> {
        self.opened.set(self.opened.get() + 1);
        let (_, bytes) = self.files.iter().find(|(own, _)| own == file).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(bytes.as_slice()))
    }
}

fn project() -> Project {
    let file = |path: &str, bytes: &[u8], executable| {
        let digest = ContentDigest(Digest::of(bytes));
        let kind = SourceKind::File { digest, size: bytes.len() as u64, executable };
        (SourceFile { path: RelPath::new(path).unwrap(), kind, own: None }, bytes.to_vec())
    };
    let link =
        SourceFile { path: RelPath::new("etc/current").unwrap(), kind: SourceKind::Link { target: b"app.conf".to_vec() }, own: None };
    let big: Vec<u8> = (0..600_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let files = vec![
        file("dist/app", &big, true),
        file("etc/app.conf", b"port = 8080\n", false),
        file("etc/sub/more.conf", b"", false),
        (link, Vec::new()),
    ];
    Project { files, opened: StdCell::new(0) }
}

fn span() -> Span {
    Span::new(&Arc::new(Source { name: String::new(), text: String::new() }), 0, 0)
}

fn recipe(platform: &str) -> Recipe {
    let copy = |from: &str, to: &str, owner| Copy {
        from: FileSet { include: vec![(Pattern::new(from).unwrap(), span())], exclude: Vec::new() },
        image: None,
        to: to.to_owned(),
        owner: Some(owner),
        mode: None,
        span: span(),
    };
    let settings = Settings {
        env: vec![("PORT".to_owned(), "8080".to_owned())],
        user: Some("1000:1000".to_owned()),
        entrypoint: Some(vec!["/bin/app".to_owned()]),
        labels: vec![("org.example".to_owned(), "app".to_owned())],
        annotations: vec![("org.opencontainers.image.title".to_owned(), "app".to_owned())],
        ..Settings::default()
    };
    let copies = [copy("dist/app", "/bin/app", (0, 0)), copy("etc", "/home/app/etc", (1000, 1000))];
    let layers = copies.into_iter().map(|copy| LayerDef::Copies(vec![copy])).collect();
    Recipe { platform: platform.parse().unwrap(), base: None, layers, squash: false, form: Form::default(), dockerfile: None, settings }
}

fn sources(project: &Project) -> Vec<Vec<SourceFile>> {
    let all: Vec<SourceFile> = project.files.iter().map(|(file, _)| file.clone()).collect();
    let (app, etc) = all.split_at(1);
    vec![app.to_vec(), etc.to_vec()]
}

fn build(home: &Home, project: &Project, platform: &str, base: Option<&BaseImage>) -> Built {
    let cache = home.cache();
    let builder = Builder { store: &home.store, contents: project, cache: &cache, epoch: EPOCH, mtime: 0 };
    builder.image(&recipe(platform), base, &sources(project)).unwrap()
}

fn fixture() -> AbsPath {
    AbsPath::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/images/base")).unwrap()
}

fn amd64() -> Platform {
    "amd64".parse().unwrap()
}

fn base(home: &Home) -> BaseImage {
    let imported = read_layout(&home.store, &fixture(), Some("1"), &amd64()).unwrap();
    BaseImage::read(&home.store, &imported.descriptor).unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// Runs a tool that the test machine has; without it the test says so, and fails where CI promised it.
#[allow(clippy::print_stdout, reason = "a check that was not made must be seen")]
fn tool(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(output)
        }
        Err(error) => {
            println!("{program} is not here, so what it says is not checked: {error}");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must have {program}");
            None
        }
    }
}

#[test]
fn images_have_the_digests_that_they_had_when_this_was_written() {
    let home = Home::new();
    let project = project();
    let from_scratch = build(&home, &project, "amd64", None);
    let from_base = build(&home, &project, "amd64", Some(&base(&home)));
    let arm = build(&home, &project, "arm64", None);
    let pairs = [(amd64(), from_scratch.descriptor.clone()), ("arm64".parse().unwrap(), arm.descriptor)];
    let both = index(&home.store, &pairs, &[("a".to_owned(), "b".to_owned())], Media::Oci).unwrap();
    let found = [from_scratch.descriptor, from_base.descriptor, both.descriptor].map(|descriptor| descriptor.digest.0.hex());
    let expected = [
        "8a931e027791b1fc35fba8d26c02d6680330af08ee7de997a68ceb28f118d046",
        "4aad84515eec725914687f4682f63f87885637aba76ff5da95b0de878f3e55f6",
        "ea8635e5e7e6e9225ec1739b2e8ed68c9a03101f58549bf7ae2fc3b4ad41c993",
    ];
    assert_eq!(found, expected);
    // Two platforms share their layers.
    assert_eq!((both.blobs.len(), both.layers), (2 + 2 * 2 + 1, 4));
}

#[test]
fn another_machine_and_another_order_give_the_same_image() {
    let (one, two) = (Home::new(), Home::new());
    let project = project();
    let first = build(&one, &project, "amd64", Some(&base(&one)));
    let cache = two.cache();
    let builder = Builder { store: &two.store, contents: &project, cache: &cache, epoch: EPOCH, mtime: 0 };
    let mut backwards = sources(&project);
    backwards.iter_mut().for_each(|files| files.reverse());
    let second = builder.image(&recipe("amd64"), Some(&base(&two)), &backwards).unwrap();
    assert_eq!(first, second);
    for blob in &first.blobs {
        assert_eq!(one.store.read::<Sha256>(blob.0, 1 << 30).unwrap(), two.store.read::<Sha256>(blob.0, 1 << 30).unwrap());
    }
}

#[test]
fn a_fault_is_shown_at_the_copy_that_it_belongs_to() {
    let home = Home::new();
    let project = project();
    let cache = home.cache();
    let builder = Builder { store: &home.store, contents: &project, cache: &cache, epoch: EPOCH, mtime: 0 };
    let recipe = recipe("amd64");
    let none = builder.image(&recipe, None, &[sources(&project)[0].clone(), Vec::new()]).unwrap_err().diagnostic(&recipe);
    assert_eq!((none.code, none.class, none.message.as_str()), ("image::copy", Class::Step, "no file matches `etc`"));
    assert!(std::ptr::eq(Arc::as_ptr(&none.labels[0].span.source), Arc::as_ptr(&recipe.copies().nth(1).unwrap().span.source)));
    let gone = Project { files: Vec::new(), opened: StdCell::new(0) };
    let builder = Builder { contents: &gone, ..builder };
    let cold = Home::new();
    let cache = cold.cache();
    let gone = Builder { cache: &cache, ..builder }.image(&recipe, None, &sources(&project)).unwrap_err().diagnostic(&recipe);
    assert_eq!((gone.code, gone.message.as_str()), ("image::source", "cannot read `dist/app`: entity not found"));
}

#[test]
fn unchanged_layers_are_not_read_again_unless_their_blob_is_gone() {
    let home = Home::new();
    let project = project();
    let first = build(&home, &project, "amd64", None);
    assert_eq!((first.written, project.opened.replace(0)), (2, 3));
    let second = build(&home, &project, "amd64", None);
    assert_eq!((second.written, project.opened.replace(0), &second.descriptor), (0, 0, &first.descriptor));
    std::fs::remove_file(home.store.blob_path(first.blobs[0].0).as_path()).unwrap();
    let third = build(&home, &project, "amd64", None);
    assert_eq!((third.written, project.opened.get(), &third.descriptor), (1, 1, &first.descriptor));
}

#[test]
fn a_base_keeps_its_layers_its_modes_and_its_links() {
    let home = Home::new();
    let base = base(&home);
    let built = build(&home, &project(), "amd64", Some(&base));
    let image = BaseImage::read(&home.store, &built.descriptor).unwrap();
    assert_eq!(image.manifest.layers[..1], base.manifest.layers[..]);
    assert_eq!(image.manifest.annotations["org.opencontainers.image.base.digest"], base.descriptor.digest.to_string());
    assert_eq!(image.config.config.env, ["PATH=/usr/bin", "LANG=C", "PORT=8080"]);
    assert_eq!(image.config.config.cmd, Vec::<String>::new());
    assert_eq!(image.config.config.labels["org.example"], "app");
    let mut lines = Vec::new();
    walk(&home.store, &image.manifest, &mut |layer, entry, data| {
        let size = io::copy(data, &mut io::sink())?;
        assert_eq!(size, entry.size);
        if layer > 0 {
            lines.push(format!("{layer} {} {:o} {}", String::from_utf8_lossy(&entry.path), entry.mode, entry.uid));
        }
        Ok(())
    })
    .unwrap();
    let expected = [
        "1 usr 755 0",
        "1 usr/bin 755 0",
        "1 usr/bin/app 755 0",
        "2 home 755 0",
        "2 home/app 700 1000",
        "2 home/app/etc 755 1000",
        "2 home/app/etc/app.conf 644 1000",
        "2 home/app/etc/current 777 1000",
        "2 home/app/etc/sub 755 1000",
        "2 home/app/etc/sub/more.conf 644 1000",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_base_in_dockers_types_becomes_an_oci_image() {
    let home = Home::new();
    let mut docker = base(&home);
    docker.manifest.layers[0].media_type = media_type::DOCKER_LAYER_GZIP.to_owned();
    docker.manifest.media_type = Some(media_type::DOCKER_MANIFEST.to_owned());
    let built = build(&home, &project(), "amd64", Some(&docker));
    let image = BaseImage::read(&home.store, &built.descriptor).unwrap();
    assert_eq!(built.descriptor.media_type, media_type::MANIFEST);
    assert!(image.manifest.layers.iter().all(|layer| layer.media_type == media_type::LAYER_GZIP));
    assert_eq!(image.manifest.layers[0].digest, docker.manifest.layers[0].digest);
}

#[test]
fn a_layout_is_published_once_and_found_right_after() {
    let home = Home::new();
    let built = build(&home, &project(), "amd64", Some(&base(&home)));
    let (store, top, layout) = (&home.store, &built.descriptor, home.at("dist/images/app"));
    let tags_of = [tag("1.2.3"), tag("latest")];
    let right = || check_layout(store, &layout, top, &tags_of, &built.blobs);
    assert!(!right());
    let published = publish_blobs(store, top, &layout, Check::Size).unwrap();
    assert_eq!((published.blobs, published.written, published.bytes), (5, 5, built.size));
    assert!(!right());
    assert!(publish_tags(&layout, top, &tags_of).unwrap());
    assert!(right());
    assert_eq!(publish_blobs(store, top, &layout, Check::Digest).unwrap(), Published { blobs: 5, ..Published::default() });
    assert!(!publish_tags(&layout, top, &tags_of).unwrap());
    let first = std::fs::read(layout.join("index.json").as_path()).unwrap();
    assert!(publish_tags(&layout, top, &[tag("dev")]).unwrap());
    assert!(publish_tags(&layout, &base(&home).descriptor, &[tag("dev")]).unwrap());
    let names: Vec<String> = tags(&layout).unwrap().into_keys().collect();
    assert_eq!(names, ["1.2.3", "dev", "latest"]);
    assert!(right(), "another tag changed what is said of these");
    assert_ne!(std::fs::read(layout.join("index.json").as_path()).unwrap(), first);
}

#[test]
fn damage_in_a_published_layout_is_found_and_repaired() {
    let home = Home::new();
    let built = build(&home, &project(), "amd64", None);
    let (store, top, layout) = (&home.store, &built.descriptor, home.at("out"));
    publish_blobs(store, top, &layout, Check::Size).unwrap();
    publish_tags(&layout, top, &[tag("1")]).unwrap();
    let blob = layout.join("blobs/sha256").join(built.blobs[0].0.hex());
    let right = || check_layout(store, &layout, top, &[tag("1")], &built.blobs);
    let good = std::fs::read(blob.as_path()).unwrap();
    let damages: [fn(&Path); 3] = [
        |blob| std::fs::remove_file(blob).unwrap(),
        |blob| std::fs::write(blob, b"short").unwrap(),
        |blob| {
            std::fs::rename(blob, blob.with_extension("away")).unwrap();
            std::os::unix::fs::symlink(blob.with_extension("away"), blob).unwrap();
        },
    ];
    for damage in damages {
        damage(blob.as_path());
        assert!(!right());
        assert_eq!(publish_blobs(store, top, &layout, Check::Size).unwrap().written, 1);
        assert!(right());
        assert!(std::fs::read(blob.as_path()).unwrap() == good);
    }
    let flipped: Vec<u8> = good.iter().map(|byte| byte ^ 1).collect();
    std::fs::write(blob.as_path(), flipped).unwrap();
    assert_eq!(publish_blobs(store, top, &layout, Check::Size).unwrap().written, 0);
    assert_eq!(publish_blobs(store, top, &layout, Check::Digest).unwrap().written, 1);
    assert!(std::fs::read(blob.as_path()).unwrap() == good);
}

#[test]
fn writers_at_the_same_time_lose_no_tag() {
    let home = Home::new();
    let built = build(&home, &project(), "amd64", None);
    let layout = home.at("out");
    publish_blobs(&home.store, &built.descriptor, &layout, Check::Size).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (layout, top) = (&layout, &built.descriptor);
            scope.spawn(move || {
                for number in 0..10 {
                    publish_tags(layout, top, &[tag(&format!("w{writer}-{number}"))]).unwrap();
                }
            });
        }
    });
    assert_eq!(tags(&layout).unwrap().len(), 80);
}

#[test]
fn an_image_without_tags_is_listed_until_it_has_one() {
    let home = Home::new();
    let built = build(&home, &project(), "amd64", None);
    let layout = home.at("out");
    publish_blobs(&home.store, &built.descriptor, &layout, Check::Size).unwrap();
    assert!(publish_tags(&layout, &built.descriptor, &[]).unwrap());
    assert!(!publish_tags(&layout, &built.descriptor, &[]).unwrap());
    assert!(read_layout(&Home::new().store, &layout, None, &amd64()).is_ok());
    publish_tags(&layout, &built.descriptor, &[tag("1")]).unwrap();
    let text = std::fs::read_to_string(layout.join("index.json").as_path()).unwrap();
    assert_eq!(text.matches(&built.descriptor.digest.to_string()).count(), 1);
}

#[test]
fn the_platform_and_the_tag_choose_the_image_of_a_layout() {
    let home = Home::new();
    let project = project();
    let images: Vec<(Platform, Descriptor)> =
        ["amd64", "arm64", "arm-v7"].map(|platform| (platform.parse().unwrap(), build(&home, &project, platform, None).descriptor)).into();
    let both = index(&home.store, &images, &[], Media::Oci).unwrap();
    let layout = home.at("out");
    publish_blobs(&home.store, &both.descriptor, &layout, Check::Size).unwrap();
    publish_tags(&layout, &both.descriptor, &[tag("all")]).unwrap();
    for (platform, image) in &images {
        let other = Home::new();
        let found = read_layout(&other.store, &layout, None, platform).unwrap();
        assert_eq!((found.descriptor.digest, found.blobs.len()), (image.digest, 4));
        assert!(found.blobs.iter().all(|blob| other.store.size_of(blob.0).is_some()));
    }
    publish_tags(&layout, &images[1].1, &[tag("arm")]).unwrap();
    let said = |tag: Option<&str>, platform: &str| {
        let error = read_layout(&Home::new().store, &layout, tag, &platform.parse().unwrap()).unwrap_err().to_string();
        error.replace(&layout.to_string(), "DIR")
    };
    assert_eq!(said(Some("none"), "amd64"), "the layout `DIR` has no image tagged `none`; it has `all` and `arm`");
    assert_eq!(
        said(Some("all"), "s390x"),
        "the layout `DIR` has no image for `linux/s390x`; it has `linux/amd64`, `linux/arm64` and `linux/arm/v7`"
    );
    assert_eq!(said(None, "amd64"), "the layout `DIR` holds several images; name one of them: `all` and `arm`");
}

/// A copy of the fixture that a test may spoil.
fn spoiled(home: &Home, spoil: impl Fn(&Path)) -> LayoutError {
    let layout = home.at("spoiled");
    let _ = std::fs::remove_dir_all(layout.as_path());
    std::fs::create_dir_all(layout.join("blobs/sha256").as_path()).unwrap();
    for name in ["oci-layout", "index.json"] {
        std::fs::copy(fixture().join(name).as_path(), layout.join(name).as_path()).unwrap();
    }
    for blob in std::fs::read_dir(fixture().join("blobs/sha256").as_path()).unwrap() {
        let blob = blob.unwrap();
        std::fs::copy(blob.path(), layout.join("blobs/sha256").join(blob.file_name()).as_path()).unwrap();
    }
    assert!(read_layout(&Home::new().store, &layout, Some("1"), &amd64()).is_ok());
    spoil(layout.as_path());
    read_layout(&Home::new().store, &layout, Some("1"), &amd64()).unwrap_err()
}

#[test]
fn hostile_layouts_are_refused() {
    let home = Home::new();
    let layer = "blobs/sha256/b40a35ed8f4d64163fcc1aed7a1aec6d9b22c015873024aa2e5a5d18f1ddd76d";
    let rewrite = |from: &'static str, to: &'static str| {
        move |layout: &Path| {
            let text = std::fs::read_to_string(layout.join("index.json")).unwrap();
            assert!(text.contains(from), "{text}");
            std::fs::write(layout.join("index.json"), text.replace(from, to)).unwrap();
        }
    };
    type Spoil = Box<dyn Fn(&Path)>;
    let cases: Vec<(&str, Spoil)> = vec![
        (
            "is not a regular file",
            Box::new(move |layout| {
                std::fs::rename(layout.join(layer), layout.join("elsewhere")).unwrap();
                std::os::unix::fs::symlink("../../elsewhere", layout.join(layer)).unwrap();
            }),
        ),
        (
            "lies behind a symbolic link",
            Box::new(|layout| {
                std::fs::rename(layout.join("blobs/sha256"), layout.join("elsewhere")).unwrap();
                std::os::unix::fs::symlink("../elsewhere", layout.join("blobs/sha256")).unwrap();
            }),
        ),
        ("is missing", Box::new(move |layout| std::fs::remove_file(layout.join(layer)).unwrap())),
        ("has 5 bytes, but 312 were announced", Box::new(move |layout| std::fs::write(layout.join(layer), "short").unwrap())),
        ("is damaged", Box::new(move |layout| std::fs::write(layout.join(layer), [0; 312]).unwrap())),
        ("but 346 were announced", Box::new(rewrite("\"size\":345", "\"size\":346"))),
        ("is too large for a manifest", Box::new(rewrite("\"size\":345", "\"size\":99999999999"))),
        ("is not a digest", Box::new(rewrite("sha256:20901b", "sha256:../../"))),
        ("is not a digest", Box::new(rewrite("sha256:20901b", "sha256:20901B"))),
        ("is not a digest", Box::new(rewrite("sha256:20901b", "sha512:20901b"))),
        ("two different images", Box::new(rewrite("\"schemaVersion\":2", "\"schemaVersion\":2,\"layers\":[]"))),
        ("neither a manifest nor an index", Box::new(rewrite("image.manifest.v1", "image.other.v1"))),
        (
            "its version is `2.0`",
            Box::new(|layout| {
                std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"2.0"}"#).unwrap();
            }),
        ),
        ("no `oci-layout` file", Box::new(|layout| std::fs::remove_file(layout.join("oci-layout")).unwrap())),
        (
            "nests more than 3 indexes",
            Box::new(|layout| {
                let text = std::fs::read_to_string(layout.join("index.json")).unwrap();
                let mut index = match manifest::read(media_type::INDEX, text.as_bytes()).unwrap() {
                    Document::Index(index) => index,
                    Document::Manifest(_) => panic!("the fixture changed"),
                };
                for _ in 0..5 {
                    let bytes = manifest::bytes(&index);
                    let mut own = Descriptor::of(media_type::INDEX, &bytes);
                    own.annotations = index.manifests[0].annotations.clone();
                    std::fs::write(layout.join("blobs/sha256").join(own.digest.0.hex()), &bytes).unwrap();
                    index.manifests = vec![own];
                }
                std::fs::write(layout.join("index.json"), manifest::bytes(&index)).unwrap();
            }),
        ),
    ];
    for (expected, spoil) in cases {
        let error = spoiled(&home, spoil).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn skopeo_and_umoci_read_a_published_layout() {
    let home = Home::new();
    let built = build(&home, &project(), "amd64", Some(&base(&home)));
    let layout = home.at("out");
    publish_blobs(&home.store, &built.descriptor, &layout, Check::Size).unwrap();
    publish_tags(&layout, &built.descriptor, &[tag("1")]).unwrap();
    let name = format!("{layout}:1");
    if let Some(output) = tool("skopeo", &["inspect", &format!("oci:{name}")]) {
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["Digest"], built.descriptor.digest.to_string());
        assert_eq!(said["Created"], "2023-11-14T22:13:20Z");
    }
    // A copy into a plain directory decompresses nothing, one into an archive of Docker's recomputes every diff id.
    let archive = format!("docker-archive:{}", home.at("docker.tar"));
    tool("skopeo", &["--insecure-policy", "copy", &format!("oci:{name}"), &archive]);
    let bundle = home.at("bundle");
    if tool("umoci", &["unpack", "--rootless", "--image", &name, &bundle.to_string()]).is_some() {
        let root = bundle.join("rootfs");
        assert!(std::fs::read(root.join("usr/bin/app").as_path()).unwrap() == project().files[0].1);
        assert_eq!(std::fs::read_link(root.join("bin").as_path()).unwrap(), Path::new("usr/bin"));
        let mode = |path: &str| std::fs::metadata(root.join(path).as_path()).unwrap().permissions().mode() & 0o7777;
        assert_eq!(["tmp", "home/app", "home/app/etc"].map(mode), [0o1777, 0o700, 0o755]);
        assert_eq!(std::fs::read_link(root.join("home/app/etc/current").as_path()).unwrap(), Path::new("app.conf"));
    }
}

#[test]
fn gnu_tar_lists_a_layer_as_it_was_written() {
    let home = Home::new();
    let built = build(&home, &project(), "amd64", Some(&base(&home)));
    let layer = home.store.blob_path::<Sha256>(built.blobs[2].0).to_string();
    let Some(output) = tool("tar", &["--utc", "--numeric-owner", "--full-time", "-tvzf", &layer]) else { return };
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let expected = "\
drwxr-xr-x 0/0               0 1970-01-01 00:00:00 home/
drwx------ 1000/1000         0 1970-01-01 00:00:00 home/app/
drwxr-xr-x 1000/1000         0 1970-01-01 00:00:00 home/app/etc/
-rw-r--r-- 1000/1000        12 1970-01-01 00:00:00 home/app/etc/app.conf
lrwxrwxrwx 1000/1000         0 1970-01-01 00:00:00 home/app/etc/current -> app.conf
drwxr-xr-x 1000/1000         0 1970-01-01 00:00:00 home/app/etc/sub/
-rw-r--r-- 1000/1000         0 1970-01-01 00:00:00 home/app/etc/sub/more.conf
";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn an_archive_is_the_same_bytes_and_both_kinds_of_tools_read_it() {
    let home = Home::new();
    let built = build(&home, &project(), "amd64", Some(&base(&home)));
    let names = ["docker.io/acme/app:1.2".parse().unwrap(), "ghcr.io/acme/app".parse().unwrap()];
    let written = || {
        let mut bytes = Vec::new();
        write_archive(&home.store, &built.descriptor, &names, Readers::All, &mut bytes).unwrap();
        bytes
    };
    let bytes = written();
    assert!(bytes == written());
    let path = home.at("image.tar");
    std::fs::write(path.as_path(), &bytes).unwrap();
    let config = BaseImage::read(&home.store, &built.descriptor).unwrap().manifest.config.digest;
    for form in [format!("oci-archive:{path}:1.2"), format!("docker-archive:{path}")] {
        if let Some(output) = tool("skopeo", &["inspect", "--raw", "--config", &form]) {
            assert_eq!(BlobDigest(Digest::of(&output.stdout)), config, "{form}");
        }
    }
    if let Some(output) = tool("tar", &["-xOf", &path.to_string(), "manifest.json"]) {
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said[0]["RepoTags"], serde_json::json!(["docker.io/acme/app:1.2", "ghcr.io/acme/app:latest"]));
        assert_eq!(said[0]["Layers"].as_array().unwrap().len(), 3);
    }
}
