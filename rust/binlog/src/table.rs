//! Table maps: of which table the rows that follow are, and how long each of their columns is.
//!
//! A column is skipped by its type and metadata alone; only the few that place a row are looked at.
use crate::{
    bytes::Take,
    error::Broken,
    watch::{Role, Watched},
};

/// How to get past a value of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// Always so many bytes.
    Fixed(usize),
    /// A length of so many bytes, then as many bytes as it says.
    Length(usize),
}

/// A value that is read: the type decides how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Tiny,
    Short,
    Medium,
    Long,
    LongLong,
    Text,
    /// Of no type that a key, version or status has.
    Other,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) skip: Skip,
    pub(crate) shape: Shape,
    /// A JSON column may come as a difference (and then is no shorter to skip).
    pub(crate) json: bool,
    /// The roles that the column plays, one bit each; 0 for most.
    pub(crate) roles: u8,
}

/// A table that is watched, with the columns that its rows have from now on.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its place in the list of what is watched.
    pub(crate) watched: usize,
    pub(crate) columns: Vec<Column>,
}

/// What a table map says, before it is known whether the table matters.
#[derive(Debug)]
pub(crate) struct Map<'a> {
    pub(crate) schema: &'a [u8],
    pub(crate) name: &'a [u8],
    rest: Take<'a>,
}

impl<'a> Map<'a> {
    /// `body` is what follows the table's id and flags.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Broken> {
        let mut rest = Take(body);
        let mut text = || {
            let length = usize::from(rest.u8()?);
            let text = rest.bytes(length)?;
            rest.skip(1)?;
            Ok::<_, Broken>(text)
        };
        let (schema, name) = (text()?, text()?);
        Ok(Self { schema, name, rest })
    }

    /// The columns, with their names where the server logs them (binlog_row_metadata = FULL).
    pub(crate) fn columns(&self) -> Result<Columns, Broken> {
        let mut rest = self.rest;
        let count = rest.packed()?;
        let types = rest.bytes(count)?;
        let metadata_length = rest.packed()?;
        let mut metadata = Take(rest.bytes(metadata_length)?);
        let mut columns = Vec::with_capacity(count);
        for kind in types {
            columns.push(column(*kind, &mut metadata)?);
        }
        if !metadata.0.is_empty() {
            return Err(Broken::Long);
        }
        rest.skip(count.div_ceil(8))?;
        Ok(Columns { columns: columns.into_iter().collect(), names: names(rest, count)? })
    }
}

#[derive(Debug)]
pub(crate) struct Columns {
    /// None where one has a type that cannot be skipped.
    columns: Option<Vec<Column>>,
    pub(crate) names: Option<Vec<String>>,
}

impl Columns {
    /// The table as it is watched, or None where these columns cannot be those of `names`.
    pub(crate) fn of(self, watched: usize, watch: &Watched, names: &[String]) -> Option<Table> {
        let mut columns = self.columns?;
        if columns.len() != names.len() {
            return None;
        }
        for (role, wanted, textual) in watch.columns() {
            let index = names.iter().position(|name| name.eq_ignore_ascii_case(wanted))?;
            let column = columns.get_mut(index)?;
            let fits = match column.shape {
                Shape::Text => textual,
                Shape::Other => false,
                _ => !textual,
            };
            if !fits {
                return None;
            }
            column.roles |= role as u8;
        }
        Some(Table { watched, columns })
    }
}

impl Column {
    pub(crate) fn plays(&self, role: Role) -> bool {
        self.roles & role as u8 != 0
    }
}

