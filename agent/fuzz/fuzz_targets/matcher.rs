//! The matcher of all parts at once finds what each part's criteria find alone, on any command lines, one after
//! the other.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use regex::bytes::{Regex, RegexBuilder};
use rta_shared::config::{Count, Part};
use rta_shared::criterion::{Criterion, arguments_match};
use rta_shared::matcher::{Matcher, PartId};
use rta_shared::process::CommandLine;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// For each part its criteria: indexes and which regexes.
    parts: Vec<Vec<(Option<i8>, u8)>>,
    /// A regex of the fuzzer's own beside those below.
    regex: &'a str,
    lines: Vec<&'a [u8]>,
}

/// Of the kinds that configurations hold.
const REGEXES: [&str; 6] =
    ["java", r"config/server\.properties", "^$", r"^\x00?-cp$", r"(^|/)java$", r"(?-u:\xff)"];
/// A regex of the fuzzer's own may not take the memory of a machine.
const LARGEST: usize = 1 << 16;

/// Compiled once: that takes longer than all the rest.
static COMMON: LazyLock<Vec<Regex>> =
    LazyLock::new(|| REGEXES.iter().map(|text| Regex::new(text).unwrap()).collect());

fn regexes(own: &str) -> Vec<Regex> {
    let own = if own.is_empty() { None } else { RegexBuilder::new(own).size_limit(LARGEST).build().ok() };
    COMMON.iter().cloned().chain(own).collect()
}

fuzz_target!(|input: Input<'_>| {
    let regexes = regexes(input.regex);
    let criterion = |(index, which): &(Option<i8>, u8)| {
        Criterion::argument(index.map(i32::from), regexes[usize::from(*which) % regexes.len()].clone())
    };
    let part = |criteria: &Vec<(Option<i8>, u8)>| Part {
        name: None,
        criteria: criteria.iter().take(6).map(criterion).collect(),
        count: Count::ONE,
        container: false,
    };
    let parts: Vec<Part> = input.parts.iter().take(20).map(part).collect();
    let id = |at: usize| PartId { component: at / 2, part: at % 2 };
    let mut matcher = Matcher::new(parts.iter().enumerate().map(|(at, part)| (id(at), part)));
    for content in input.lines.iter().take(20) {
        let line = CommandLine::parse(content);
        let mut found = Vec::new();
        matcher.find(&line, &mut found);
        found.sort_unstable();
        let alone = parts.iter().enumerate().filter(|(_, part)| arguments_match(&part.criteria, &line)).map(|(at, _)| id(at));
        assert_eq!(found, alone.collect::<Vec<_>>());
    }
});
