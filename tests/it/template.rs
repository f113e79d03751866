//! Templates: a plan through `template` and `use` is the plan that would be written out by hand.

use std::collections::BTreeMap;

use kiln::graph::ingredients::Ingredients;
use kiln::graph::lower::lower;
use kiln::plan::Resolved;

use crate::include::Files;
use crate::plan::summary;

fn plan(text: &str) -> Resolved {
    Files::of(&[("build.kdl", &format!("kiln 1\n{text}"))]).resolve(&[]).unwrap_or_else(|faults| panic!("{text}\n{faults:#?}"))
}

/// The keys of all steps by their names, as far as they follow from the plan alone.
fn keys(resolved: &Resolved) -> BTreeMap<String, String> {
    let graph = lower(&resolved.plan).unwrap();
    let actions = graph.order().iter().map(|id| graph.action(*id));
    actions.map(|action| (action.name.to_string(), kiln::key::key(action, &Ingredients::default()).to_string())).collect()
}

#[track_caller]
fn same(through: &str, by_hand: &str) {
    let (through, by_hand) = (plan(through), plan(by_hand));
    assert_eq!(summary(&through), summary(&by_hand));
    assert_eq!(keys(&through), keys(&by_hand));
}

#[test]
fn a_template_around_targets_is_written_out_for_every_use() {
    same(
        r#"let top "src"
template "go" bin os="linux" out="dist/${os}" {
    task "compile-${bin}" { inputs "${top}/"; outputs "${out}/${bin}"; run "go build -o $out/$bin"; }
    image "${bin}" { copy "${out}/${bin}" "/app"; label bin="${bin}"; }
}
use "go" bin="api"
each name x y { use "go" bin="${name}-w" os="darwin"; }
group "all" "api" "x-w"
"#,
        r#"task "compile-api" { inputs "src/"; outputs "dist/linux/api"; env bin=api os=linux out="dist/linux"; run "go build -o $out/$bin"; }
image "api" { copy "dist/linux/api" "/app"; label bin=api; }
task "compile-x-w" { inputs "src/"; outputs "dist/darwin/x-w"; env bin="x-w" os=darwin out="dist/darwin"; run "go build -o $out/$bin"; }
image "x-w" { copy "dist/darwin/x-w" "/app"; label bin="x-w"; }
task "compile-y-w" { inputs "src/"; outputs "dist/darwin/y-w"; env bin="y-w" os=darwin out="dist/darwin"; run "go build -o $out/$bin"; }
image "y-w" { copy "dist/darwin/y-w" "/app"; label bin="y-w"; }
group "all" "api" "x-w"
"#,
    );
}

#[test]
fn in_a_target_single_nodes_are_its_own_lists_add_up_and_names_are_overruled() {
    same(
        r#"template "base" { env A="base" B="base"; tools go; timeout "5m"; dir "lib"; inputs "go.mod"; run "first"; }
template "more" { use "base"; env B="more" C="more"; tools gcc; timeout "6m"; }
task "x" { env C="own"; inputs "src/"; use "more"; dir "src"; run "last"; tools make; }
task "y" { use "more"; use "base"; }
template "labels" { label a="1" b="1"; annotation "k" "template"; user "1"; copy "a" "/a"; }
image "i" { use "labels"; label b="2"; annotation "k" "own"; user "2"; copy "b" "/b"; }
"#,
        r#"task "x" { env A="base" B="more" C="own"; tools go gcc make; timeout "6m"; dir "src"; inputs "go.mod" "src/"; run "first"; run "last"; }
task "y" { env A="base" B="base" C="more"; tools go gcc; timeout "5m"; dir "lib"; inputs "go.mod" "go.mod"; run "first"; run "first"; }
image "i" { label a="1" b="2"; annotation "k" "own"; user "2"; copy "a" "/a"; copy "b" "/b"; }
"#,
    );
}

#[test]
fn a_use_in_a_target_hands_in_what_differs_from_cell_to_cell() {
    same(
        r#"template "out" name { outputs "dist/${name}/x"; env OUT="${name}"; }
task "t" { matrix { v a b; }; platforms amd64; use "out" name="${v}-${platform.arch}"; run "make"; }
template "cells" { matrix { os linux darwin; } }
task "m" { use "cells"; outputs "m/${os}"; run "make $os"; }
"#,
        r#"task "t" { matrix { v a b; }; platforms amd64; outputs "dist/${v}-${platform.arch}/x"; env OUT="${v}-${platform.arch}" name="${v}-${platform.arch}"; run "make"; }
task "m" { matrix { os linux darwin; }; outputs "m/${os}"; run "make $os"; }
"#,
    );
}

#[test]
fn a_param_with_two_values_in_one_target_is_exported_under_neither() {
    same(
        r#"template "src" dir { inputs "${dir}/**"; }
task "t" { use "src" dir="a"; use "src" dir="b"; run "make"; }
"#,
        r#"task "t" { inputs "a/**" "b/**"; run "make"; }
"#,
    );
}

#[test]
fn a_whole_list_can_be_handed_in_and_the_order_of_declaration_does_not_matter() {
    same(
        r#"task "t" { use "src" files="${list}"; run "make"; }
let list "a" "b"
template "src" files { inputs "${files}"; }
"#,
        r#"task "t" { inputs "a" "b"; run "make"; }
"#,
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Values of a matrix of names, handed through `each`, a template around targets and one inside.
    #[test]
    fn what_is_repeated_has_the_keys_of_what_is_written_out(
        names in proptest::collection::btree_set("[a-z]{1,4}[0-9]", 1..5), script in "[a-z ]{1,12}", value in "[ -!#-~&&[^$\\\\]]{0,8}",
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let by_hand: String = names.iter().map(|name| format!("task \"t-{name}\" {{ inputs \"src/{name}\"; env V=\"{value}\" name=\"{name}\"; run \"{script}\"; }}\n")).collect();
        let task = |of: &str| format!("task \"t-${{{of}}}\" {{ inputs \"src/${{{of}}}\"; env V=\"{value}\"; run \"{script}\"; }}");
        let each = format!("each name {} {{ {} }}\n", names.join(" "), task("name"));
        let template = format!("template \"t\" name {{ {} }}\neach n {} {{ use \"t\" name=\"${{n}}\"; }}\n", task("name"), names.join(" "));
        let expected = keys(&plan(&by_hand));
        proptest::prop_assert_eq!(&keys(&plan(&each)), &expected);
        proptest::prop_assert_eq!(&keys(&plan(&template)), &expected);
    }
}
