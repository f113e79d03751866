//! What happens to files that were made.

use super::{Case, built, copying};
use crate::project::{Project, task};
use crate::tools::Offer;
use crate::world::{Check, World, to_come};

pub const CASES: &[Case] = &[
    Case { says: "all outputs are deleted: they come back, 0 commands", project: copying, act: all_deleted },
    Case { says: "one file of an output folder is deleted: it comes back", project: copying, act: one_deleted },
    Case { says: "an output is edited by hand: noticed and put right", project: copying, act: edited },
    Case { says: "an output is edited and keeps time and size: noticed", project: copying, act: edited_unseen },
    Case { says: "an output is cut to nothing: noticed", project: copying, act: cut },
    Case { says: "an output is touched: nothing runs", project: copying, act: touched },
    Case { says: "an output loses its executable bit: it gets it back", project: executable, act: mode_lost },
    Case { says: "an output becomes a link to another file: put right", project: copying, act: made_a_link },
    Case { says: "what comes back has its modes and links", project: kinds, act: kinds_come_back },
    Case { says: "an empty folder that was made comes back", project: empty_folder, act: empty_folder_back },
    Case { says: "a branch is left and returned to: 0 commands", project: copying, act: branches },
    Case { says: "an output that is edited in place spoils nothing that is kept", project: copying, act: kept_apart },
    Case { says: "a bit flips in what is kept: no wrong result comes back", project: copying, act: flipped },
    Case { says: "a foreign file in an output folder reaches nobody", project: packed, act: foreign },
    Case { says: "a source is gone: what was made of it goes too", project: per_file, act: no_longer_made },
    Case { says: "the project lies in another folder: 0 commands", project: copying, act: moved },
];

fn all_deleted(world: &mut World<'_>) -> Check {
    built(world)?;
    world.remove("out");
    world.build(&["copy"])?;
    world.holds_or("out/a", "one\n", "lost")?;
    world.holds_or("out/b", "one\n", "lost")?;
    world.ran_exactly(&[])
}

fn one_deleted(world: &mut World<'_>) -> Check {
    built(world)?;
    world.remove("out/b");
    world.build(&["copy"])?;
    world.holds_or("out/b", "one\n", "lost")
}

fn edited(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write("out/a", "by hand\n");
    world.build(&["copy"])?;
    world.holds_or("out/a", "one\n", "kept")
}

fn edited_unseen(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write_unseen("out/a", "0n3\n");
    world.build(&["copy"])?;
    world.holds_or("out/a", "one\n", "kept")
}

fn cut(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write("out/a", "");
    world.build(&["copy"])?;
    world.holds_or("out/a", "one\n", "kept")
}

fn touched(world: &mut World<'_>) -> Check {
    built(world)?;
    world.touch("out/a");
    world.build(&["copy"])?;
    world.holds("out/a", "one\n")?;
    world.ran_exactly(&[])
}

fn executable() -> Project {
    Project::of([task("copy").reads("in.txt").makes("out/tool").runs("cat in.txt >out/tool && chmod 755 out/tool")])
}

fn mode_lost(world: &mut World<'_>) -> Check {
    built(world)?;
    world.set_mode("out/tool", 0o644);
    world.build(&["copy"])?;
    world.is(world.mode("out/tool") & 0o100 != 0, "kept", "out/tool is not executable")
}

fn made_a_link(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write("elsewhere", "other\n");
    world.link("out/a", "../elsewhere");
    world.build(&["copy"])?;
    world.holds_or("out/a", "one\n", "kept")?;
    world.holds_or("elsewhere", "other\n", "overwrites")
}

fn kinds() -> Project {
    let made = "cat in.txt >out/tool && chmod 755 out/tool && cat in.txt >out/file && chmod 644 out/file && ln -sf tool out/link";
    Project::of([task("copy").reads("in.txt").makes_folder("out").runs(made)])
}

