//! Abbreviated names: the beginning of a name, or words of it.

use crate::name::{Name, fold};

/// Names that a text may abbreviate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Approximation<'n> {
    /// Exactly one name.
    One(&'n Name),
    /// Several names.
    Several(Vec<&'n Name>),
    /// No name.
    None,
}

/// Returns those of `known`, each with its name and aliases, that `written` may abbreviate. The first rule that matches
/// any name decides: the name begins with it; the first words of the name begin with its words; other words of the
/// name begin with its words, in the same order.
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

/// Matches `ka s` with `kafka server`.
fn begins_with_words(name: &str, written: &str) -> bool {
    let mut words = name.split(' ');
    written.split(' ').all(|written| words.next().is_some_and(|word| word.starts_with(written)))
}

/// Matches `zookeeper` and `ka server` with `kafka zookeeper server`.
fn has_words(name: &str, written: &str) -> bool {
    let mut words = name.split([' ', '-', '_', '.']);
    written.split(' ').all(|written| words.any(|word| word.starts_with(written)))
}
