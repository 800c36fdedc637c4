//! Addresses of pages.

/// Returns `path` with the non-empty parameters of `query`.
pub(super) fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let query: Vec<_> = query.iter().filter(|(_, value)| !value.is_empty()).collect();
    // Serialization of strings alone cannot fail.
    match serde_urlencoded::to_string(query).unwrap_or_default() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out_and_the_rest_is_encoded() {
        assert_eq!(
            with_query("/events", &[("host", ""), ("component", "a&b =\u{e9}")]),
            "/events?component=a%26b+%3D%C3%A9"
        );
        assert_eq!(with_query("/events", &[("host", "")]), "/events");
    }
}
