//! Finds out which module needs which, from the paths in the source.
//!
//! A module here is a file, or a directory with its `mod.rs`. The check runs once for every module
//! that has children. The nodes are its children, each with everything below
//! it; an edge is a path from the one to the other. The rule:
//!
//! - A path counts everywhere: in `use`, in a signature, in an expression, in a macro. What
//!   only tests see (`#[cfg(test)]`) does not count.
//! - A path that leads through a re-export counts as a path to where the item is defined. So a
//!   parent's `pub use` neither hides a circle between its children nor makes one.
//! - The own code of a top-level module (its `mod.rs`) is a node, too. Declaring children and
//!   re-exporting from them is no edge; naming one of them, or a re-exported name, is.
//! - Further down, a module and its children are one thing in several files, and may name each
//!   other; the children among themselves may not go in circles.
//! - Calls of methods are not seen: the caller has a value whose type is named somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Token, tokens};

/// A module's path from the crate's root.
pub type Module = Vec<String>;

/// A `use` of one name.
#[derive(Clone, Debug)]
struct Import {
    line: usize,
    public: bool,
    name: String,
    path: Vec<String>,
}

/// One file, as far as it matters here.
#[derive(Debug, Default)]
struct Source {
    file: String,
    imports: Vec<Import>,
    /// Paths outside of `use`, with the inline modules around them left out.
    paths: Vec<(usize, Vec<String>)>,
    /// Words that stand alone, outside of `use`.
    words: BTreeSet<String>,
}

/// Everything that is not compiled for tests alone.
#[derive(Debug, Default)]
pub struct Modules {
    sources: BTreeMap<Module, Source>,
}

/// Children of one module that all need each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    pub parent: String,
    pub nodes: BTreeSet<String>,
    /// Who needs whom, and the place and the path of the first mention.
    pub edges: BTreeMap<(String, String), String>,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        writeln!(f, "in {}: {}", self.parent, nodes.join(", "))?;
        let mut edges = self.edges.iter();
        edges.try_for_each(|((from, to), place)| writeln!(f, "    {from} -> {to}: {place}"))
    }
}

impl Modules {
    /// Reads files, given with their paths below the source directory.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut modules = Self::default();
        let mut tests = BTreeSet::new();
        for (file, text) in files {
            let stem = file.trim_end_matches(".rs");
            let stem = stem.strip_suffix("/mod").unwrap_or(stem);
            let module: Module = stem.split('/').map(ToOwned::to_owned).collect();
            let module = if stem == "lib" { Vec::new() } else { module };
            let (tokens, only_tests) = without_tests(tokens(text));
            for name in only_tests {
                let mut child = module.clone();
                child.push(name);
                tests.insert(child);
            }
            let mut source = Source {
                file: file.to_owned(),
                ..Source::default()
            };
            source.fill(&tokens);
            modules.sources.insert(module, source);
        }
        // A directory is a module, too, where no file says anything of it.
        for module in modules.sources.keys().cloned().collect::<Vec<_>>() {
            for end in 0..module.len() {
                modules.sources.entry(module[..end].to_vec()).or_default();
            }
        }
        modules.sources.retain(|module, _| {
            !tests.iter().any(|test| module.starts_with(test))
                && module.first().is_none_or(|first| first != "bin")
        });
        modules
    }

    /// Every circle between the children of one module, for every module.
    pub fn circles(&self) -> Vec<Circle> {
        let mut parents: BTreeSet<&[String]> = BTreeSet::new();
        for module in self.sources.keys() {
            parents.extend(module.split_last().map(|(_, parent)| parent));
        }
        let parents = parents.into_iter();
        parents
            .flat_map(|parent| self.circles_below(parent))
            .collect()
    }

    fn circles_below(&self, parent: &[String]) -> Vec<Circle> {
        let mut edges: BTreeMap<(String, String), String> = BTreeMap::new();
        for (module, source) in &self.sources {
            let Some(from) = node(parent, module) else {
                continue;
            };
            for (line, path) in source.mentions() {
                let Some(target) = self.target(module, &path, 0) else {
                    continue;
                };
                let Some(to) = node(parent, &target) else {
                    continue;
                };
                if from != to {
                    let place = format!("{}:{line} {}", source.file, path.join("::"));
                    edges.entry((from.clone(), to)).or_insert(place);
                }
            }
        }
        let circle = |nodes: BTreeSet<String>| Circle {
            parent: parent.join("::"),
            edges: edges
                .iter()
                .filter(|((from, to), _)| nodes.contains(from) && nodes.contains(to))
                .map(|(edge, place)| (edge.clone(), place.clone()))
                .collect(),
            nodes,
        };
        let strong = strongly_connected(edges.keys());
        strong.into_iter().map(circle).collect()
    }

    /// The module in which the item is defined that a path names.
    fn target(&self, from: &[String], path: &[String], depth: usize) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut here: Module = match first.as_str() {
            "crate" | "crewlog" => Vec::new(),
            "self" => from.to_vec(),
            "super" => from.split_last()?.1.to_vec(),
            name => {
                let mut child = from.to_vec();
                child.push(name.to_owned());
                if self.sources.contains_key(&child) {
                    child
                } else {
                    return self.imported(from, path, depth);
                }
            }
        };
        let mut rest = rest;
        while let Some((next, after)) = rest.split_first() {
            if next == "super" {
                here.pop();
                rest = after;
                continue;
            }
            here.push(next.clone());
            if !self.sources.contains_key(&here) {
                here.pop();
                let found = self.imported(&here, rest, depth);
                return Some(found.unwrap_or(here));
            }
            rest = after;
        }
        Some(here)
    }

    /// Where a name leads that a module has from a `use` of its own.
    fn imported(&self, module: &[String], path: &[String], depth: usize) -> Option<Module> {
        let name = path.first()?;
        let mut imports = self.sources.get(module)?.imports.iter();
        let import = imports.find(|import| import.name == *name && import.path != path)?;
        let whole: Vec<String> = import.path.iter().chain(&path[1..]).cloned().collect();
        // Names that lead to themselves do not compile; this is only for a test's own mistakes.
        (depth < 16).then(|| self.target(module, &whole, depth + 1))?
    }
}

