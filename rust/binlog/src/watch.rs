//! What is watched, as data: which tables, which of their columns place a row, and which entries a row stands in.
//! Here row images become changes.
use crate::rows::{Image, Slot};

/// A table whose rows are cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub table: &'static str,
    /// The kind of entry that its rows stand in.
    pub kind: &'static str,
    /// The column that is the entry's key.
    pub key: Key,
    /// The column with the row's id.
    pub row: &'static str,
    pub version: &'static str,
    /// Where only some rows belong to the entry.
    pub member: Option<Member>,
    /// A second kind of entry, by another name of the row.
    pub alias: Option<Alias>,
}

/// The column that is an entry's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The row's id, in decimal digits.
    Row,
    /// A column of text.
    Text(&'static str),
}

/// A row belongs to the entry while `column` is one of `values`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub column: &'static str,
    pub values: &'static [i64],
}

/// Entries of `kind` are found by what is in `column`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    pub kind: &'static str,
    pub column: &'static str,
}

/// What a column is to us, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Row = 1,
    Key = 2,
    Version = 4,
    Member = 8,
    Alias = 16,
}

impl Watched {
    /// The columns by role, each with whether it is text.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (Role, &'static str, bool)> {
        let key = match self.key {
            Key::Row => None,
            Key::Text(column) => Some((Role::Key, column, true)),
        };
        [Some((Role::Row, self.row, false)), key, Some((Role::Version, self.version, false))]
            .into_iter()
            .chain([
                self.member.map(|member| (Role::Member, member.column, false)),
                self.alias.map(|alias| (Role::Alias, alias.column, true)),
            ])
            .flatten()
    }
}

/// What became of a row, for the entry of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the entry, with this version.
    Present(i64),
    /// It is no longer in the entry, as of this version.
    Left(i64),
    /// It was deleted, with this version.
    Gone(i64),
    /// It is new, with this version.
    Inserted(i64),
    /// It has this version; whether it is in the entry is as it was.
    Touched(i64),
    /// Its version did not rise: nothing that is read soon can be trusted.
    Quarantine,
}

/// One row's news for one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    pub kind: &'static str,
    pub key: &'a [u8],
    pub row: i64,
    pub fate: Fate,
}

/// A row event lacks the columns that say which entry it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unplaced;

/// A row's change, as its images.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowEvent<'a> {
    Insert(&'a Image<'a>),
    Update(&'a Image<'a>, &'a Image<'a>),
    Delete(&'a Image<'a>),
}

impl Watched {
    /// Gives `tell` every change of one row. `sure` is whether a trigger raises versions; without it, an update whose
    /// old version is not in the image is one that may not have risen.
    pub(crate) fn changes(
        &self,
        event: RowEvent<'_>,
        sure: bool,
        mut tell: impl FnMut(Change<'_>),
    ) -> Result<(), Unplaced> {
        match event {
            RowEvent::Insert(row) => self.inserted(row, &mut tell),
            RowEvent::Delete(row) => self.deleted(row, &mut tell),
            RowEvent::Update(before, after) => self.updated(before, after, sure, &mut tell),
        }
    }

    fn inserted(&self, row: &Image<'_>, tell: &mut impl FnMut(Change<'_>)) -> Result<(), Unplaced> {
        let id = row.row.int().ok_or(Unplaced)?;
        let fate = match row.version.int() {
            // A row that is born outside of its set says nothing about versions to come.
            Some(version) if self.is_member(row).unwrap_or(true) => Fate::Inserted(version),
            _ => Fate::Quarantine,
        };
        self.tell(row, id, fate, tell)?;
        self.tell_alias(&row.alias, id, fate, tell);
        Ok(())
    }

