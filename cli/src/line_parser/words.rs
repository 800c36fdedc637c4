//! Splitting of a possibly unfinished line into words, with the quoting rules of a POSIX shell.

/// Word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypedWord {
    /// Byte offset of its start, including an opening quote.
    pub(crate) at: usize,
    /// Text without quotes and backslashes.
    pub(crate) value: String,
    /// Opening quote.
    pub(crate) quote: Option<char>,
}

/// Splits `line` into words. The last one is still being typed; it is empty if the line ends with a space.
pub(crate) fn split_words(line: &str) -> Vec<TypedWord> {
    let mut words = Vec::new();
    let mut word: Option<TypedWord> = None;
    // Currently open quote.
    let mut open: Option<char> = None;
    let mut characters = line.char_indices();
    while let Some((at, character)) = characters.next() {
        if open.is_none() && character.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let is_first = word.is_none();
        let current = word.get_or_insert_with(|| TypedWord { at, value: String::new(), quote: None });
        match (open, character) {
            (None, '"' | '\'') => {
                open = Some(character);
                if is_first {
                    current.quote = open;
                }
            }
            (Some(quote), _) if quote == character => open = None,
            (None | Some('"'), '\\') => current.value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => current.value.push(character),
        }
    }
    words.push(word.unwrap_or_else(|| TypedWord { at: line.len(), value: String::new(), quote: None }));
    words
}

/// Returns `text` as it can be typed for a name with spaces: quoted only if required.
pub(crate) fn quote_if_needed(text: &str) -> String {
    let plain = text.split(' ').all(|word| shlex::try_quote(word).is_ok_and(|quoted| quoted == word));
    match plain {
        true => text.to_owned(),
        false => shlex::try_quote(text).map_or_else(|_| text.to_owned(), |quoted| quoted.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_lines_have_words_too() {
        type Found<'w> = (usize, &'w str, Option<char>);
        let rows: &[(&str, &[Found<'_>])] = &[
            ("", &[(0, "", None)]),
            (" st", &[(1, "st", None)]),
            ("st ", &[(0, "st", None), (3, "", None)]),
            ("a \"b c", &[(0, "a", None), (2, "b c", Some('"'))]),
            ("a 'b c' d", &[(0, "a", None), (2, "b c", Some('\'')), (8, "d", None)]),
            ("a b\\ c\\", &[(0, "a", None), (2, "b c", None)]),
            ("a x\"y z\"", &[(0, "a", None), (2, "xy z", None)]),
        ];
        for (line, expected) in rows {
            let found = split_words(line);
            let found: Vec<Found<'_>> =
                found.iter().map(|word| (word.at, word.value.as_str(), word.quote)).collect();
            assert_eq!(found, *expected, "{line:?}");
        }
    }

    #[test]
    fn only_what_a_shell_would_take_amiss_is_quoted() {
        assert_eq!(quote_if_needed("kafka server"), "kafka server");
        assert_eq!(quote_if_needed("it's"), "\"it's\"");
    }
}