impl Source {
    fn fill(&mut self, tokens: &[Token]) {
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let mut at = 0;
        let mut public = false;
        while at < tokens.len() {
            let line = tokens[at].line;
            match text(at) {
                "pub" => {
                    public = true;
                    at += 1;
                    if text(at) == "(" {
                        at += (at..tokens.len()).take_while(|&at| text(at) != ")").count() + 1;
                    }
                    continue;
                }
                "use" => {
                    let mut all = Vec::new();
                    at = import(tokens, at + 1, Vec::new(), &mut all);
                    let imports = all.into_iter().map(|(name, path)| Import {
                        line,
                        public,
                        name,
                        path,
                    });
                    self.imports.extend(imports);
                }
                word if is_name(word) => {
                    let begin = at;
                    let mut path = vec![word.to_owned()];
                    while text(at + 1) == "::" && is_name(text(at + 2)) {
                        at += 2;
                        path.push(text(at).to_owned());
                    }
                    let follows = begin > 0 && [".", "::"].contains(&text(begin - 1));
                    if path.len() > 1 && !follows {
                        self.paths.push((line, path));
                    } else if !follows && text(begin.wrapping_sub(1)) != "mod" {
                        self.words.insert(word.to_owned());
                    }
                    at += 1;
                }
                _ => at += 1,
            }
            public = false;
        }
    }

    /// Every path by which this file's own code needs something.
    fn mentions(&self) -> Vec<(usize, Vec<String>)> {
        let first_of_path = |name: &str| self.paths.iter().any(|(_, path)| path[0] == name);
        let used = self.imports.iter().filter(|import| {
            !import.public || self.words.contains(&import.name) || first_of_path(&import.name)
        });
        let used = used.map(|import| (import.line, import.path.clone()));
        used.chain(self.paths.iter().cloned()).collect()
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// One branch of a `use`, from `at`; returns where it ends.
fn import(
    tokens: &[Token],
    mut at: usize,
    mut path: Vec<String>,
    all: &mut Vec<(String, Vec<String>)>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !["}", ""].contains(&text(at)) {
                    at = import(tokens, at, path.clone(), all);
                    at += usize::from(text(at) == ",");
                }
                return at + 1;
            }
            "::" => at += 1,
            "as" => {
                all.push((text(at + 1).to_owned(), path));
                return at + 2;
            }
            // What a glob brings is not known; it needs the module as a whole.
            "*" => {
                all.push(("*".to_owned(), path));
                return at + 1;
            }
            word if is_name(word) => {
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                at += 1;
            }
            _ => {
                all.extend(path.last().cloned().map(|name| (name, path)));
                return at;
            }
        }
    }
}

/// Leaves out every item behind `#[cfg(test)]`, and names the modules among them.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let is = |at: usize, words: &[&str]| {
        let found = tokens.get(at..at + words.len());
        found.is_some_and(|found| found.iter().zip(words).all(|(it, word)| it.text == **word))
    };
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if !is(at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        while at < tokens.len() {
            let word = tokens[at].text.as_str();
            if word == "mod"
                && depth == 0
                && let Some(name) = tokens.get(at + 1)
            {
                modules.push(name.text.clone());
            }
            at += 1;
            match word {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && ["}", ";"].contains(&word) {
                break;
            }
        }
    }
    (kept, modules)
}

/// Which node below a parent a module is part of; a top-level module's own code is `self`.
fn node(parent: &[String], module: &[String]) -> Option<String> {
    let below = module.strip_prefix(parent)?;
    let own = (parent.len() == 1).then(|| "self".to_owned());
    below.first().cloned().or(own)
}

/// The components of more than one node; every pair that reaches each other.
fn strongly_connected<'a>(
    edges: impl Iterator<Item = &'a (String, String)>,
) -> Vec<BTreeSet<String>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    let reach = |from: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = next.get(from).cloned().unwrap_or_default();
        while let Some(node) = open.pop() {
            if seen.insert(node) {
                open.extend(next.get(node).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        next.keys().map(|&node| (node, reach(node))).collect();
    let mut found: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for (node, seen) in &reached {
        if seen.contains(node) {
            let back = |other: &&&str| reached.get(**other).is_some_and(|it| it.contains(node));
            found.insert(
                seen.iter()
                    .filter(back)
                    .map(|it| (*it).to_owned())
                    .collect(),
            );
        }
    }
    found.into_iter().collect()
}
