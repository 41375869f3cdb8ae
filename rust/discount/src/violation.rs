//! What is wrong with an input: every violation found, each with the path of its field, as `lines[3].unit_price`.
use std::fmt;

/// One field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub field: String,
    pub text: String,
}

/// All that is wrong with an input, in the order of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Violations(Vec<Violation>);

/// Ids that Couponry makes are safe in every JSON client.
const MAX_OWN_ID: i64 = (1 << 53) - 1;
const MAX_ID_BYTES: usize = 64;

impl Violations {
    pub fn add(&mut self, field: impl Into<String>, text: impl Into<String>) {
        self.0.push(Violation { field: field.into(), text: text.into() });
    }

    pub fn append(&mut self, mut others: Violations) {
        self.0.append(&mut others.0);
    }

    /// Runs `check` and puts `prefix` before the fields of what it finds.
    pub fn within<T>(&mut self, prefix: impl FnOnce() -> String, check: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.0.len();
        let result = check(self);
        if self.0.len() > before {
            let prefix = prefix();
            for violation in &mut self.0[before..] {
                violation.field =
                    if violation.field.is_empty() { prefix.clone() } else { format!("{prefix}.{}", violation.field) };
            }
        }
        result
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }

    /// `value`, if nothing was found.
    pub fn or<T>(self, value: T) -> Result<T, Violations> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    pub(crate) fn between(&mut self, field: &str, value: i64, least: i64, most: i64) {
        if !(least..=most).contains(&value) {
            self.add(field, format!("must be {least} to {most}, is {value}"));
        }
    }

    pub(crate) fn at_least(&mut self, field: &str, value: i64, least: i64) {
        if value < least {
            self.add(field, format!("must be at least {least}, is {value}"));
        }
    }

    pub(crate) fn at_most_entries(&mut self, field: &str, count: usize, most: usize) -> bool {
        if count > most {
            self.add(field, format!("must have at most {most} entries, has {count}"));
        }
        count <= most
    }

    /// An id of the shop's: opaque, 1 to 64 bytes.
    pub(crate) fn shop_made_id(&mut self, field: &str, id: &str) {
        if !(1..=MAX_ID_BYTES).contains(&id.len()) {
            self.add(field, format!("must be 1 to {MAX_ID_BYTES} bytes, is {}", id.len()));
        }
    }

    /// An id that Couponry made: 1 to 2^53 - 1.
    pub(crate) fn own_id(&mut self, field: &str, id: i64) {
        self.between(field, id, 1, MAX_OWN_ID);
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, violation) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(out, "{separator}{}: {}", violation.field, violation.text)?;
        }
        Ok(())
    }
}
