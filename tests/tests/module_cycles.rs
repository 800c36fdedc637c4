//! The modules of each crate form no cycle: what one needs can be read before it.
//!
//! Compared are modules with the same parent, at every level. A parent and its children may need each other: one
//! file of declarations and its folder are read together. Test code is left out.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The crates whose modules are looked at.
const CRATES: [&str; 4] = ["shared", "agent", "aggregator", "cli"];

/// Path of a module from its crate's root, which is empty.
type Module = Vec<String>;

/// For each module those that it names, in other branches of the tree.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn modules_of_a_crate_form_no_cycle() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut told = Vec::new();
    for name in CRATES {
        let sources: Vec<(Module, String)> = sources(&workspace.join(name).join("src"));
        let cycles = cycles(&siblings(&uses(&sources)));
        told.extend(cycles.iter().map(|cycle| format!("{name}: {}", cycle.join(", "))));
    }
    assert!(told.is_empty(), "modules that need each other:\n{}", told.join("\n"));
}

#[test]
fn cycle_is_found_whatever_way_its_modules_are_named() {
    let source = |module: &str, text: &str| {
        (module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect(), text.to_owned())
    };
    let sources = [
        source("", "mod a; mod b; mod c; mod d;"),
        source("a", "use crate::{b::{self, Item}, d};"),
        source("b", "mod inner;"),
        source("b::inner", "fn f() { html! { (super::super::c::f()) } }"),
        source("c", "impl crate::a::Trait for X {}"),
        source("d", "#[cfg(test)] mod tests { use crate::a; } #[cfg(test)] use crate::a::f;"),
    ];
    assert_eq!(cycles(&siblings(&uses(&sources))), [["a", "b", "c"]]);
}

/// The modules of a crate with their texts, test modules left out.
fn sources(folder: &Path) -> Vec<(Module, String)> {
    let mut files = Vec::new();
    collect(folder, &mut files);
    let module = |file: &PathBuf| -> Module {
        let path = file.strip_prefix(folder).unwrap().with_extension("");
        let mut names: Module = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        names.pop_if(|name| ["mod", "lib", "main"].contains(&name.as_str()));
        names
    };
    files.iter().map(|file| (module(file), std::fs::read_to_string(file).unwrap())).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn uses(sources: &[(Module, String)]) -> Uses {
    let modules: BTreeSet<&Module> = sources.iter().map(|(module, _)| module).collect();
    let mut uses = Uses::new();
    for (module, text) in sources {
        let mut paths = Vec::new();
        paths_in(TokenStream::from_str(text).unwrap(), &mut paths);
        for path in paths {
            let target = resolve(module, &path, &modules);
            uses.entry(module.clone()).or_default().extend(target);
        }
    }
    uses
}

/// The module that holds what a path leads to; `None` where the path leads out of the crate.
fn resolve(module: &Module, path: &[String], modules: &BTreeSet<&Module>) -> Option<Module> {
    let mut names = path.iter().peekable();
    let mut target = match names.next()?.as_str() {
        "crate" => Module::new(),
        "self" => module.clone(),
        _ => module.split_last()?.1.to_vec(),
    };
    while names.next_if(|name| *name == "super").is_some() {
        target.pop();
    }
    for name in names {
        target.push(name.clone());
        if !modules.contains(&target) {
            target.pop();
            break;
        }
    }
    Some(target)
}

/// Every path that begins with `crate`, `self` or `super`, the branches of a `use` each on its own.
fn paths_in(tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if is_test_attribute(&tokens[at..]) {
            // Up to the end of the item that it stands before.
            let is_end = |token: &TokenTree| match token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                TokenTree::Punct(punct) => punct.as_char() == ';',
                TokenTree::Ident(_) | TokenTree::Literal(_) => false,
            };
            at += 2 + tokens[at + 2..].iter().position(is_end).unwrap_or_default() + 1;
            continue;
        }
        match &tokens[at] {
            TokenTree::Ident(ident) if ["crate", "self", "super"].contains(&ident.to_string().as_str()) => {
                at = path_at(&tokens, at, &mut Vec::new(), paths);
            }
            TokenTree::Group(group) => {
                paths_in(group.stream(), paths);
                at += 1;
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
        }
    }
}

/// Reads the path that begins at `at`, below `prefix`; the position after it.
fn path_at(tokens: &[TokenTree], at: usize, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let mut at = at;
    let depth = prefix.len();
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => prefix.push(ident.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && !prefix.is_empty() => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut inside = 0;
                while inside < inner.len() {
                    let after = path_at(&inner, inside, prefix, paths);
                    // On to the next branch.
                    inside =
                        after + inner[after..].iter().take_while(|token| !is_punct(token, ',')).count() + 1;
                }
                prefix.truncate(depth);
                return at + 1;
            }
            _ => break,
        }
        at += 1;
        if !(tokens.get(at).is_some_and(|token| is_punct(token, ':'))
            && tokens.get(at + 1).is_some_and(|token| is_punct(token, ':')))
        {
            break;
        }
        at += 2;
    }
    if prefix.len() > depth {
        let mut path = prefix.clone();
        // `use a::{self, b}` names a.
        path.pop_if(|name| path_is_self(name, depth));
        paths.push(path);
    }
    prefix.truncate(depth);
    at.max(1)
}

fn path_is_self(name: &str, depth: usize) -> bool {
    name == "self" && depth > 0
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// Whether an attribute `#[cfg(test)]` stands here.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [hash, TokenTree::Group(group), ..] = tokens else { return false };
    is_punct(hash, '#') && group.stream().to_string().replace(' ', "") == "cfg(test)"
}

/// For each module its siblings that it or what is below it needs, by their paths.
fn siblings(uses: &Uses) -> BTreeMap<String, BTreeSet<String>> {
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, targets) in uses {
        for target in targets {
            let common = module.iter().zip(target).take_while(|(one, other)| one == other).count();
            if common < module.len() && common < target.len() {
                let (from, to) = (module[..=common].join("::"), target[..=common].join("::"));
                edges.entry(from).or_default().insert(to);
            }
        }
    }
    edges
}

/// Groups of modules each of which leads to every other.
fn cycles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(module) = open.pop() {
            for next in edges.get(module).into_iter().flatten() {
                if reached.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        edges.keys().map(|module| (module, reached(module))).collect();
    let mut cycles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (module, others) in &reached {
        let back = |other: &&String| reached.get(other).is_some_and(|theirs| theirs.contains(*module));
        let cycle: Vec<String> = others.iter().filter(back).cloned().collect();
        if cycle.len() > 1 {
            cycles.insert(cycle);
        }
    }
    cycles.into_iter().collect()
}
