//! Keys that carry their hash, so that a key is hashed once for stripe, floors and both maps.
use std::hash::{BuildHasher, Hash, Hasher};

use equivalent::Equivalent;

/// A key that a map owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    hash: u64,
    bytes: Box<[u8]>,
}

/// The same, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    pub hash: u64,
    pub bytes: &'a [u8],
}

impl Key {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Probe<'_> {
    pub fn to_key(self) -> Key {
        Key { hash: self.hash, bytes: self.bytes.into() }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for Probe<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Key> for Probe<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.hash == key.hash && *self.bytes == *key.bytes
    }
}

/// Takes a hash as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hashed;

#[derive(Debug, Default)]
pub struct HashedHasher(u64);

impl BuildHasher for Hashed {
    type Hasher = HashedHasher;

    fn build_hasher(&self) -> HashedHasher {
        HashedHasher(0)
    }
}

impl Hasher for HashedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only hashes are hashed here; anything else is still spread.
        for byte in bytes {
            self.0 = self.0.rotate_left(8).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
