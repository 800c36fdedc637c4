//! Header of a forwarded call, which names the person who asked.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message as _;
use rta_shared::action::Requester;
use rta_shared::proto::v1;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

/// Name of the header. Its value is an `rta.v1.Requester`, encoded as gRPC encodes binary metadata.
const ON_BEHALF_OF: &str = "rta-on-behalf-of-bin";

/// Header that names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header that names the person on whose behalf an aggregator calls is invalid")]
pub(crate) struct InvalidRequester;

/// Reads the requester of a forwarded call; `None`: the call is not forwarded.
///
/// # Errors
/// Returns an error if the header is there and invalid. Such a call must not pass for one without it.
pub(crate) fn read_requester(headers: &HeaderMap) -> Option<Result<Requester, InvalidRequester>> {
    headers.contains_key(ON_BEHALF_OF).then(|| {
        let mut values = headers.get_all(ON_BEHALF_OF).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(InvalidRequester) };
        let single = HeaderMap::from_iter([(HeaderName::from_static(ON_BEHALF_OF), value.clone())]);
        let metadata = MetadataMap::from_headers(single);
        let value = metadata.get_bin(ON_BEHALF_OF).ok_or(InvalidRequester)?;
        let bytes = value.to_bytes().map_err(|_| InvalidRequester)?;
        v1::Requester::decode(bytes).map(Requester::from).map_err(|_| InvalidRequester)
    })
}

/// Sets the requester of a call that is forwarded.
pub(crate) fn write_requester(headers: &mut HeaderMap, by: &Requester) {
    let bytes = v1::Requester::from(by).encode_to_vec();
    let value = BinaryMetadataValue::from_bytes(&bytes);
    // Base64 is a valid header; without the header the leader records the aggregator's own name, and refuses to act.
    if let Ok(value) = HeaderValue::from_bytes(value.as_encoded_bytes()) {
        headers.insert(HeaderName::from_static(ON_BEHALF_OF), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requester_of_any_name_arrives_and_an_invalid_one_is_an_error() {
        let mut headers = HeaderMap::new();
        assert_eq!(read_requester(&headers), None);
        let by = Requester { user: "Jürgen\n\"x\"".to_owned(), address: "10.0.0.7".to_owned() };
        write_requester(&mut headers, &by);
        assert_eq!(read_requester(&headers), Some(Ok(by.clone())));
        headers.append(ON_BEHALF_OF, HeaderValue::from_static("AA"));
        assert_eq!(read_requester(&headers), Some(Err(InvalidRequester)), "two of them");
        headers.insert(ON_BEHALF_OF, HeaderValue::from_static("%"));
        assert_eq!(read_requester(&headers), Some(Err(InvalidRequester)));
    }
}
