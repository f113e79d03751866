//! Names of files that are read, of every kind a file system allows.

use super::{Case, listing};
use crate::world::{Check, World};

pub const CASES: &[Case] = &[
    Case { says: "spaces in names", project: listing, act: spaces },
    Case { says: "`$`, `#`, `%`, `:` in names", project: listing, act: signs },
    Case { says: "quotes, backslashes, `*` in names", project: listing, act: quotes },
    Case { says: "names of other alphabets", project: listing, act: unicode },
    Case { says: "names that begin with `-` or `.`", project: listing, act: dashes },
    Case { says: "a newline in a name", project: listing, act: newline },
];

/// Files of these names are read, and their edits are seen.
fn named(world: &World<'_>, names: &[&str]) -> Check {
    let write = |text: &str| names.iter().for_each(|name| world.write(&format!("src/{name}"), &format!("{text}\n")));
    let listed = |text: &str| {
        let mut lines: Vec<String> = names.iter().map(|name| format!("src/{name}:{text}")).collect();
        lines.push("src/plain:plain".into());
        let mut lines: Vec<&str> = lines.iter().flat_map(|line| line.split('\n')).collect();
        lines.sort_unstable();
        lines.concat()
    };
    let stands = |text: &str| {
        let found = world.read("out/list").unwrap_or_default().replace('\n', "");
        world.is(found == listed(text), "stale", &format!("{found} is not {}", listed(text)))
    };
    world.write("src/plain", "plain\n");
    write("one");
    world.build(&["list"])?;
    stands("one")?;
    write("two!");
    world.build(&["list"])?;
    stands("two!")?;
    world.ran();
    world.build(&["list"])?;
    world.ran_exactly(&[])
}

fn spaces(world: &mut World<'_>) -> Check {
    named(world, &["a b", " lead", "trail ", "two  spaces"])
}

fn signs(world: &mut World<'_>) -> Check {
    named(world, &["a$b", "$HOME", "a#b", "a%b", "a:b"])
}

fn quotes(world: &mut World<'_>) -> Check {
    named(world, &["it's", "a\"b", "a\\b", "a*b", "[a]", "{a,b}", "a?b"])
}

fn unicode(world: &mut World<'_>) -> Check {
    named(world, &["größe", "日本", "e\u{301}", "\u{e9}"])
}

fn dashes(world: &mut World<'_>) -> Check {
    named(world, &["-n", "--help", ".hidden"])
}

fn newline(world: &mut World<'_>) -> Check {
    named(world, &["a\nb"])
}
