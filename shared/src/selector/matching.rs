//! Names that are meant by the beginning of one, or by words of it.

use crate::name::{Name, fold};

/// The names that a text may stand for that is none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Approximation<'n> {
    /// Only this one.
    One(&'n Name),
    /// Any of these.
    Several(Vec<&'n Name>),
    /// None.
    None,
}

/// Returns the names, each with everything it is called, that `written` may stand for. The first of these rules that
/// applies to any name decides: the name begins with it; its first words begin with the words of it; other words of
/// it do, in the same order.
pub(super) fn approximate<'n>(
    written: &str,
    known: &[(&'n Name, impl AsRef<[&'n Name]>)],
) -> Approximation<'n> {
    let written = fold(written);
    if written.is_empty() {
        return Approximation::None;
    }
    for rule in [begins, begins_with_words, has_words] {
        let mut found: Vec<&Name> = Vec::new();
        for (name, called) in known {
            if called.as_ref().iter().any(|called| rule(called.folded(), &written)) && !found.contains(name) {
                found.push(name);
            }
        }
        match found.as_slice() {
            [] => {}
            [one] => return Approximation::One(one),
            _ => return Approximation::Several(found),
        }
    }
    Approximation::None
}

fn begins(name: &str, written: &str) -> bool {
    name.starts_with(written)
}

/// As `ka s` begins `kafka server`.
fn begins_with_words(name: &str, written: &str) -> bool {
    let mut words = name.split(' ');
    written.split(' ').all(|written| words.next().is_some_and(|word| word.starts_with(written)))
}

/// As `zookeeper` and `ka server` are in `kafka zookeeper server`.
fn has_words(name: &str, written: &str) -> bool {
    let mut words = name.split([' ', '-', '_', '.']);
    written.split(' ').all(|written| words.any(|word| word.starts_with(written)))
}
