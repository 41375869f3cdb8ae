//! Row events: images of rows, of which only the columns that place a row are read.
use crate::{
    bytes::{Take, bit},
    error::Broken,
    table::{Column, Shape, Skip, Table},
    watch::{Role, RowEvent},
};

/// A column of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Slot<'a> {
    /// The image does not have it.
    #[default]
    Absent,
    Null,
    Int(i64),
    Text(&'a [u8]),
}

impl Slot<'_> {
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }
}

/// What is read of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Image<'a> {
    pub(crate) row: Slot<'a>,
    pub(crate) key: Slot<'a>,
    pub(crate) version: Slot<'a>,
    pub(crate) member: Slot<'a>,
    pub(crate) alias: Slot<'a>,
}

impl<'a> Image<'a> {
    /// This image with what it lacks taken from another: a minimal image holds only what changed.
    pub(crate) fn over(&self, under: &Self) -> Self {
        let or = |one: Slot<'a>, other: Slot<'a>| if one == Slot::Absent { other } else { one };
        Self {
            row: or(self.row, under.row),
            key: or(self.key, under.key),
            version: or(self.version, under.version),
            member: or(self.member, under.member),
            alias: or(self.alias, under.alias),
        }
    }

    #[inline]
    fn set(&mut self, column: &Column, value: Slot<'a>) {
        if column.plays(Role::Row) {
            self.row = value;
        }
        if column.plays(Role::Key) {
            self.key = value;
        }
        if column.plays(Role::Version) {
            self.version = value;
        }
        if column.plays(Role::Member) {
            self.member = value;
        }
        if column.plays(Role::Alias) {
            self.alias = value;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Insert,
    Update,
    /// An update whose JSON columns may come as differences.
    PartialUpdate,
    Delete,
}

/// The head of a row event: which columns its images have.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    width: usize,
    first: &'a [u8],
    second: &'a [u8],
    pub(crate) rows: &'a [u8],
}

impl<'a> Head<'a> {
    /// `body` is what follows the table's id and flags. `extra` is whether there is an extra part, as there is since
    /// the second version of these events.
    pub(crate) fn read(body: &'a [u8], operation: Operation, extra: bool) -> Result<Self, Broken> {
        let mut rest = Take(body);
        if extra {
            let length = rest.u16()?.checked_sub(2).ok_or(Broken::Length)?;
            rest.skip(usize::from(length))?;
        }
        let width = rest.packed()?;
        let bytes = width.div_ceil(8);
        let first = rest.bytes(bytes)?;
        let second = match operation {
            Operation::Update | Operation::PartialUpdate => rest.bytes(bytes)?,
            Operation::Insert | Operation::Delete => first,
        };
        Ok(Self { width, first, second, rows: rest.0 })
    }

    /// Gives each row to `each`. The inner result is whether the columns are as many as the table has.
    pub(crate) fn each(
        &self,
        table: &Table,
        operation: Operation,
        rows: &'a [u8],
        mut each: impl FnMut(RowEvent<'_>),
    ) -> Result<bool, Broken> {
        if self.width != table.columns.len() {
            return Ok(false);
        }
        let mut rest = Take(rows);
        let columns = &table.columns;
        while !rest.0.is_empty() {
            match operation {
                Operation::Insert => each(RowEvent::Insert(&image(&mut rest, columns, self.first, false)?)),
                Operation::Delete => each(RowEvent::Delete(&image(&mut rest, columns, self.first, false)?)),
                Operation::Update | Operation::PartialUpdate => {
                    let partial = operation == Operation::PartialUpdate;
                    let before = image(&mut rest, columns, self.first, false)?;
                    let after = image(&mut rest, columns, self.second, partial)?;
                    each(RowEvent::Update(&before, &after));
                }
            }
        }
        Ok(true)
    }
}

/// One image. A partial one begins with options and, where these say so, with which JSON columns are differences; each
/// difference has a length before it as the whole value would, so neither bitmap changes how it is skipped.
#[inline]
fn image<'a>(rest: &mut Take<'a>, columns: &[Column], present: &[u8], partial: bool) -> Result<Image<'a>, Broken> {
    if partial && rest.packed()? & 1 == 1 {
        // One bit for each JSON column of the table, whether the image has it or not.
        let json = columns.iter().filter(|column| column.json).count();
        rest.skip(json.div_ceil(8))?;
    }
    let held = (0..columns.len()).filter(|index| bit(present, *index)).count();
    let nulls = rest.bytes(held.div_ceil(8))?;
    let mut image = Image::default();
    let mut place = 0;
    for (index, column) in columns.iter().enumerate() {
        if !bit(present, index) {
            continue;
        }
        let null = bit(nulls, place);
        place += 1;
        if null {
            if column.roles != 0 {
                image.set(column, Slot::Null);
            }
            continue;
        }
        let length = match column.skip {
            Skip::Fixed(length) => length,
            Skip::Length(1) => usize::from(rest.u8()?),
            Skip::Length(2) => usize::from(rest.u16()?),
            Skip::Length(3) => rest.u24()? as usize,
            Skip::Length(_) => rest.u32()? as usize,
        };
        let value = rest.bytes(length)?;
        if column.roles != 0 {
            image.set(column, read(column.shape, value)?);
        }
    }
    Ok(image)
}

fn read(shape: Shape, value: &[u8]) -> Result<Slot<'_>, Broken> {
    let mut rest = Take(value);
    Ok(match shape {
        Shape::Tiny => Slot::Int(i64::from(rest.u8()?.cast_signed())),
        Shape::Short => Slot::Int(i64::from(rest.u16()?.cast_signed())),
        Shape::Medium => Slot::Int(i64::from((rest.u24()? << 8).cast_signed() >> 8)),
        Shape::Long => Slot::Int(i64::from(rest.u32()?.cast_signed())),
        Shape::LongLong => Slot::Int(rest.u64()?.cast_signed()),
        Shape::Text => Slot::Text(value),
        Shape::Other => Slot::Absent,
    })
}
