//! What must be known of an activity before its claims may go, read from the stored message `couponry.v1.Activity`.
use crate::protobuf::{Fields, Value};

const SETTLED: u64 = 5;

/// When a win is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Ack {
    #[default]
    Redis = 1,
    Replica = 2,
    Mysql = 3,
}

impl Ack {
    /// By its number in the proto; 0 is the default, as there.
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            0 | 1 => Some(Self::Redis),
            2 => Some(Self::Replica),
            3 => Some(Self::Mysql),
            _ => None,
        }
    }
}

/// An activity whose claims may go to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    pub ack: Ack,
    pub buckets: u8,
}

impl Activity {
    /// None where MySQL answers for it (it is settled), or the message cannot be read.
    pub fn read(message: &[u8]) -> Option<Self> {
        let (mut ack, mut buckets, mut state) = (0, 1, 0);
        for field in Fields::new(message) {
            match field? {
                (2, Value::Bytes(spec)) => {
                    for field in Fields::new(spec) {
                        match field? {
                            (9, Value::Varint(number)) => ack = number,
                            (10, Value::Varint(number)) => buckets = number,
                            _ => {}
                        }
                    }
                }
                (3, Value::Varint(number)) => state = number,
                _ => {}
            }
        }
        let buckets = u8::try_from(buckets).ok().filter(|buckets| (1..=16).contains(buckets))?;
        (state != SETTLED).then_some(Self { ack: Ack::from_number(ack)?, buckets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::{put_bytes_field, put_varint_field};

    fn message(ack: u64, buckets: u64, state: u64) -> Vec<u8> {
        let (mut spec, mut out) = (Vec::new(), Vec::new());
        put_bytes_field(&mut spec, 2, b"noon");
        put_varint_field(&mut spec, 9, ack);
        put_varint_field(&mut spec, 10, buckets);
        put_varint_field(&mut out, 1, 77);
        put_bytes_field(&mut out, 2, &spec);
        put_varint_field(&mut out, 3, state);
        put_varint_field(&mut out, 5, 12);
        out
    }

    #[test]
    fn what_claims_need_is_read() {
        assert_eq!(Activity::read(&message(3, 1, 2)), Some(Activity { ack: Ack::Mysql, buckets: 1 }));
        assert_eq!(Activity::read(&message(0, 16, 4)), Some(Activity { ack: Ack::Redis, buckets: 16 }));
        assert_eq!(Activity::read(&[]), Some(Activity { ack: Ack::Redis, buckets: 1 }));
    }

    #[test]
    fn a_settled_activity_and_numbers_from_the_future_are_none() {
        for message in [message(1, 1, 5), message(4, 1, 2), message(1, 17, 2), message(1, 0, 2), vec![0x12, 9]] {
            assert_eq!(Activity::read(&message), None, "{message:?}");
        }
    }
}
