//! What happened to a row, as the floors take it.

/// A row of the entry `key` changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    pub key: &'a [u8],
    pub row: i64,
    pub fate: Fate,
}

/// What became of the row. A version is the one after the change, except where it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Changed, and it belongs to the entry.
    Present { version: i64 },
    /// New. Not above the floor of a deleted row, it was numbered anew: then nothing of the key is stored for a floor's
    /// life.
    Inserted { version: i64 },
    /// Changed, and it does not belong to the entry (any longer): a coupon that was used.
    Left { version: i64 },
    /// Changed; whether it belongs to the entry is not told (a minimal row image).
    Touched { version: i64 },
    /// Deleted; `version` is the one that the row had.
    Gone { version: i64 },
    /// Something that has no order happened to the key: nothing of it is stored for a floor's life.
    Quarantine,
    /// A commit of this process whose versions are not known: only what is read from now on is stored or served.
    Written,
}

impl Fate {
    /// The fate by its name, as Python and the Lua scripts spell it. `version` is ignored where there is none.
    pub fn named(name: &str, version: i64) -> Option<Self> {
        Some(match name {
            "present" => Self::Present { version },
            "inserted" => Self::Inserted { version },
            "left" => Self::Left { version },
            "touched" => Self::Touched { version },
            "gone" => Self::Gone { version },
            "quarantine" => Self::Quarantine,
            "written" => Self::Written,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Present { .. } => "present",
            Self::Inserted { .. } => "inserted",
            Self::Left { .. } => "left",
            Self::Touched { .. } => "touched",
            Self::Gone { .. } => "gone",
            Self::Quarantine => "quarantine",
            Self::Written => "written",
        }
    }

    /// The version that it tells; 0 where it tells none.
    pub fn version(&self) -> i64 {
        match *self {
            Self::Present { version }
            | Self::Inserted { version }
            | Self::Left { version }
            | Self::Touched { version }
            | Self::Gone { version } => version,
            Self::Quarantine | Self::Written => 0,
        }
    }
}