fn kinds_come_back(world: &mut World<'_>) -> Check {
    world.wants(Offer::Results)?;
    built(world)?;
    world.remove("out");
    world.build(&["copy"])?;
    world.is(
        world.mode("out/tool") & 0o111 == 0o111 && world.mode("out/file") & 0o111 == 0,
        "modes",
        "out/tool is not executable, or out/file is",
    )?;
    let target = std::fs::read_link(world.path("out/link")).ok();
    world.is(target.as_deref().is_some_and(|target| target.as_os_str() == "tool"), "links", "out/link is no link to tool")?;
    world.ran_exactly(&[])
}

fn empty_folder() -> Project {
    Project::of([task("copy").reads("in.txt").makes_folder("out").runs("cat in.txt >out/file && mkdir -p out/empty")])
}

fn empty_folder_back(world: &mut World<'_>) -> Check {
    world.wants(Offer::Results)?;
    built(world)?;
    world.remove("out");
    world.build(&["copy"])?;
    world.is(world.path("out/empty").is_dir(), "lost", "out/empty did not come back")
}

fn branches(world: &mut World<'_>) -> Check {
    world.wants(Offer::Results)?;
    built(world)?;
    world.write("in.txt", "the other branch\n");
    world.build(&["copy"])?;
    world.holds("out/a", "the other branch\n")?;
    world.ran();
    world.write("in.txt", "one\n");
    world.build(&["copy"])?;
    world.holds("out/a", "one\n")?;
    world.ran_exactly(&[])
}

fn kept_apart(world: &mut World<'_>) -> Check {
    world.wants(Offer::Results)?;
    built(world)?;
    world.remove("out");
    world.build(&["copy"])?;
    // In place, as `sed -i` does not, but `>>` does: a hard link to what is kept would change with it.
    std::fs::write(world.path("out/a"), "by hand\n").unwrap();
    world.remove("out");
    world.build(&["copy"])?;
    world.holds_or("out/a", "one\n", "spoiled")
}

/// The content is long, so that most bytes of what is kept are content.
fn flipped(world: &mut World<'_>) -> Check {
    world.wants(Offer::Results)?;
    let text = "a line of a source that is long enough to be most of what is kept\n".repeat(400);
    world.write("in.txt", &text);
    world.set_up(&["copy"])?;
    for path in world.kept() {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        let status = std::fs::metadata(&path).unwrap();
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, status.permissions()).unwrap();
    }
    world.remove("out");
    world.build(&["copy"])?;
    world.holds_or("out/a", &text, "corrupt")?;
    world.holds_or("out/b", &text, "corrupt")
}

fn packed() -> Project {
    Project::of([
        task("copy").reads("in.txt").makes_folder("out").runs("cat in.txt >out/a"),
        task("pack").reads_below("out").makes("pack.txt").runs("cat out/* >pack.txt"),
    ])
}

fn foreign(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.set_up(&["pack"])?;
    world.write("out/foreign", "not of this build\n");
    world.build(&["pack"])?;
    world.holds_or("pack.txt", "one\n", "foreign")
}

fn per_file() -> Project {
    Project::of([
        task("copy").reads_below("src").makes_folder("out").runs("for f in src/*; do cat $f >out/${f##*/}; done"),
        task("pack").reads_below("out").makes("pack.txt").runs("cat out/* >pack.txt"),
    ])
}

fn no_longer_made(world: &mut World<'_>) -> Check {
    world.write("src/a", "a\n");
    world.write("src/b", "b\n");
    world.set_up(&["pack"])?;
    world.remove("src/b");
    world.build(&["pack"])?;
    world.holds("pack.txt", "a\n")
}

fn moved(world: &mut World<'_>) -> Check {
    built(world)?;
    // The other folder has its own times, as a second clone has.
    world.move_to("elsewhere");
    world.set_time("in.txt", to_come());
    world.build(&["copy"])?;
    world.holds("out/a", "one\n")?;
    world.ran_exactly(&[])
}
