//! Checks on any sequence of command lines that the matcher of all parts finds what the criteria of each part
//! find alone.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use regex::bytes::{Regex, RegexBuilder};
use rta_shared::config::{Part, ProcessCount};
use rta_shared::criterion::{Criterion, arguments_match};
use rta_shared::matcher::{Matcher, PartId};
use rta_shared::process::CommandLine;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Criteria of each part: argument index and number of the regex.
    parts: Vec<Vec<(Option<i8>, u8)>>,
    /// Regex of the fuzzer, in addition to those below.
    regex: &'a str,
    lines: Vec<&'a [u8]>,
}

/// Regexes of the kinds that configurations contain.
const REGEXES: [&str; 6] =
    ["java", r"config/server\.properties", "^$", r"^\x00?-cp$", r"(^|/)java$", r"(?-u:\xff)"];
/// Size limit of a compiled regex of the fuzzer, so that it cannot exhaust the memory.
const LARGEST: usize = 1 << 16;

/// Compiled once, since that takes longer than everything else.
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
        count: ProcessCount::ONE,
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
