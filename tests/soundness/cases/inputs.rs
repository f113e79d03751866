//! Changes of files that are read.

use std::time::{Duration, SystemTime};

use super::{Case, LIST, built, copying, listing};
use crate::project::{Project, task};
use crate::world::{Check, End, World, long_ago, to_come};

pub const CASES: &[Case] = &[
    Case { says: "an input is edited: it runs", project: copying, act: edited },
    Case { says: "an input is touched, same bytes: it does not run", project: copying, act: touched },
    Case { says: "an input is edited and edited back: it does not run", project: copying, act: edited_back },
    Case { says: "an input changes and keeps its time (`cp -p`, an archive): it runs", project: copying, act: time_kept },
    Case { says: "an input changes and keeps time and size: it runs", project: copying, act: time_and_size_kept },
    Case { says: "an older file takes an input's place: it runs", project: copying, act: older },
    Case { says: "an input's time lies in the future: it runs once, not every time", project: copying, act: future },
    Case { says: "the clock was set back between two edits: it runs", project: copying, act: clock_back },
    Case { says: "times of all files are those of a fresh checkout: it does not run", project: copying, act: checkout },
    Case { says: "an input is gone: a failure, not an old result", project: copying, act: gone },
    Case { says: "a file joins the folder that is read: it runs", project: listing, act: joined },
    Case { says: "an old file joins the folder that is read (`mv`): it runs", project: listing, act: old_joined },
    Case { says: "a file leaves the folder that is read: it runs", project: listing, act: left },
    Case { says: "a file of the folder is renamed: it runs", project: listing, act: renamed },
    Case { says: "a file of the folder is renamed by one letter's case: it runs", project: listing, act: case_renamed },
    Case { says: "a header appears earlier on the search path: it runs", project: searching, act: earlier },
    Case { says: "an input becomes executable: it runs", project: executable, act: mode },
    Case { says: "a link that is read gets another target: it runs", project: linked, act: link },
    Case { says: "the target of a link that is read is edited: it runs", project: linked, act: behind_link },
    Case { says: "a file behind a linked folder is edited: it runs", project: linked_folder, act: behind_folder },
    Case { says: "a folder becomes a file of the same name: it runs", project: kinds, act: folder_to_file },
    Case { says: "an input is edited while the task runs: the next build runs it again", project: slow, act: edited_while_running },
];

fn edited(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write("in.txt", "two!\n");
    world.build(&["copy"])?;
    world.holds("out/a", "two!\n")
}

fn touched(world: &mut World<'_>) -> Check {
    built(world)?;
    world.touch("in.txt");
    world.build(&["copy"])?;
    world.ran_exactly(&[])
}

fn edited_back(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write("in.txt", "two!\n");
    world.write("in.txt", "one\n");
    world.build(&["copy"])?;
    world.holds("out/a", "one\n")?;
    world.ran_exactly(&[])
}

fn time_kept(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write_unseen("in.txt", "another\n");
    world.build(&["copy"])?;
    world.holds("out/a", "another\n")
}

fn time_and_size_kept(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write_unseen("in.txt", "two\n");
    world.build(&["copy"])?;
    world.holds("out/a", "two\n")
}

fn older(world: &mut World<'_>) -> Check {
    built(world)?;
    world.write_old("backup", "from the backup\n");
    world.rename("backup", "in.txt");
    world.build(&["copy"])?;
    world.holds("out/a", "from the backup\n")
}

fn future(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.set_time("in.txt", to_come());
    world.set_up(&["copy"])?;
    world.ran();
    world.build(&["copy"])?;
    world.build(&["copy"])?;
    world.ran_exactly(&[])
}

/// The first edit was made by a clock that was ahead.
fn clock_back(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.set_time("in.txt", SystemTime::now() + Duration::from_secs(3_600));
    world.set_up(&["copy"])?;
    for name in ["out/a", "out/b"] {
        world.set_time(name, SystemTime::now() + Duration::from_secs(3_600));
    }
    world.write("in.txt", "two!\n");
    world.build(&["copy"])?;
    world.holds("out/a", "two!\n")
}

fn checkout(world: &mut World<'_>) -> Check {
    built(world)?;
    for name in ["out/a", "out/b"] {
        world.set_time(name, long_ago());
    }
    world.touch("in.txt");
    world.build(&["copy"])?;
    world.ran_exactly(&[])
}

fn gone(world: &mut World<'_>) -> Check {
    built(world)?;
    world.remove("in.txt");
    world.refuses(&["copy"]).map(drop)
}

fn lists(world: &World<'_>) -> Check {
    for (name, text) in [("src/one", "1\n"), ("src/deep/two", "2\n")] {
        world.write(name, text);
        world.set_time(name, long_ago());
    }
    world.set_up(&["list"])?;
    world.ran();
    world.is(world.read("out/list").as_deref() == Some("src/deep/two:2\nsrc/one:1\n"), "wrong", "the first build is not right")
}

