//! The blocks of headers of a reply.
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use crate::{
    code::{Code, Refusal},
    compression::{self, Encoding},
    metadata,
    request::Refused,
};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
pub const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The headers in front of the messages.
pub fn initial(metadata: Option<HeaderMap>, encoding: Encoding) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    if let Some(metadata) = metadata {
        *headers = metadata;
    }
    headers.insert(CONTENT_TYPE, GRPC);
    if encoding != Encoding::Identity {
        headers.insert(ENCODING, HeaderValue::from_static(encoding.name()));
    }
    response
}

/// The headers after the messages.
pub fn trailers(metadata: Option<HeaderMap>, code: Code, details: &str) -> HeaderMap {
    let mut headers = metadata.unwrap_or_default();
    headers.insert(STATUS, HeaderValue::from_static(code.digits()));
    if !details.is_empty() {
        headers.insert(MESSAGE, metadata::percent_encoded(details));
    }
    headers
}

/// The whole reply where there is neither a message nor metadata in front of it.
pub fn trailers_only(trailers: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    *headers = trailers;
    headers.insert(CONTENT_TYPE, GRPC);
    response
}

/// The whole reply to a request that was refused by its headers.
pub fn refused(refused: &Refused) -> Response<()> {
    let Refusal { code, details } = &refused.refusal;
    let mut response = trailers_only(trailers(None, *code, details));
    *response.status_mut() = refused.http;
    if refused.tell_encodings {
        response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(compression::ACCEPTED));
    }
    if refused.http == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}
