//! Suggestions for misspelt words.

use crate::format::joined_list;
use crate::name::MAX_NAME_LENGTH;

/// Returns the candidate that a user who wrote `word` most likely meant; `None` if no candidate is similar,
/// or if `word` is far longer than a name.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Below this similarity (0 to 1) a suggestion confuses more than it helps; `kafka` and `cassandra` have
    // 0.43.
    const NEAR: f64 = 0.6;
    // The comparison takes time and space proportional to the product of the lengths.
    if word.len() > 2 * MAX_NAME_LENGTH {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::normalized_damerau_levenshtein(&word, &candidate.to_lowercase()), candidate)
        })
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Returns `; did you mean "kafka server"?` for the most similar candidate, or a list of the known ones (see
/// [`joined_list`]) if none is similar.
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str> + Clone) -> String {
    if let Some(candidate) = nearest(word, candidates.clone()) {
        return format!("; did you mean \"{candidate}\"?");
    }
    match joined_list(candidates, ", ") {
        none if none.is_empty() => none,
        known => format!("; known: {known}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_whatever_its_case() {
        let names = ["kafka server", "cassandra", "spark master"];
        assert_eq!(nearest("Kafka Sever", names), Some("kafka server"));
        assert_eq!(nearest("zzz", names), None);
    }

    #[test]
    fn far_words_get_the_list() {
        assert_eq!(did_you_mean("zzz", ["one", "two"]), "; known: one, two");
        assert_eq!(did_you_mean("tow", ["one", "two"]), "; did you mean \"two\"?");
        assert_eq!(did_you_mean("tow", []), "");
    }

    #[test]
    fn a_word_of_any_length_has_a_short_answer() {
        let huge = "kafka ".repeat(200_000);
        // A comparison would take the product of both lengths.
        assert_eq!(nearest(&huge, [huge.as_str()]), None);
        let names: Vec<String> = (0..500).map(|at| format!("h{at}")).collect();
        let hint = did_you_mean(&huge, names.iter().map(String::as_str));
        assert!(hint.starts_with("; known: h0, h1, ") && hint.ends_with(", h19 and 480 more"), "{hint}");
    }
}
