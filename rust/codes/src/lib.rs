//! Coupon codes: a keyed permutation of the coupon's id, so codes are unguessable, never collide and are not stored.
//!
//! A code is 11 characters of Crockford's base32 (55 bits) and a check character, shown in groups of four. The
//! permutation is a Feistel network over 56 bits whose round function is SipHash-2-4, walked until it lands below
//! 2^55; the check character is a weighted sum over GF(32), which catches every single wrong character and every two
//! that were swapped.
//!
//! Layout:
//! - `text`: characters to numbers and back, as people type them
//! - `permutation`: ids to 55-bit numbers and back
mod permutation;
mod text;

pub use permutation::KEY_BYTES;
pub use text::CHARACTERS;

/// Ids of coupons lie below this.
pub const ID_LIMIT: u64 = 1 << 53;

/// The key that turns ids into codes.
#[derive(Clone)]
pub struct CodeKey(permutation::Permutation);

impl CodeKey {
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(permutation::Permutation::new(key))
    }

    /// The code of an id in canonical form, 12 characters without hyphens. `None` where the id is not below 2^53.
    pub fn encode(&self, id: u64) -> Option<String> {
        self.characters(id).map(|characters| characters.iter().copied().map(char::from).collect())
    }

    /// The same as bytes.
    pub fn characters(&self, id: u64) -> Option<[u8; CHARACTERS]> {
        (id < ID_LIMIT).then(|| text::write(self.0.apply(id)))
    }

    /// The id of a code as typed, or `None` where it is malformed, fails its check or belongs to no id.
    pub fn decode(&self, typed: &str) -> Option<u64> {
        let id = self.0.undo(text::read(typed)?);
        (0 < id && id < ID_LIMIT).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> CodeKey {
        CodeKey::new(b"0123456789abcdef")
    }

    proptest! {
        #[test]
        fn a_code_leads_back_to_its_id(id in 1..ID_LIMIT) {
            let code = key().encode(id).unwrap();
            prop_assert_eq!(code.len(), 12);
            prop_assert_eq!(key().decode(&code), Some(id));
        }

        #[test]
        fn every_single_wrong_character_is_noticed(id in 1..ID_LIMIT, place in 0usize..12, shift in 1usize..32) {
            let code = key().encode(id).unwrap();
            let mut digits: Vec<u8> = code.bytes().collect();
            let index = text::ALPHABET.iter().position(|&c| c == digits[place]).unwrap();
            digits[place] = text::ALPHABET[(index + shift) % 32];
            prop_assert_eq!(text::read(&String::from_utf8(digits).unwrap()), None);
        }

        #[test]
        fn every_swap_of_two_characters_is_noticed(id in 1..ID_LIMIT, a in 0usize..12, b in 0usize..12) {
            let code = key().encode(id).unwrap();
            let mut digits: Vec<u8> = code.bytes().collect();
            prop_assume!(digits[a] != digits[b]);
            digits.swap(a, b);
            prop_assert_eq!(text::read(&String::from_utf8(digits).unwrap()), None);
        }

        #[test]
        fn any_text_is_survived(typed in "\\PC{0,40}") {
            let _ = key().decode(&typed);
        }
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = key().encode(4711).unwrap();
        let spaced = format!(" {} {}-{}\t", &code[..4].to_lowercase(), &code[4..8], &code[8..]);
        assert_eq!(key().decode(&spaced), Some(4711));
        let lookalikes = code.replace('0', "o").replace('1', "l");
        assert_eq!(key().decode(&lookalikes), Some(4711));
    }

    #[test]
    fn an_id_of_2_to_the_53_has_no_code() {
        assert_eq!(key().encode(ID_LIMIT), None);
        assert!(key().encode(ID_LIMIT - 1).is_some());
    }

    #[test]
    fn another_key_gives_other_codes() {
        let other = CodeKey::new(b"fedcba9876543210");
        assert_ne!(key().encode(1), other.encode(1));
    }

    #[test]
    fn neighbouring_ids_look_unrelated() {
        let (a, b) = (key().encode(1000).unwrap(), key().encode(1001).unwrap());
        let same = a.bytes().zip(b.bytes()).filter(|(x, y)| x == y).count();
        assert!(same <= 5, "{a} and {b} share {same} characters");
    }
}