    fn deleted(&self, row: &Image<'_>, tell: &mut impl FnMut(Change<'_>)) -> Result<(), Unplaced> {
        let id = row.row.int().ok_or(Unplaced)?;
        let fate = row.version.int().map_or(Fate::Quarantine, Fate::Gone);
        self.tell(row, id, fate, tell)?;
        self.tell_alias(&row.alias, id, fate, tell);
        Ok(())
    }

    fn updated(
        &self,
        before: &Image<'_>,
        after: &Image<'_>,
        sure: bool,
        tell: &mut impl FnMut(Change<'_>),
    ) -> Result<(), Unplaced> {
        let now = after.over(before);
        let (old, new) = (before.row.int().ok_or(Unplaced)?, now.row.int().ok_or(Unplaced)?);
        let version = match (before.version.int(), after.version.int()) {
            (Some(was), Some(is)) if is > was => Some(is),
            (None, Some(is)) if sure => Some(is),
            _ => None,
        };
        let fate = match (version, self.is_member(&now)) {
            (None, _) => Fate::Quarantine,
            (Some(version), Some(true)) => Fate::Present(version),
            (Some(version), Some(false)) => Fate::Left(version),
            (Some(version), None) => Fate::Touched(version),
        };
        if old == new && !self.moved(before, &now) {
            self.tell(&now, new, fate, tell)?;
        } else {
            // The row left one entry, and came into another (or into the same one by another id).
            let gone = version.map_or(Fate::Quarantine, Fate::Left);
            self.tell(before, old, gone, tell)?;
            let come = if self.is_member(&now) == Some(true) {
                version.map_or(Fate::Quarantine, Fate::Inserted)
            } else {
                fate
            };
            self.tell(&now, new, come, tell)?;
        }
        if after.alias != Slot::Absent && after.alias != before.alias {
            self.tell_alias(&before.alias, old, version.map_or(Fate::Quarantine, Fate::Left), tell);
            self.tell_alias(&after.alias, new, version.map_or(Fate::Quarantine, Fate::Inserted), tell);
        } else if fate == Fate::Quarantine || old != new {
            self.tell_alias(&now.alias, new, Fate::Quarantine, tell);
        }
        Ok(())
    }

    fn moved(&self, before: &Image<'_>, now: &Image<'_>) -> bool {
        matches!(self.key, Key::Text(_)) && before.key != now.key
    }

    /// Whether the row belongs to its entry; None where the image does not say.
    fn is_member(&self, row: &Image<'_>) -> Option<bool> {
        match &self.member {
            None => Some(true),
            Some(member) => row.member.int().map(|value| member.values.contains(&value)),
        }
    }

    fn tell(&self, image: &Image<'_>, row: i64, fate: Fate, tell: &mut impl FnMut(Change<'_>)) -> Result<(), Unplaced> {
        match self.key {
            Key::Row => {
                let mut digits = itoa::Buffer::new();
                tell(Change { kind: self.kind, key: digits.format(row).as_bytes(), row, fate });
            }
            Key::Text(_) => {
                let Slot::Text(key) = image.key else { return Err(Unplaced) };
                tell(Change { kind: self.kind, key, row, fate });
            }
        }
        Ok(())
    }

    fn tell_alias(&self, name: &Slot<'_>, row: i64, fate: Fate, tell: &mut impl FnMut(Change<'_>)) {
        if let (Some(alias), Slot::Text(key)) = (&self.alias, *name) {
            tell(Change { kind: alias.kind, key, row, fate });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUPONS: Watched = Watched {
        table: "user_coupons",
        kind: "user",
        key: Key::Text("user_id"),
        row: "id",
        version: "version",
        member: Some(Member { column: "status", values: &[1, 2] }),
        alias: None,
    };
    const TEMPLATES: Watched = Watched {
        table: "templates",
        kind: "template",
        key: Key::Row,
        row: "id",
        version: "version",
        member: None,
        alias: Some(Alias { kind: "template_key", column: "template_key" }),
    };

    fn coupon(user: &'static str, id: i64, version: i64, status: i64) -> Image<'static> {
        Image {
            row: Slot::Int(id),
            key: Slot::Text(user.as_bytes()),
            version: Slot::Int(version),
            member: Slot::Int(status),
            alias: Slot::Absent,
        }
    }

    fn template(id: i64, version: i64, key: Slot<'static>) -> Image<'static> {
        Image { row: Slot::Int(id), version: Slot::Int(version), alias: key, ..Image::default() }
    }

    type Told = Vec<(&'static str, String, i64, Fate)>;

    fn told(watched: &Watched, event: RowEvent<'_>, sure: bool) -> Result<Told, Unplaced> {
        let mut all = Vec::new();
        watched.changes(event, sure, |change| {
            all.push((change.kind, String::from_utf8_lossy(change.key).into_owned(), change.row, change.fate));
        })?;
        Ok(all)
    }

    fn user(key: &str, row: i64, fate: Fate) -> (&'static str, String, i64, Fate) {
        ("user", key.into(), row, fate)
    }

    #[test]
    fn a_coupon_that_stays_live_is_present_and_one_that_is_used_left() {
        let before = coupon("u", 5, 3, 1);
        let moves = |after: Image<'static>| told(&COUPONS, RowEvent::Update(&before, &after), true);
        assert_eq!(moves(coupon("u", 5, 4, 2)), Ok(vec![user("u", 5, Fate::Present(4))]));
        assert_eq!(moves(coupon("u", 5, 4, 3)), Ok(vec![user("u", 5, Fate::Left(4))]));
    }

    #[test]
    fn an_update_whose_version_did_not_rise_is_quarantined() {
        let before = coupon("u", 5, 3, 1);
        for version in [3, 2] {
            let after = coupon("u", 5, version, 3);
            assert_eq!(
                told(&COUPONS, RowEvent::Update(&before, &after), true),
                Ok(vec![user("u", 5, Fate::Quarantine)])
            );
        }
    }

    #[test]
    fn a_minimal_image_without_status_raises_the_version_only() {
        let before = Image { version: Slot::Absent, member: Slot::Absent, ..coupon("u", 5, 0, 0) };
        let after = Image { version: Slot::Int(4), ..Image::default() };
        let event = RowEvent::Update(&before, &after);
        assert_eq!(told(&COUPONS, event, true), Ok(vec![user("u", 5, Fate::Touched(4))]));
        assert_eq!(
            told(&COUPONS, event, false),
            Ok(vec![user("u", 5, Fate::Quarantine)]),
            "no trigger: it may not have risen"
        );
    }

    #[test]
    fn a_minimal_image_without_a_version_is_one_that_did_not_rise() {
        let before = Image { version: Slot::Absent, member: Slot::Absent, ..coupon("u", 5, 0, 0) };
        let after = Image { member: Slot::Int(3), ..Image::default() };
        assert_eq!(told(&COUPONS, RowEvent::Update(&before, &after), true), Ok(vec![user("u", 5, Fate::Quarantine)]));
    }

    #[test]
    fn a_coupon_that_changes_hands_leaves_one_user_and_comes_to_another() {
        let (before, after) = (coupon("u", 5, 3, 1), coupon("w", 5, 4, 1));
        assert_eq!(
            told(&COUPONS, RowEvent::Update(&before, &after), true),
            Ok(vec![user("u", 5, Fate::Left(4)), user("w", 5, Fate::Inserted(4))])
        );
    }

    #[test]
    fn births_and_deletions_carry_their_version() {
        let row = coupon("u", 5, 3, 1);
        assert_eq!(told(&COUPONS, RowEvent::Insert(&row), true), Ok(vec![user("u", 5, Fate::Inserted(3))]));
        assert_eq!(told(&COUPONS, RowEvent::Delete(&row), true), Ok(vec![user("u", 5, Fate::Gone(3))]));
        let minimal = Image { version: Slot::Absent, member: Slot::Absent, ..row };
        assert_eq!(told(&COUPONS, RowEvent::Delete(&minimal), true), Ok(vec![user("u", 5, Fate::Quarantine)]));
        let used = coupon("u", 5, 3, 3);
        assert_eq!(told(&COUPONS, RowEvent::Insert(&used), true), Ok(vec![user("u", 5, Fate::Quarantine)]));
    }

    #[test]
    fn a_new_template_is_told_by_its_id_and_by_its_key() {
        let row = template(7, 1, Slot::Text(b"k"));
        assert_eq!(
            told(&TEMPLATES, RowEvent::Insert(&row), true),
            Ok(vec![
                ("template", "7".into(), 7, Fate::Inserted(1)),
                ("template_key", "k".into(), 7, Fate::Inserted(1))
            ])
        );
        let plain = template(7, 1, Slot::Null);
        assert_eq!(told(&TEMPLATES, RowEvent::Insert(&plain), true).map(|told| told.len()), Ok(1));
    }

    #[test]
    fn a_template_that_gets_another_key_is_told_by_both() {
        let (before, after) = (template(7, 1, Slot::Text(b"k")), template(7, 2, Slot::Text(b"l")));
        assert_eq!(
            told(&TEMPLATES, RowEvent::Update(&before, &after), true),
            Ok(vec![
                ("template", "7".into(), 7, Fate::Present(2)),
                ("template_key", "k".into(), 7, Fate::Left(2)),
                ("template_key", "l".into(), 7, Fate::Inserted(2))
            ])
        );
    }

    #[test]
    fn a_change_that_keeps_the_key_leaves_its_alias_alone() {
        let (before, after) = (template(7, 1, Slot::Text(b"k")), template(7, 2, Slot::Text(b"k")));
        assert_eq!(
            told(&TEMPLATES, RowEvent::Update(&before, &after), true),
            Ok(vec![("template", "7".into(), 7, Fate::Present(2))])
        );
    }

    #[test]
    fn an_image_without_its_key_cannot_be_placed() {
        let row = Image { key: Slot::Absent, ..coupon("u", 5, 3, 1) };
        assert_eq!(told(&COUPONS, RowEvent::Insert(&row), true), Err(Unplaced));
        let row = Image { row: Slot::Absent, ..coupon("u", 5, 3, 1) };
        assert_eq!(told(&COUPONS, RowEvent::Delete(&row), true), Err(Unplaced));
    }
}
