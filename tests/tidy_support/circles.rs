//! Examples of circles between modules, and of what only looks like one.

use super::modules::{Circle, Modules};

/// A path and its text.
type File = (&'static str, &'static str);

#[test]
fn circles_are_found_and_nothing_else_is() {
    let table: [(&str, &[File], &[&str]); 14] = [
        (
            "two files that use each other",
            &[
                ("m/a.rs", "use super::b::B;"),
                ("m/b.rs", "use crate::m::a::A;"),
            ],
            &["m: a b"],
        ),
        (
            "one direction is none",
            &[
                ("m/a.rs", "use super::b::B;"),
                ("m/b.rs", "use crate::n::a::A;"),
            ],
            &[],
        ),
        (
            "by way of a third",
            &[
                ("m/a.rs", "use super::b;"),
                ("m/b.rs", "fn f(_: super::c::C);"),
                ("m/c.rs", "use super::a::A;"),
            ],
            &["m: a b c"],
        ),
        (
            "two that have nothing to do with each other",
            &[
                ("m/a.rs", "use super::b;"),
                ("m/b.rs", "use super::a;"),
                ("m/c.rs", "use super::d;"),
                ("m/d.rs", "use super::{c, a};"),
            ],
            &["m: a b", "m: c d"],
        ),
        (
            "through the parent's re-export",
            &[
                (
                    "m/mod.rs",
                    "mod a; mod b; pub use a::{A, f}; pub use b::B as C;",
                ),
                ("m/a.rs", "use super::C;"),
                ("m/b.rs", "use super::A;"),
            ],
            &["m: a b"],
        ),
        (
            "a re-export alone is no need",
            &[
                ("m/mod.rs", "mod a; pub use a::A;"),
                ("m/a.rs", "use super::B;"),
            ],
            &[],
        ),
        (
            "a re-export that the parent uses is one",
            &[
                ("m/mod.rs", "mod a; pub use a::A; struct B(A);"),
                ("m/a.rs", "use super::B;"),
            ],
            &["m: a self"],
        ),
        (
            "a parent that names its child",
            &[
                ("m/mod.rs", "mod a; fn f() { a::g() }"),
                ("m/a.rs", "fn g() { super::f() }"),
            ],
            &["m: a self"],
        ),
        (
            "further down, parent and child are one thing",
            &[
                ("m/n.rs", "mod a; fn f() { a::g() }"),
                ("m/n/a.rs", "fn g() { super::f() }"),
            ],
            &[],
        ),
        (
            "but the children are not",
            &[
                ("m/n.rs", "mod a; mod b;"),
                ("m/n/a.rs", "use super::b::B;"),
                ("m/n/b.rs", "use super::a::A;"),
            ],
            &["m::n: a b"],
        ),
        (
            "what is below a node is part of it",
            &[
                ("m/a/x.rs", "use super::super::b::B;"),
                ("m/b.rs", "use super::a::x::X;"),
            ],
            &["m: a b"],
        ),
        (
            "tests are left out",
            &[
                ("m/a.rs", "use super::b::B;"),
                (
                    "m/b.rs",
                    "#[cfg(test)] mod tests { use super::super::a::A; } fn f() {}",
                ),
            ],
            &[],
        ),
        (
            "tests in files of their own, too",
            &[
                ("m/a.rs", "use super::b::B;"),
                ("m/b.rs", "#[cfg(test)] mod t;"),
                ("m/b/t.rs", "use crate::m::a::A;"),
            ],
            &[],
        ),
        (
            "other crates' modules, methods and comments are none",
            &[
                ("m/a.rs", "use super::b::B;"),
                (
                    "m/b.rs",
                    "use a::A; fn f() { x.a::<A>(); std::a::f() } // super::a::A",
                ),
            ],
            &[],
        ),
    ];
    for (what, files, wanted) in table {
        let circles = Modules::read(files.iter().copied()).circles();
        let nodes = |it: &Circle| it.nodes.iter().cloned().collect::<Vec<_>>().join(" ");
        let found = circles
            .iter()
            .map(|it| format!("{}: {}", it.parent, nodes(it)));
        assert_eq!(found.collect::<Vec<_>>(), wanted, "{what}");
    }
}
