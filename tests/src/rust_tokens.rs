//! Tokenizer for Rust source text, for tests that read the sources.

/// Token of Rust source text. Comments are skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Identifier, keyword, lifetime or number.
    Word(String),
    /// Content of a string or character literal, with unprocessed escapes.
    Text(String),
    /// Any other character.
    Mark(char),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) => f.write_str(text),
            Self::Mark(mark) => write!(f, "{mark}"),
        }
    }
}

/// Splits source text into tokens.
///
/// proc-macro2 would do as well. But as a dependency of the tests it gets the debug information of the dev
/// profile, which it does not get as a dependency of derive macros: cargo would then build everything that
/// uses one twice, for the tests and for the programs.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let (token, length) = next_token(rest, first);
        tokens.extend(token);
        rest = &rest[length..];
    }
    tokens
}

/// Returns the first token of `rest`, `None` for white space and comments, and its length in bytes.
fn next_token(rest: &str, first: char) -> (Option<Token>, usize) {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    if rest.starts_with("//") {
        return (None, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (None, block_comment_length(rest));
    }
    if let Some((text, length)) = raw_string(rest) {
        return (Some(Token::Text(text)), length);
    }
    let prefix = usize::from(rest.starts_with("b\"") || rest.starts_with("c\"") || rest.starts_with("b'"));
    let quote = rest[prefix..].chars().next().filter(|quote| matches!(quote, '"' | '\''));
    if let Some(quote) = quote
        && let Some((text, length)) = quoted(&rest[prefix..], quote)
    {
        return (Some(Token::Text(text)), prefix + length);
    }
    if is_word(first) || first == '\'' {
        let tail = &rest[first.len_utf8()..];
        let length = first.len_utf8() + tail.find(|character| !is_word(character)).unwrap_or(tail.len());
        return (Some(Token::Word(rest[..length].to_owned())), length);
    }
    let token = (!first.is_whitespace()).then_some(Token::Mark(first));
    (token, first.len_utf8())
}

/// Returns the length of a block comment, which may contain others.
fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Returns the content of the raw string at the start of `rest`, and the length of the whole literal.
fn raw_string(rest: &str) -> Option<(String, usize)> {
    let tail = ["r", "br", "cr"].iter().find_map(|prefix| {
        rest.strip_prefix(prefix).filter(|tail| tail.trim_start_matches('#').starts_with('"'))
    })?;
    let hashes = tail.find('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let content = &tail[hashes + 1..];
    let length = content.find(&end)?;
    Some((content[..length].to_owned(), rest.len() - content.len() + length + end.len()))
}

/// Returns the content of the quoted literal at the start of `rest`, and the length of the whole literal;
/// `None` for a lifetime.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut characters = rest.char_indices().skip(1);
    let mut count = 0;
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return Some((rest[1..at].to_owned(), at + 1)),
            // A character literal without an escape has one character.
            _ if quote == '\'' && count > 0 && !rest.starts_with("'\\") => return None,
            _ => {}
        }
        count += 1;
    }
    None
}
