//! The modules of each crate form no cycle, so that the dependencies of a module can be read before it.
//!
//! Modules with the same parent are compared, at every level. A parent and its children may depend on each
//! other, because a file of declarations and its folder are read together. Test code is left out.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rta_tests::rust_tokens::{Token, tokens};

/// Crates whose modules are checked.
const CRATES: [&str; 4] = ["shared", "agent", "aggregator", "cli"];

/// Path of a module from its crate's root, which is empty.
type Module = Vec<String>;

/// Modules in other branches of the tree that each module refers to.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn modules_of_a_crate_form_no_cycle() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for name in CRATES {
        let sources: Vec<(Module, String)> = sources(&workspace.join(name).join("src"));
        let cycles = cycles(&siblings(&uses(&sources)));
        found.extend(cycles.iter().map(|cycle| format!("{name}: {}", cycle.join(", "))));
    }
    assert!(found.is_empty(), "modules that need each other:\n{}", found.join("\n"));
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

/// Returns the modules of a crate with their source texts, without test modules.
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
        paths_in(&tokens(text), &mut paths);
        for path in paths {
            let target = resolve(module, &path, &modules);
            uses.entry(module.clone()).or_default().extend(target);
        }
    }
    uses
}

/// Returns the module that contains the target of a path; `None` if the path leads out of the crate.
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

/// Collects every path that starts with `crate`, `self` or `super`, one for each branch of a `use`.
fn paths_in(tokens: &[Token], paths: &mut Vec<Vec<String>>) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if is_test_attribute(&tokens[at..]) {
            at = item_end(tokens, at);
        } else if ["crate", "self", "super"].iter().any(|word| is_word(token, word)) {
            at = path_at(tokens, at, &[], paths);
        } else {
            at += 1;
        }
    }
}

/// Reads the path that starts at `at`, below `prefix`; returns the position after it.
fn path_at(tokens: &[Token], at: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = at;
    loop {
        match tokens.get(at) {
            // `use a::{self, b}` names a.
            Some(Token::Word(word)) if word == "self" && !path.is_empty() => {}
            Some(Token::Word(word)) => path.push(word.clone()),
            Some(Token::Mark('{')) if !path.is_empty() => return branches(tokens, at + 1, &path, paths),
            Some(Token::Mark(_) | Token::Text(_)) | None => break,
        }
        at += 1;
        if !matches!(tokens.get(at..at + 2), Some([Token::Mark(':'), Token::Mark(':')])) {
            break;
        }
        at += 2;
    }
    if path.len() > prefix.len() || !prefix.is_empty() {
        paths.push(path);
    }
    at
}

/// Reads the branches of a `use` from `at`, all below `prefix`; returns the position after the closing brace.
fn branches(tokens: &[Token], at: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut at = at;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Mark('}') => return at + 1,
            Token::Word(word) if word == "as" => at += 2,
            Token::Word(_) => at = path_at(tokens, at, prefix, paths),
            Token::Mark(_) | Token::Text(_) => at += 1,
        }
    }
    at
}

fn is_word(token: &Token, wanted: &str) -> bool {
    matches!(token, Token::Word(word) if word == wanted)
}

/// Returns true if `tokens` start with the attribute `#[cfg(test)]`.
fn is_test_attribute(tokens: &[Token]) -> bool {
    let wanted = ["#", "[", "cfg", "(", "test", ")", "]"];
    tokens.len() >= wanted.len()
        && tokens.iter().zip(wanted).all(|(token, wanted)| token.to_string() == wanted)
}

/// Returns the position after the item that starts at `at`: after its block, or its semicolon.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Mark('{') => depth += 1,
            Token::Mark('}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            Token::Mark(';') if depth == 0 => return at + 1,
            Token::Mark(_) | Token::Word(_) | Token::Text(_) => {}
        }
    }
    tokens.len()
}

/// Returns for each module its siblings that it or its descendants depend on, by their paths.
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

/// Returns the groups of modules that can reach each other.
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
