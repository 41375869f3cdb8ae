//! What the claim script decided, and the ParticipateResponse that says so. Numbers and order of the script's reply are
//! those that the header of lua/claim.lua states; the statuses are those of the proto.
use crate::protobuf::{put_bytes_field, put_varint_field};

/// One claim's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Won(u32),
    SoldOut,
    LimitReached,
    NotStarted,
    Ended,
    Paused,
    Cancelled,
    Failed,
    /// Nothing is left in this bucket, but maybe in others: no response says that.
    Empty,
}

/// The kinds of verdicts by their names in the proto, in the order of its numbers, which begin with 1; then EMPTY.
pub const KINDS: [&str; 9] =
    ["WON", "SOLD_OUT", "LIMIT_REACHED", "NOT_STARTED", "ENDED", "PAUSED", "CANCELLED", "FAILED", "EMPTY"];

impl Verdict {
    fn read(number: i64) -> Option<Self> {
        Some(match number {
            -1 => Self::NotStarted,
            -2 => Self::Ended,
            -3 => Self::SoldOut,
            -4 => Self::LimitReached,
            -5 => Self::Paused,
            -6 => Self::Cancelled,
            -7 => Self::Failed,
            -8 => Self::Empty,
            number => Self::Won(u32::try_from(number).ok().filter(|number| (1..1 << 28).contains(number))?),
        })
    }

    /// The number of the proto's ParticipateStatus; EMPTY has none there.
    fn status(self) -> u8 {
        match self {
            Self::Won(_) => 1,
            Self::SoldOut => 2,
            Self::LimitReached => 3,
            Self::NotStarted => 4,
            Self::Ended => 5,
            Self::Paused => 6,
            Self::Cancelled => 7,
            Self::Failed => 8,
            Self::Empty => 9,
        }
    }
}

/// How many verdicts of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([u64; KINDS.len()]);

impl Tally {
    pub fn count(&mut self, verdict: Verdict) {
        self.0[usize::from(verdict.status() - 1)] += 1;
    }

    /// In the order of `KINDS`.
    pub fn by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.0)
    }
}

/// The script's reply to a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptReply {
    /// Nothing was done: the activity must be opened first.
    NotReady,
    Decided(Decided),
}

impl ScriptReply {
    /// None where the reply is not one to so many claims.
    pub fn read(numbers: &[i64], claims: usize) -> Option<Self> {
        match numbers {
            [0] => Some(Self::NotReady),
            [1, left, now_ms, start_ms, verdicts @ ..] if verdicts.len() == claims => {
                Decided::new(*left, *now_ms, *start_ms, verdicts).map(Self::Decided)
            }
            _ => None,
        }
    }
}

/// The verdicts on a batch, with the stock left behind it and the script's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    left: u64,
    wait_ms: u64,
    pub verdicts: Vec<Verdict>,
}

impl Decided {
    /// None where a number is no verdict.
    pub fn new(left: i64, now_ms: i64, start_ms: i64, verdicts: &[i64]) -> Option<Self> {
        Some(Self {
            left: u64::try_from(left).unwrap_or(0),
            wait_ms: u64::try_from(start_ms.saturating_sub(now_ms)).unwrap_or(0).max(1),
            verdicts: verdicts.iter().map(|number| Verdict::read(*number)).collect::<Option<_>>()?,
        })
    }

    /// Writes the ParticipateResponse of a win.
    pub fn write_win(&self, out: &mut Vec<u8>, coupon_id: u64, code: &[u8]) {
        put_varint_field(out, 1, 1);
        put_varint_field(out, 2, coupon_id);
        put_bytes_field(out, 3, code);
        self.write_left(out);
    }

    /// Writes the ParticipateResponse of any other verdict but EMPTY.
    pub fn write_other(&self, out: &mut Vec<u8>, verdict: Verdict) {
        put_varint_field(out, 1, verdict.status().into());
        self.write_left(out);
        if verdict == Verdict::NotStarted {
            let mut wait = Vec::with_capacity(16);
            for (number, value) in [(1, self.wait_ms / 1000), (2, self.wait_ms % 1000 * 1_000_000)] {
                if value > 0 {
                    put_varint_field(&mut wait, number, value);
                }
            }
            put_bytes_field(out, 5, &wait);
        }
    }

    fn write_left(&self, out: &mut Vec<u8>) {
        if self.left > 0 {
            put_varint_field(out, 4, self.left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::{Fields, Value};

    fn decided(verdicts: &[i64]) -> Decided {
        Decided::new(7, 1000, 3500, verdicts).unwrap()
    }

    #[test]
    fn a_reply_is_read_by_the_scripts_header() {
        assert_eq!(ScriptReply::read(&[0], 3), Some(ScriptReply::NotReady));
        let Some(ScriptReply::Decided(read)) = ScriptReply::read(&[1, 5, 20, 10, 42, -1, -7], 3) else {
            panic!("three verdicts");
        };
        assert_eq!(read.verdicts, [Verdict::Won(42), Verdict::NotStarted, Verdict::Failed]);
    }

    #[test]
    fn a_reply_to_another_number_of_claims_or_without_sense_is_none() {
        for numbers in [&[][..], &[1], &[0, 0], &[1, 5, 20, 10, 42], &[1, 5, 20, 10, 0, 1], &[1, 5, 20, 10, -9, 1]] {
            assert_eq!(ScriptReply::read(numbers, 2), None, "{numbers:?}");
        }
        assert_eq!(ScriptReply::read(&[1, 5, 20, 10, 1 << 28], 1), None);
    }

    #[test]
    fn a_win_is_told_with_its_coupon_and_the_stock_left() {
        let mut out = Vec::new();
        decided(&[1]).write_win(&mut out, 1 << 52, b"ABCD");
        let fields: Option<Vec<_>> = Fields::new(&out).collect();
        let expected =
            vec![(1, Value::Varint(1)), (2, Value::Varint(1 << 52)), (3, Value::Bytes(b"ABCD")), (4, Value::Varint(7))];
        assert_eq!(fields, Some(expected));
    }

    #[test]
    fn only_before_the_start_there_is_a_time_to_come_back() {
        let mut out = Vec::new();
        decided(&[-1]).write_other(&mut out, Verdict::NotStarted);
        let wait = [0x08, 2, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
        let fields: Option<Vec<_>> = Fields::new(&out).collect();
        assert_eq!(fields, Some(vec![(1, Value::Varint(4)), (4, Value::Varint(7)), (5, Value::Bytes(&wait))]));
        out.clear();
        Decided::new(-3, 0, 0, &[-3]).unwrap().write_other(&mut out, Verdict::SoldOut);
        assert_eq!(out, [0x08, 2], "no stock is not written, as protobuf has it");
    }

    #[test]
    fn verdicts_are_counted_by_kind() {
        let mut tally = Tally::default();
        for verdict in decided(&[5, 6, -3, -7]).verdicts {
            tally.count(verdict);
        }
        let counted: Vec<_> = tally.by_kind().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("WON", 2), ("SOLD_OUT", 1), ("FAILED", 1)]);
    }
}
