//! Several tasks, and several calls of the tool, at the same time.

use super::{Case, copying};
use crate::project::{Project, task};
use crate::world::{Check, World};

pub const CASES: &[Case] = &[
    Case { says: "two builds at once: both end well, the work is done once", project: slow, act: two_builds },
    Case { says: "one job or eight: the same result", project: many, act: jobs },
    Case { says: "lines of tasks that run side by side are not torn", project: talking, act: whole_lines },
    Case { says: "a task that two others wait for runs once", project: diamond, act: once },
    Case { says: "nothing changed: nothing runs", project: copying, act: null },
];

fn slow() -> Project {
    Project::of([task("slow").reads("in.txt").makes("out/a").runs("rm -f out/a && sleep 0.4 && cat in.txt >>out/a")])
}

fn two_builds(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    let mut one = world.start(&["slow"])?;
    let mut two = world.start(&["slow"])?;
    let ends = [one.wait().unwrap().success(), two.wait().unwrap().success()];
    world.is(ends == [true, true], "fails", &format!("{ends:?}"))?;
    world.holds_or("out/a", "one\n", "mixed")?;
    world.ran_exactly(&["slow"])
}

fn many() -> Project {
    let part = |n: usize| {
        let task = task(&format!("part{n}")).makes(&format!("gen/{n}"));
        if n == 0 {
            task.reads("in.txt").runs("cat in.txt >gen/0")
        } else {
            let from = n / 2;
            task.reads(&format!("gen/{from}")).runs(&format!("sleep 0.02; (cat gen/{from}; echo {n}) >gen/{n}"))
        }
    };
    let mut all = task("all").makes("out/all").runs("cat gen/* >out/all");
    for n in 0..12 {
        all = all.reads(&format!("gen/{n}"));
    }
    // The task that is waited for most stands last.
    Project::of((0..12).rev().map(part).chain([all]))
}

fn jobs(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.jobs = 1;
    world.set_up(&["all"])?;
    let alone = world.read("out/all");
    world.write("in.txt", "two!\n");
    world.jobs = 8;
    world.build(&["all"])?;
    let wanted = alone.map(|text| text.replace("one", "two!"));
    world.is(wanted.is_some() && world.read("out/all") == wanted, "differs", "eight jobs made something else")
}

fn talking() -> Project {
    let say = |name: &str| {
        let said = format!(
            "i=0; while test $i -lt 15; do printf 'from {name} '; sleep 0.01; echo to the end of {name}; i=$((i+1)); done; cat in.txt >out/{name}"
        );
        task(name).reads("in.txt").makes(&format!("out/{name}")).runs(&said)
    };
    Project::of([say("left"), say("right")])
}

fn whole_lines(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    let ran = world.run(&["left", "right"])?;
    let lines = ran.text.lines().filter(|line| line.contains("from ") && !line.contains("printf"));
    let torn: Vec<&str> = lines
        .filter(|line| {
            ["left", "right"].iter().filter(|name| line.contains(&format!("from {name} to the end of {name}"))).count() != 1
                || line.matches("from ").count() != 1
        })
        .collect();
    world.is(ran.ok, "fails", &ran.text)?;
    world.is(torn.is_empty(), "torn", &format!("{torn:?}"))?;
    world.is(ran.text.matches("to the end of").count() >= 30, "lost", &ran.text)
}

fn diamond() -> Project {
    Project::of([
        task("base").reads("in.txt").makes("gen/base").runs("sleep 0.1; cat in.txt >gen/base"),
        task("left").reads("gen/base").makes("gen/left").runs("cat gen/base >gen/left"),
        task("right").reads("gen/base").makes("gen/right").runs("cat gen/base >gen/right"),
        task("top").reads("gen/left").reads("gen/right").makes("out/top").runs("cat gen/left gen/right >out/top"),
    ])
}

fn once(world: &mut World<'_>) -> Check {
    world.write("in.txt", "one\n");
    world.build(&["top", "left"])?;
    world.holds("out/top", "one\none\n")?;
    world.ran_exactly(&["base", "left", "right", "top"])
}

fn null(world: &mut World<'_>) -> Check {
    super::built(world)?;
    world.build(&["copy"])?;
    world.build(&["copy"])?;
    world.ran_exactly(&[])
}