fn joined(world: &mut World<'_>) -> Check {
    lists(world)?;
    world.write("src/deep/three", "3\n");
    world.build(&["list"])?;
    world.holds("out/list", "src/deep/three:3\nsrc/deep/two:2\nsrc/one:1\n")
}

fn old_joined(world: &mut World<'_>) -> Check {
    lists(world)?;
    world.write_old("three", "3\n");
    world.rename("three", "src/three");
    world.build(&["list"])?;
    world.holds("out/list", "src/deep/two:2\nsrc/one:1\nsrc/three:3\n")
}

fn left(world: &mut World<'_>) -> Check {
    lists(world)?;
    world.remove("src/one");
    world.build(&["list"])?;
    world.holds("out/list", "src/deep/two:2\n")
}

fn renamed(world: &mut World<'_>) -> Check {
    lists(world)?;
    world.rename("src/one", "src/uno");
    world.build(&["list"])?;
    world.holds("out/list", "src/deep/two:2\nsrc/uno:1\n")
}

fn case_renamed(world: &mut World<'_>) -> Check {
    lists(world)?;
    world.rename("src/one", "src/One");
    world.build(&["list"])?;
    world.holds("out/list", "src/One:1\nsrc/deep/two:2\n")
}

fn searching() -> Project {
    Project::of([task("find")
        .reads_below("first")
        .reads_below("second")
        .makes("out/header")
        .runs("if test -e first/header; then cat first/header; else cat second/header; fi >out/header")])
}

fn earlier(world: &mut World<'_>) -> Check {
    world.write("first/other", "-\n");
    world.write("second/header", "second\n");
    world.set_up(&["find"])?;
    world.write_old("header", "first\n");
    world.rename("header", "first/header");
    world.build(&["find"])?;
    world.holds("out/header", "first\n")
}

fn executable() -> Project {
    Project::of([task("ask").reads("in.sh").makes("out/a").runs("if test -x in.sh; then echo yes; else echo no; fi >out/a")])
}

fn mode(world: &mut World<'_>) -> Check {
    world.write("in.sh", "true\n");
    world.set_mode("in.sh", 0o644);
    world.set_up(&["ask"])?;
    world.set_mode("in.sh", 0o755);
    world.build(&["ask"])?;
    world.holds("out/a", "yes\n")
}

fn linked() -> Project {
    Project::of([task("copy").reads("in.txt").makes("out/a").runs("cat in.txt >out/a")])
}

fn link(world: &mut World<'_>) -> Check {
    for (name, text) in [("one", "1\n"), ("two", "2\n")] {
        world.write_old(name, text);
    }
    world.link("in.txt", "one");
    world.set_up(&["copy"])?;
    world.link("in.txt", "two");
    world.build(&["copy"])?;
    world.holds("out/a", "2\n")
}

fn behind_link(world: &mut World<'_>) -> Check {
    world.write("one", "1\n");
    world.link("in.txt", "one");
    world.set_up(&["copy"])?;
    world.write("one", "one\n");
    world.build(&["copy"])?;
    world.holds("out/a", "one\n")
}

fn linked_folder() -> Project {
    Project::of([task("list").reads_below("src").makes("out/list").runs(&LIST.replace("find", "find -L"))])
}

fn behind_folder(world: &mut World<'_>) -> Check {
    world.write("shared/file", "1\n");
    world.write("src/own", "own\n");
    world.link("src/linked", "../shared");
    world.set_up(&["list"])?;
    if world.read("out/list").as_deref() != Some("src/linked/file:1\nsrc/own:own\n") {
        return Err(End::Broken(format!("{:?}", world.read("out/list"))));
    }
    world.write("shared/file", "new\n");
    world.build(&["list"])?;
    world.holds("out/list", "src/linked/file:new\nsrc/own:own\n")
}

fn kinds() -> Project {
    Project::of([task("list").reads_below("src").makes("out/list").runs(LIST)])
}

fn folder_to_file(world: &mut World<'_>) -> Check {
    world.write("src/thing/inner", "1\n");
    world.write("src/other", "2\n");
    world.set_up(&["list"])?;
    world.remove("src/thing");
    world.write_old("src/thing", "3\n");
    world.build(&["list"])?;
    world.holds("out/list", "src/other:2\nsrc/thing:3\n")
}

/// Reads first, writes last; in between somebody may edit.
fn slow() -> Project {
    Project::of([task("copy")
        .reads("in.txt")
        .makes("out/a")
        .runs("text=$(cat in.txt) && if test -e ../hold; then touch ../reading; while test -e ../hold; do sleep 0.01; done; fi; echo $text >out/a")])
}

fn edited_while_running(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    std::fs::write(world.beside("hold"), "").unwrap();
    let mut child = world.start(&["copy"])?;
    world.wait_for("../reading")?;
    world.write("in.txt", "two\n");
    std::fs::remove_file(world.beside("hold")).unwrap();
    child.wait().unwrap();
    world.build(&["copy"])?;
    world.holds("out/a", "two\n")
}
