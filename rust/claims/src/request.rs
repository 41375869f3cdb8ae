//! A ParticipateRequest as its bytes say it. What is not plain (an id that is too long, a field that is not known, text
//! that is not UTF-8) is None: the servicer answers it, and names what is wrong.
use blake2::{Blake2b, Digest as _, digest::consts::U16};

use crate::{
    batch::Hash,
    protobuf::{Fields, Value},
};

/// Ids of activities; a coupon's id holds no larger one.
pub const MAX_ACTIVITY_ID: u32 = (1 << 20) - 1;
const MAX_ID_BYTES: usize = 64;

/// One claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    pub activity_id: u32,
    pub user: &'a [u8],
    /// Empty where a repeat is to be a new claim.
    pub request_id: &'a [u8],
}

impl<'a> Request<'a> {
    /// A field that is written again replaces the one before, as protobuf has it.
    pub fn read(message: &'a [u8]) -> Option<Self> {
        let (mut activity_id, mut user, mut request_id) = (0, &[][..], &[][..]);
        for field in Fields::new(message) {
            match field? {
                (1, Value::Varint(id)) => activity_id = id,
                // What a later field replaces must be text, too.
                (2, Value::Bytes(bytes)) => user = text(bytes)?,
                (3, Value::Bytes(bytes)) => request_id = text(bytes)?,
                _ => return None,
            }
        }
        let activity_id = u32::try_from(activity_id).ok().filter(|id| (1..=MAX_ACTIVITY_ID).contains(id))?;
        let plain = (1..=MAX_ID_BYTES).contains(&user.len()) && request_id.len() <= MAX_ID_BYTES;
        plain.then_some(Self { activity_id, user, request_id })
    }
}

fn text(bytes: &[u8]) -> Option<&[u8]> {
    std::str::from_utf8(bytes).ok().map(str::as_bytes)
}

/// What stands for a request id in Redis and MySQL: 128 bits of BLAKE2b.
pub fn request_hash(request_id: &[u8]) -> Hash {
    Blake2b::<U16>::digest(request_id).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protobuf::{put_bytes_field, put_varint_field};

    fn message(activity_id: u64, user: &[u8], request_id: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint_field(&mut out, 1, activity_id);
        put_bytes_field(&mut out, 2, user);
        put_bytes_field(&mut out, 3, request_id);
        out
    }

    proptest! {
        #[test]
        fn a_plain_request_is_read(id in 1..=MAX_ACTIVITY_ID, user in "\\PC{1,16}", request_id in "\\PC{0,16}") {
            let bytes = message(id.into(), user.as_bytes(), request_id.as_bytes());
            let read = Request::read(&bytes);
            prop_assert_eq!(read, Some(Request { activity_id: id, user: user.as_bytes(), request_id: request_id.as_bytes() }));
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(request) = Request::read(&bytes) {
                prop_assert!((1..=64).contains(&request.user.len()));
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_servicer() {
        let long = [b'u'; 65];
        for (id, user, request_id) in [
            (0, &b"u"[..], &b"r"[..]),
            (1 << 20, b"u", b"r"),
            (u64::MAX, b"u", b"r"),
            (1, b"", b"r"),
            (1, &long, b"r"),
            (1, b"u", &long),
            (1, b"\xff", b"r"),
            (1, b"u", b"\xc3"),
        ] {
            assert_eq!(Request::read(&message(id, user, request_id)), None, "{id} {user:?} {request_id:?}");
        }
        let mut unknown = message(1, b"u", b"r");
        put_varint_field(&mut unknown, 4, 1);
        assert_eq!(Request::read(&unknown), None);
        let mut replaced = message(1, b"\xff", b"r");
        put_bytes_field(&mut replaced, 2, b"u");
        assert_eq!(Request::read(&replaced), None);
    }

    #[test]
    fn the_last_of_a_field_counts() {
        let mut bytes = message(1, b"first", b"r");
        bytes.extend(message(2, b"second", b""));
        let expected = Request { activity_id: 2, user: b"second", request_id: b"" };
        assert_eq!(Request::read(&bytes), Some(expected));
    }

    #[test]
    fn a_hash_is_that_of_the_other_implementations() {
        // Python: hashlib.blake2b(b"r1", digest_size=16).digest()
        let expected = [0x8c, 0x97, 0x51, 0x86];
        assert_eq!(request_hash(b"r1")[..4], expected);
    }
}