/// One column; the inner None is a type whose values have no known length.
fn column(kind: u8, metadata: &mut Take<'_>) -> Result<Option<Column>, Broken> {
    use Skip::{Fixed, Length};
    let plain = |skip, shape| Some(Column { skip, shape, json: false, roles: 0 });
    let other = |skip| plain(skip, Shape::Other);
    Ok(match kind {
        1 => plain(Fixed(1), Shape::Tiny),
        2 => plain(Fixed(2), Shape::Short),
        3 => plain(Fixed(4), Shape::Long),
        8 => plain(Fixed(8), Shape::LongLong),
        9 => plain(Fixed(3), Shape::Medium),
        // FLOAT and DOUBLE say their own size.
        4 | 5 => other(Fixed(usize::from(metadata.u8()?))),
        6 => other(Fixed(0)),
        // TIMESTAMP, DATE, TIME, DATETIME, YEAR, NEWDATE as they were before fractions.
        7 => other(Fixed(4)),
        10 | 11 | 14 => other(Fixed(3)),
        12 => other(Fixed(8)),
        13 => other(Fixed(1)),
        // VARCHAR and VAR_STRING, VARBINARY among them; 141 is MariaDB's compressed one.
        15 | 253 | 141 => {
            let most = metadata.u16()?;
            plain(Length(if most > 255 { 2 } else { 1 }), if kind == 141 { Shape::Other } else { Shape::Text })
        }
        16 => {
            let (bits, bytes) = (metadata.u8()?, metadata.u8()?);
            other(Fixed(usize::from(bytes) + usize::from(bits > 0)))
        }
        // TIMESTAMP2, DATETIME2, TIME2 with their digits of a second.
        17..=19 => {
            let whole = match kind {
                17 => 4,
                18 => 5,
                _ => 3,
            };
            other(Fixed(whole + usize::from(metadata.u8()?).div_ceil(2)))
        }
        // BLOB, GEOMETRY, VECTOR, and MariaDB's compressed BLOB: how long the length is.
        249..=252 | 255 | 242 | 140 => other(Length(usize::from(metadata.u8()?))),
        245 => {
            Some(Column { json: true, ..plain(Length(usize::from(metadata.u8()?)), Shape::Other).unwrap_or(NOTHING) })
        }
        246 => {
            let (precision, scale) = (metadata.u8()?, metadata.u8()?);
            decimal_size(precision, scale).and_then(|size| other(Fixed(size)))
        }
        // CHAR, BINARY; ENUM and SET hide in it too.
        254 | 247 | 248 => {
            let (real, low) = (metadata.u8()?, metadata.u8()?);
            if real == 247 || real == 248 {
                other(Fixed(usize::from(low)))
            } else {
                let most = u32::from((real & 0x30) ^ 0x30) << 4 | u32::from(low);
                plain(Length(if most > 255 { 2 } else { 1 }), Shape::Text)
            }
        }
        _ => None,
    })
}

const NOTHING: Column = Column { skip: Skip::Fixed(0), shape: Shape::Other, json: false, roles: 0 };

fn decimal_size(precision: u8, scale: u8) -> Option<usize> {
    const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let part = |digits: usize| Some(digits / 9 * 4 + BYTES.get(digits % 9)?);
    let whole = usize::from(precision.checked_sub(scale)?);
    Some(part(whole)? + part(usize::from(scale))?)
}

/// The column names among the optional fields of a table map.
fn names(mut rest: Take<'_>, count: usize) -> Result<Option<Vec<String>>, Broken> {
    const COLUMN_NAME: u8 = 4;
    while !rest.0.is_empty() {
        let kind = rest.u8()?;
        let length = rest.packed()?;
        let mut field = Take(rest.bytes(length)?);
        if kind == COLUMN_NAME {
            let mut names = Vec::with_capacity(count);
            while !field.0.is_empty() {
                let length = field.packed()?;
                names.push(String::from_utf8_lossy(field.bytes(length)?).into_owned());
            }
            return Ok((names.len() == count).then_some(names));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: u8, metadata: &[u8]) -> Option<Skip> {
        let mut rest = Take(metadata);
        let column = column(kind, &mut rest).unwrap();
        assert!(rest.0.is_empty(), "all metadata of type {kind} is read");
        column.map(|column| column.skip)
    }

    #[test]
    fn a_column_is_as_long_as_its_type_and_metadata_say() {
        assert_eq!(one(8, &[]), Some(Skip::Fixed(8)));
        assert_eq!(one(15, &[64, 0]), Some(Skip::Length(1)));
        assert_eq!(one(15, &[160, 15]), Some(Skip::Length(2)));
        assert_eq!(one(252, &[4]), Some(Skip::Length(4)));
        assert_eq!(one(245, &[4]), Some(Skip::Length(4)));
        assert_eq!(one(18, &[3]), Some(Skip::Fixed(7)));
        assert_eq!(one(17, &[0]), Some(Skip::Fixed(4)));
        assert_eq!(one(246, &[10, 2]), Some(Skip::Fixed(5)));
        assert_eq!(one(246, &[65, 30]), Some(Skip::Fixed(30)));
        assert_eq!(one(254, &[254, 16]), Some(Skip::Length(1)));
        assert_eq!(one(254, &[0xce, 0xfc]), Some(Skip::Length(2)));
        assert_eq!(one(254, &[247, 1]), Some(Skip::Fixed(1)));
        assert_eq!(one(16, &[3, 1]), Some(Skip::Fixed(2)));
        assert_eq!(one(99, &[]), None);
    }

    #[test]
    fn a_decimal_of_less_digits_than_its_scale_is_none() {
        assert_eq!(one(246, &[2, 10]), None);
    }
}
