//! A binlog file, event by event: for tests and for measuring.
use crate::{
    error::Broken,
    event::{HEADER, Header},
};

/// The events of a file's bytes, each with its header.
pub struct File<'a>(&'a [u8]);

impl<'a> File<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, Broken> {
        bytes.strip_prefix(b"\xfebin").map(Self).ok_or(Broken::Magic)
    }
}

impl<'a> Iterator for File<'a> {
    type Item = Result<&'a [u8], Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let length = match Header::read(self.0) {
            Ok(header) if header.length >= HEADER => header.length,
            Ok(_) => usize::MAX,
            Err(broken) => {
                self.0 = &[];
                return Some(Err(broken));
            }
        };
        match self.0.split_at_checked(length) {
            Some((event, rest)) => {
                self.0 = rest;
                Some(Ok(event))
            }
            None => {
                self.0 = &[];
                Some(Err(Broken::Short))
            }
        }
    }
}
