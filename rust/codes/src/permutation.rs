//! A keyed permutation of the numbers below 2^55.
use siphasher::sip::SipHasher24;

pub const KEY_BYTES: usize = 16;

const HALF_BITS: u32 = 28;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
const LIMIT: u64 = 1 << 55;
/// Luby and Rackoff: four rounds of a pseudo-random function make a strong pseudo-random permutation; the small domain
/// asks for more.
const ROUNDS: u8 = 8;

#[derive(Clone)]
pub struct Permutation {
    hasher: SipHasher24,
}

impl Permutation {
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { hasher: SipHasher24::new_with_key(key) }
    }

    /// The image of a number below 2^55. Half of the 56-bit network's numbers lie below, so it takes two walks on
    /// average.
    pub fn apply(&self, number: u64) -> u64 {
        let mut walked = self.forward(number);
        while walked >= LIMIT {
            walked = self.forward(walked);
        }
        walked
    }

    pub fn undo(&self, number: u64) -> u64 {
        let mut walked = self.backward(number);
        while walked >= LIMIT {
            walked = self.backward(walked);
        }
        walked
    }

    fn forward(&self, number: u64) -> u64 {
        let (mut left, mut right) = (number >> HALF_BITS, number & HALF_MASK);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        left << HALF_BITS | right
    }

    fn backward(&self, number: u64) -> u64 {
        let (mut left, mut right) = (number >> HALF_BITS, number & HALF_MASK);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        left << HALF_BITS | right
    }

    fn round(&self, round: u8, half: u64) -> u64 {
        let mut input = [round; 9];
        input[1..].copy_from_slice(&half.to_le_bytes());
        self.hasher.hash(&input) & HALF_MASK
    }
}
