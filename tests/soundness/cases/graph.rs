//! Tasks that wait for each other.

use super::{Case, LIST};
use crate::project::{Project, task};
use crate::world::{Check, World};

pub const CASES: &[Case] = &[
    Case { says: "a chain of three: an edit at its head reaches its end", project: chain, act: chain_runs },
    Case { says: "a generated file comes out the same: what reads it does not run", project: chain, act: cut_off },
    Case { says: "a generated file is edited by hand: what reads it does not see that", project: chain, act: middle_edited },
    Case { says: "a file in the middle is deleted, the end is there: nothing runs", project: chain, act: middle_deleted },
    Case { says: "a folder is generated anew with one file more: who reads it sees it at once", project: generated, act: one_more },
    Case { says: "a need without files changes nothing of what waits for it: it does not run", project: ordered, act: need_alone },
    Case { says: "a need is taken out of the file: its output is read no more", project: chain, act: need_dropped },
    Case { says: "tasks in a circle are refused", project: circle, act: refused },
    Case { says: "one output of two tasks is refused", project: doubled, act: doubled_is_refused },
    Case { says: "a check (no outputs) that passed is not run again; one input changes: it is", project: check, act: checked },
];

fn chain() -> Project {
    Project::of([
        task("first").reads("in.txt").makes("gen/first").runs("head -n1 in.txt >gen/first"),
        task("second").reads("gen/first").makes("gen/second").runs("cat gen/first >gen/second"),
        task("third").reads("gen/second").makes("out/third").runs("cat gen/second >out/third"),
    ])
}

fn chained(world: &World<'_>) -> Check {
    world.write("in.txt", "one\nrest\n");
    world.set_up(&["third"])?;
    world.ran();
    Ok(())
}

fn chain_runs(world: &mut World<'_>) -> Check {
    chained(world)?;
    world.write("in.txt", "two\nrest\n");
    world.build(&["third"])?;
    world.holds("out/third", "two\n")
}

fn cut_off(world: &mut World<'_>) -> Check {
    chained(world)?;
    world.write("in.txt", "one\nanother rest\n");
    world.build(&["third"])?;
    world.ran_exactly(&["first"])
}

fn middle_edited(world: &mut World<'_>) -> Check {
    chained(world)?;
    world.write("gen/second", "by hand\n");
    world.build(&["third"])?;
    world.holds_or("out/third", "one\n", "foreign")
}

fn middle_deleted(world: &mut World<'_>) -> Check {
    chained(world)?;
    world.remove("gen/second");
    world.build(&["third"])?;
    world.holds("out/third", "one\n")?;
    world.ran_exactly(&[])
}

fn generated() -> Project {
    Project::of([
        task("gen").reads("in.txt").makes_folder("src").runs("rm -rf src && mkdir src && for n in $(cat in.txt); do echo $n >src/$n; done"),
        task("list").reads_below("src").makes("out/list").runs(LIST),
    ])
}

fn one_more(world: &mut World<'_>) -> Check {
    world.write("in.txt", "a b\n");
    world.set_up(&["list"])?;
    world.is(world.read("out/list").as_deref() == Some("src/a:a\nsrc/b:b\n"), "wrong", "the first build is not right")?;
    world.write("in.txt", "a b c\n");
    world.build(&["list"])?;
    world.holds("out/list", "src/a:a\nsrc/b:b\nsrc/c:c\n")
}

fn ordered() -> Project {
    Project::of([
        task("lint").reads("rules.txt").runs("cat rules.txt >/dev/null"),
        task("copy").needs("lint").reads("in.txt").makes("out/a").runs("cat in.txt >out/a"),
    ])
}

fn need_alone(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.write("rules.txt", "1\n");
    world.set_up(&["copy"])?;
    world.ran();
    world.write("rules.txt", "changed\n");
    world.build(&["copy"])?;
    world.ran_exactly(&["lint"])
}

fn need_dropped(world: &mut World<'_>) -> Check {
    chained(world)?;
    world.project.tasks.retain(|task| task.name != "second");
    *world.project.task("third") =
        task("third").reads("gen/first").makes("out/third").runs("echo now: >out/third && cat gen/first >>out/third");
    world.build(&["third"])?;
    world.holds("out/third", "now:\none\n")
}

fn circle() -> Project {
    Project::of([
        task("one").needs("two").reads("in.txt").makes("out/one").runs("cat in.txt >out/one"),
        task("two").needs("one").reads("in.txt").makes("out/two").runs("cat in.txt >out/two"),
    ])
}

fn refused(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.refuses(&["one"]).map(drop)
}

fn doubled() -> Project {
    Project::of([
        task("one").reads("in.txt").makes("out/same").runs("echo one >out/same"),
        task("two").reads("in.txt").makes("out/same").runs("echo two >out/same"),
    ])
}

fn doubled_is_refused(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.refuses(&["one", "two"]).map(drop)
}

/// Two tasks that have nothing to do with each other.
pub fn pair() -> Project {
    Project::of([
        task("alpha").reads("one.txt").makes("out/alpha").runs("cat one.txt >out/alpha"),
        task("beta").reads("two.txt").makes("out/beta").runs("cat two.txt >out/beta"),
    ])
}

fn check() -> Project {
    Project::of([task("check").reads("in.txt").runs("grep -q o in.txt")])
}

fn checked(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.set_up(&["check"])?;
    world.ran();
    world.build(&["check"])?;
    world.ran_exactly(&[])?;
    world.write("in.txt", "two\n");
    world.build(&["check"])?;
    world.ran_exactly(&["check"])?;
    world.write("in.txt", "nnn\n");
    world.refuses(&["check"])?;
    world.refuses(&["check"])?;
    Ok(())
}
