//! Codes as characters: Crockford's base32 with a check character.

/// Crockford's alphabet: no I, L, O, U.
pub const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const DATA_CHARACTERS: usize = 11;

/// How many characters a code has.
pub const CHARACTERS: usize = DATA_CHARACTERS + 1;

/// Eleven characters, the most significant first, and the check character.
pub fn write(number: u64) -> [u8; CHARACTERS] {
    let mut digits = [0u8; DATA_CHARACTERS];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = (rest & 31) as u8;
        rest >>= 5;
    }
    let mut characters = [ALPHABET[usize::from(check(&digits))]; CHARACTERS];
    for (character, digit) in characters.iter_mut().zip(digits) {
        *character = ALPHABET[usize::from(digit)];
    }
    characters
}

/// Blanks and hyphens are skipped, letters may be small, O is 0, I and L are 1. `None` where the form or the check
/// character is wrong.
pub fn read(typed: &str) -> Option<u64> {
    let mut digits = [0u8; DATA_CHARACTERS + 1];
    let mut count = 0;
    for character in typed.chars().filter(|character| !character.is_whitespace() && *character != '-') {
        *digits.get_mut(count)? = digit_of(character)?;
        count += 1;
    }
    let (data, last) = digits.split_at(DATA_CHARACTERS);
    if count != digits.len() || check(data) != last[0] {
        return None;
    }
    Some(data.iter().fold(0, |number, &digit| number << 5 | u64::from(digit)))
}

fn digit_of(character: char) -> Option<u8> {
    let canonical = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    ALPHABET.iter().position(|&letter| char::from(letter) == canonical).map(|index| index as u8)
}

/// Sum of digit_i * x^(i+1) in GF(2^5) modulo x^5 + x^2 + 1. The weights are distinct and none is 1 or 0, so a wrong
/// digit and two swapped ones (the check character among them) change the sum.
fn check(data: &[u8]) -> u8 {
    let mut sum = 0;
    // Horner's rule, from the last digit down.
    for &digit in data.iter().rev() {
        sum = times_x(sum ^ digit);
    }
    sum
}

fn times_x(value: u8) -> u8 {
    let shifted = value << 1;
    if shifted & 0b10_0000 == 0 { shifted } else { shifted ^ 0b10_0101 }
}
