//! A bucket of an activity: its keys in Redis, and the ids of the coupons that its wins become.
use std::fmt::Write as _;

/// As `couponry.flash_sale.wire.Place`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub activity_id: u32,
    pub bucket: u8,
}

impl Place {
    /// The bucket that decides all claims of a user: CRC-32 modulo the number of buckets, for ever.
    pub fn of(activity_id: u32, buckets: u8, user: &[u8]) -> Self {
        let bucket = if buckets > 1 { crc32fast::hash(user) % u32::from(buckets) } else { 0 };
        // Below 16.
        Self { activity_id, bucket: bucket as u8 }
    }

    /// m, u and o behind a prefix: one hash tag, so one slot of a Cluster.
    pub fn keys(self, prefix: &str) -> [String; 3] {
        ["m", "u", "o"].map(|part| {
            let mut key = String::with_capacity(prefix.len() + 24);
            key.push_str(prefix);
            // Writing into a String cannot fail.
            let _ = write!(key, "fs:{{{}.{}}}:{part}", self.activity_id, self.bucket);
            key
        })
    }

    /// 2^52 + activity * 2^32 + bucket * 2^28 + number.
    pub fn coupon_id(self, number: u32) -> u64 {
        (1 << 52) | u64::from(self.activity_id) << 32 | u64::from(self.bucket) << 28 | u64::from(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_share_a_hash_tag_behind_the_prefix() {
        let place = Place { activity_id: 12, bucket: 3 };
        assert_eq!(place.keys("p:"), ["p:fs:{12.3}:m", "p:fs:{12.3}:u", "p:fs:{12.3}:o"]);
    }

    #[test]
    fn a_user_has_the_bucket_that_other_implementations_give() {
        // Python: zlib.crc32(b"ann") % 16
        assert_eq!(Place::of(7, 16, b"ann").bucket, 3);
        assert_eq!(Place::of(7, 1, b"ann").bucket, 0);
    }

    #[test]
    fn a_coupons_id_holds_all_parts() {
        assert_eq!(Place { activity_id: 1, bucket: 0 }.coupon_id(1), (1 << 52) + (1 << 32) + 1);
        let last = Place { activity_id: (1 << 20) - 1, bucket: 15 }.coupon_id((1 << 28) - 1);
        assert_eq!(last, (1 << 53) - 1);
    }
}
