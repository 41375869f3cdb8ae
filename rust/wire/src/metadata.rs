//! Metadata in HTTP headers: ASCII and `-bin` values, several of one name, percent-encoded details.
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// Base64 with or without padding on the way in, without it on the way out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

const MESSAGE: &AsciiSet = &CONTROLS.add(b'%').add(0x7f);

/// One value of a peer's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(Bytes),
    Binary(Vec<u8>),
}

/// Why metadata cannot be sent or was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    Name,
    Reserved,
    Value,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Name => "a metadata key has the characters 0-9 a-z _ - . only",
            Self::Reserved => "the metadata key is reserved",
            Self::Value => "a metadata value has printable ASCII only, unless its key ends with -bin",
        })
    }
}

/// Whether a header is gRPC's or HTTP's own, not metadata.
fn is_reserved(name: &str) -> bool {
    name.starts_with("grpc-") && !matches!(name, "grpc-status-details-bin" | "grpc-tags-bin" | "grpc-trace-bin")
        || matches!(name, "content-type" | "te" | "content-length" | "host" | "connection")
}

pub fn is_binary(name: &str) -> bool {
    name.ends_with("-bin")
}

/// A request's metadata, in the order of its names; values of one name keep their order.
pub fn read(headers: &HeaderMap) -> Result<Vec<(&str, Value)>, Problem> {
    let mut metadata = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = name.as_str();
        if is_reserved(name) {
            continue;
        }
        if is_binary(name) {
            for part in value.as_bytes().split(|byte| *byte == b',') {
                let binary = BASE64.decode(part.trim_ascii()).map_err(|_| Problem::Value)?;
                metadata.push((name, Value::Binary(binary)));
            }
        } else {
            metadata.push((name, Value::Text(Bytes::copy_from_slice(value.as_bytes()))));
        }
    }
    Ok(metadata)
}

/// Whether every `-bin` value of a request can be decoded. Cheap where there is none.
pub fn is_well_formed(headers: &HeaderMap) -> bool {
    headers.iter().all(|(name, value)| {
        !is_binary(name.as_str())
            || value.as_bytes().split(|byte| *byte == b',').all(|part| BASE64.decode(part.trim_ascii()).is_ok())
    })
}

/// Adds one entry of a reply's metadata.
pub fn append(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), Problem> {
    let legal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'_' | b'-' | b'.');
    if name.is_empty() || !name.bytes().all(legal) {
        return Err(Problem::Name);
    }
    if is_reserved(name) {
        return Err(Problem::Reserved);
    }
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Problem::Name)?;
    let value = if is_binary(name) {
        HeaderValue::try_from(BASE64.encode(value)).map_err(|_| Problem::Value)?
    } else {
        if !value.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
            return Err(Problem::Value);
        }
        HeaderValue::from_bytes(value).map_err(|_| Problem::Value)?
    };
    headers.try_append(header, value).map_err(|_| Problem::Value)?;
    Ok(())
}

/// Details as `grpc-message` carries them.
pub fn percent_encoded(details: &str) -> HeaderValue {
    let encoded: std::borrow::Cow<'_, str> = percent_encode(details.as_bytes(), MESSAGE).into();
    HeaderValue::from_str(&encoded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn binary_values_are_read_with_and_without_padding_and_from_lists() {
        let mut headers = HeaderMap::new();
        headers.append("a-bin", HeaderValue::from_static("AQI="));
        headers.append("a-bin", HeaderValue::from_static("AQI,Aw"));
        headers.append("b", HeaderValue::from_static("1"));
        headers.append("b", HeaderValue::from_static("2"));
        headers.append("grpc-timeout", HeaderValue::from_static("1S"));
        headers.append("te", HeaderValue::from_static("trailers"));
        let read = read(&headers).unwrap();
        assert_eq!(
            read,
            [
                ("a-bin", Value::Binary(vec![1, 2])),
                ("a-bin", Value::Binary(vec![1, 2])),
                ("a-bin", Value::Binary(vec![3])),
                ("b", Value::Text(Bytes::from_static(b"1"))),
                ("b", Value::Text(Bytes::from_static(b"2"))),
            ]
        );
    }

    #[test]
    fn a_malformed_binary_value_is_noticed() {
        let mut headers = HeaderMap::new();
        headers.append("a-bin", HeaderValue::from_static("!!"));
        assert!(!is_well_formed(&headers));
        assert_eq!(read(&headers), Err(Problem::Value));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(append(&mut headers, "Key", b"v"), Err(Problem::Name));
        assert_eq!(append(&mut headers, "", b"v"), Err(Problem::Name));
        assert_eq!(append(&mut headers, ":path", b"v"), Err(Problem::Name));
        assert_eq!(append(&mut headers, "grpc-status", b"0"), Err(Problem::Reserved));
        assert_eq!(append(&mut headers, "key", b"\n"), Err(Problem::Value));
        assert_eq!(append(&mut headers, "key", "ü".as_bytes()), Err(Problem::Value));
        assert_eq!(append(&mut headers, "key-bin", b"\n\xff"), Ok(()));
    }

    proptest! {
        #[test]
        fn details_survive_percent_encoding(details in any::<String>()) {
            let encoded = percent_encoded(&details);
            prop_assert!(encoded.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte)));
            prop_assert_eq!(percent_decode(encoded.as_bytes()).decode_utf8().unwrap(), details);
        }

        #[test]
        fn binary_metadata_survives_the_wire(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut headers = HeaderMap::new();
            append(&mut headers, "k-bin", &value).unwrap();
            prop_assert_eq!(read(&headers).unwrap(), [("k-bin", Value::Binary(value))]);
        }
    }
}
