//! What the headers of a request say, checked: how it is refused where they do not speak gRPC.
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode, header::CONTENT_TYPE, request::Parts};

use crate::{
    code::{Code, Refusal},
    compression::{self, Encoding},
    metadata, timeout,
};

/// A request's headers, as a handler needs them.
pub struct Head {
    pub path: String,
    pub headers: HeaderMap,
    pub deadline: Option<Instant>,
    pub received: Encoding,
}

impl Head {
    /// Whether the peer takes replies in this encoding.
    pub fn accepts(&self, encoding: Encoding) -> bool {
        encoding == Encoding::Identity
            || self.headers.get_all("grpc-accept-encoding").iter().any(|list| encoding.is_in(list.as_bytes()))
    }

    /// Whether the caller asks how it is answered: such a call is its handler's, which can say.
    pub fn is_debugged(&self) -> bool {
        self.headers.contains_key("couponry-debug")
    }
}

/// How a request is refused by its headers alone: always with one block of headers.
pub struct Refused {
    pub http: StatusCode,
    pub refusal: Refusal,
    pub tell_encodings: bool,
}

impl Refused {
    fn new(http: StatusCode, code: Code, details: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self { http, refusal: Refusal::new(code, details), tell_encodings: false }
    }
}

/// Checks a request's headers.
pub fn check(parts: Parts, now: Instant) -> Result<Head, Refused> {
    if parts.method != Method::POST {
        return Err(Refused::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Code::Internal,
            format!("the method of a gRPC request is POST, not {}", parts.method),
        ));
    }
    let headers = parts.headers;
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    if !is_grpc(content_type) {
        return Err(Refused::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::InvalidArgument,
            "the content-type is not application/grpc",
        ));
    }
    let deadline = match headers.get("grpc-timeout") {
        None => None,
        Some(value) => match timeout::parse(value.as_bytes()) {
            Some(timeout) => Some(now + timeout.min(Duration::from_secs(3600 * 24 * 365))),
            None => return Err(Refused::new(StatusCode::BAD_REQUEST, Code::Internal, "malformed grpc-timeout")),
        },
    };
    let received = match headers.get("grpc-encoding") {
        None => Encoding::Identity,
        Some(name) => match Encoding::from_name(name.as_bytes()) {
            Some(encoding) => encoding,
            None => {
                let details = format!(
                    "the encoding {:?} is not among {}",
                    String::from_utf8_lossy(name.as_bytes()),
                    compression::ACCEPTED
                );
                let refused = Refused::new(StatusCode::OK, Code::Unimplemented, details);
                return Err(Refused { tell_encodings: true, ..refused });
            }
        },
    };
    if !metadata::is_well_formed(&headers) {
        return Err(Refused::new(StatusCode::BAD_REQUEST, Code::Internal, "malformed binary metadata"));
    }
    let path = parts.uri.path().to_owned();
    Ok(Head { path, headers, deadline, received })
}

fn is_grpc(content_type: &[u8]) -> bool {
    match content_type.strip_prefix(b"application/grpc") {
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post("http://host/a.B/C").header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn refused(parts: Parts) -> Refused {
        check(parts, Instant::now()).err().unwrap()
    }

    #[test]
    fn a_good_head_is_read() {
        let now = Instant::now();
        let head = check(
            parts(&[("grpc-timeout", "3S"), ("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip, identity")]),
            now,
        )
        .ok()
        .unwrap();
        assert_eq!(head.path, "/a.B/C");
        assert_eq!(head.deadline, Some(now + Duration::from_secs(3)));
        assert_eq!(head.received, Encoding::Gzip);
        assert!(head.accepts(Encoding::Gzip) && !head.accepts(Encoding::Deflate) && head.accepts(Encoding::Identity));
    }

    #[test]
    fn content_types_of_grpc_only() {
        assert!(is_grpc(b"application/grpc") && is_grpc(b"application/grpc+proto") && is_grpc(b"application/grpc;x"));
        assert!(!is_grpc(b"application/grpc-web") && !is_grpc(b"application/json") && !is_grpc(b""));
    }

    #[test]
    fn each_fault_has_its_status() {
        let request = Request::get("http://host/a").body(()).unwrap().into_parts().0;
        assert_eq!(refused(request).http, StatusCode::METHOD_NOT_ALLOWED);
        let request = Request::post("http://host/a").body(()).unwrap().into_parts().0;
        assert_eq!(refused(request).http, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(refused(parts(&[("grpc-timeout", "3x")])).refusal.code, Code::Internal);
        let unknown = refused(parts(&[("grpc-encoding", "br")]));
        assert!(unknown.refusal.code == Code::Unimplemented && unknown.tell_encodings);
        assert_eq!(refused(parts(&[("a-bin", "!")])).refusal.code, Code::Internal);
    }
}
