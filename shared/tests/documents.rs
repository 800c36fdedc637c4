//! Checks the documents as far as a program can: their links are valid, the module lists of the architecture
//! are complete, the messages quoted in the troubleshooting page are in the code, and the README is short.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum number of words in the README, which people read first; details belong in docs/.
const README_WORDS: usize = 1_500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns all documents for people.
fn documents() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        folder.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    paths.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    paths
}

/// Returns the lines of a document outside of its fenced and indented code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence && !line.starts_with("    ")
    })
}

/// Returns the anchors of a document's headings, by GitHub's rules: a repeated one gets a number.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in prose(text).filter(|line| line.starts_with('#')) {
        let letters = heading.trim_start_matches('#').trim().chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
        });
        let anchor: String = letters.collect();
        let repeated = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(repeated).find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

/// Returns the targets of the links of a document.
fn links(text: &str) -> Vec<&str> {
    prose(text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn links_of_the_documents_lead_to_files_and_headings() {
    let mut broken = Vec::new();
    let mut checked = 0;
    for path in documents() {
        let text = read(&path);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            checked += 1;
            let is_there = target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !is_there {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(checked > 20, "only {checked} links were found");
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn architecture_lists_each_top_level_module() {
    let architecture = read(&root().join("docs/architecture.md"));
    let mut differences = Vec::new();
    for file in [
        "shared/src/lib.rs",
        "agent/src/lib.rs",
        "aggregator/src/lib.rs",
        "cli/src/main.rs",
        "tests/src/lib.rs",
    ] {
        let heading = format!("### `{file}`\n");
        let section =
            architecture.split_once(&heading).map(|(_, rest)| rest.split("\n#").next().unwrap_or(rest));
        let section = section.unwrap_or_else(|| panic!("docs/architecture.md has no section {file}"));
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        let listed: BTreeSet<&str> = rows.map(|(module, _)| module).collect();
        let code = read(&root().join(file));
        let modules = code.lines().filter_map(|line| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.strip_prefix("mod ")?.strip_suffix(';')
        });
        let modules: BTreeSet<&str> = modules.collect();
        assert!(modules.len() > 10, "{file}: only {modules:?} were found");
        differences.extend(modules.difference(&listed).map(|module| format!("{file}: {module} is missing")));
        differences.extend(listed.difference(&modules).map(|module| format!("{file}: there is no {module}")));
    }
    assert!(differences.is_empty(), "docs/architecture.md:\n{}", differences.join("\n"));
}

/// Returns all files below a folder, as paths from the root.
fn files(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

#[test]
fn files_that_the_architecture_names_are_there() {
    let architecture = read(&root().join("docs/architecture.md"));
    let folders = ["shared", "agent", "aggregator", "cli", "tests", "proto", "config"];
    let files: Vec<String> = folders.into_iter().flat_map(files).map(|file| format!("/{file}")).collect();
    let spans = prose(&architecture).flat_map(|line| line.split('`').skip(1).step_by(2));
    let is_name = |span: &&str| {
        // KIND.rs is a placeholder for a file name.
        let is_path = [".rs", ".proto", "/"].iter().any(|end| span.ends_with(end));
        is_path && !span.contains(char::is_uppercase) && !span.starts_with(['.', '/'])
    };
    let names: Vec<&str> = spans.filter(is_name).collect();
    assert!(names.len() > 60, "only {} names were found", names.len());
    let is_there = |name: &str| {
        let name = format!("/{name}");
        files.iter().any(|file| file.ends_with(&name) || (name.ends_with('/') && file.contains(&name)))
    };
    let missing: Vec<&str> = names.into_iter().filter(|name| *name != "docs/" && !is_there(name)).collect();
    assert!(missing.is_empty(), "docs/architecture.md names what is not there: {missing:?}");
}

/// Returns the code of the programs, with each text on one line and without escapes, as people see it.
fn code() -> String {
    let paths = ["agent/src", "aggregator/src", "cli/src", "shared/src"].into_iter().flat_map(files);
    let paths = paths.filter(|path| path.ends_with(".rs"));
    let code: String = paths.map(|path| read(&root().join(path))).collect();
    let mut parts = code.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |joined, part| joined + part.trim_start()).replace("\\\"", "\"")
}

#[test]
fn messages_of_troubleshooting_are_in_the_code() {
    let text = read(&root().join("docs/troubleshooting.md"));
    let code = code();
    let mut is_table = false;
    let mut missing = Vec::new();
    let mut checked = 0;
    for line in text.lines() {
        is_table = line.starts_with("| message |") || (is_table && line.starts_with('|'));
        let Some(message) = line.strip_prefix("| `").filter(|_| is_table) else { continue };
        let message = message.split('`').next().unwrap_or_default();
        checked += 1;
        // Variable parts lie between the fixed ones; a part of few letters proves nothing.
        let parts = message.split('…').map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| part.len() >= 6).collect();
        if parts.is_empty() || parts.iter().any(|part| !code.contains(part)) {
            missing.push(message);
        }
    }
    assert!(checked > 60, "only {checked} messages were found");
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md quotes what no program says:\n{}",
        missing.join("\n")
    );
}

#[test]
fn readme_is_short() {
    let words = read(&root().join("README.md")).split_whitespace().count();
    assert!(words < README_WORDS, "README.md has {words} words; move some of it into docs/");
}
