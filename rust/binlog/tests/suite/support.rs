//! The tables of Couponry as the tests watch them, and a sink that writes down what it is told.
use couponry_binlog::{
    Alias, Cause, Change, Coordinate, Decoder, Fate, File, Key, Known, Member, Refused, Schema, Sink, Unanswered,
    Watched,
};

pub const WATCHED: [Watched; 3] = [
    Watched {
        table: "templates",
        kind: "template",
        key: Key::Row,
        row: "id",
        version: "version",
        member: None,
        alias: Some(Alias { kind: "template_key", column: "template_key" }),
    },
    Watched {
        table: "activities",
        kind: "activity",
        key: Key::Row,
        row: "id",
        version: "version",
        member: None,
        alias: Some(Alias { kind: "activity_key", column: "activity_key" }),
    },
    Watched {
        table: "user_coupons",
        kind: "user",
        key: Key::Text("user_id"),
        row: "id",
        version: "version",
        member: Some(Member { column: "status", values: &[1, 2] }),
        alias: None,
    },
];

const TEMPLATES: &str = "id template_key spec_fingerprint name description metadata kind currency terms total \
    per_user_limit receive_from receive_until valid_from valid_until valid_days budget returns_on_full_refund \
    return_grace_ms state version created_at updated_at";
const ACTIVITIES: &str = "id activity_key spec_fingerprint template_id name metadata stock per_user_limit start_at \
    end_at ack buckets state paused version created_at updated_at";
const USER_COUPONS: &str = "user_id id template_id source status valid_from valid_until received_at order_id attempt \
    locked_until used_at activity_id bucket epoch number request_hash version";

/// The server's tables as the migrations make them; `note` is one that a test adds.
pub struct Tables {
    pub raised: bool,
    pub note: bool,
    /// It does not answer.
    pub silent: bool,
    pub asked: Vec<String>,
}

impl Default for Tables {
    fn default() -> Self {
        Self { raised: true, note: false, silent: false, asked: Vec::new() }
    }
}

impl Schema for Tables {
    fn table(&mut self, name: &str) -> Result<Option<Known>, Unanswered> {
        self.asked.push(name.to_owned());
        let columns = match name {
            "templates" => TEMPLATES.to_owned(),
            "activities" => ACTIVITIES.to_owned(),
            _ if self.note => USER_COUPONS.replace("source", "source note"),
            _ => USER_COUPONS.to_owned(),
        };
        if self.silent {
            return Err(Unanswered);
        }
        Ok(Some(Known { columns: columns.split_whitespace().map(str::to_owned).collect(), raised: self.raised }))
    }
}

/// What a sink was told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Change(&'static str, String, i64, Fate, u32),
    Passed(u64),
    Unplaceable(Cause),
}

#[derive(Default)]
pub struct Notes(pub Vec<Told>);

impl Sink for Notes {
    fn change(&mut self, change: &Change<'_>, row: u32) {
        let key = String::from_utf8_lossy(change.key).into_owned();
        self.0.push(Told::Change(change.kind, key, change.row, change.fate, row));
    }

    fn passed(&mut self, at: Coordinate) {
        self.0.push(Told::Passed(at.position));
    }

    fn unplaceable(&mut self, cause: Cause) {
        self.0.push(Told::Unplaceable(cause));
    }
}

impl Notes {
    /// Without the positions.
    pub fn news(self) -> Vec<Told> {
        self.0.into_iter().filter(|told| !matches!(told, Told::Passed(_))).collect()
    }
}

pub fn change(kind: &'static str, key: &str, row: i64, fate: Fate) -> Told {
    Told::Change(kind, key.to_owned(), row, fate, 0)
}

/// Row numbers are looked at where they are what a test is about.
pub fn without_rows(told: Vec<Told>) -> Vec<Told> {
    told.into_iter()
        .map(|told| match told {
            Told::Change(kind, key, row, fate, _) => Told::Change(kind, key, row, fate, 0),
            other => other,
        })
        .collect()
}

pub fn start() -> Coordinate {
    Coordinate { first: 0, file: 2, position: 4, row: 0 }
}

/// Reads all of a file.
pub fn read(bytes: &[u8], tables: &mut Tables) -> Result<(Notes, Decoder), Refused> {
    let mut decoder = Decoder::new("shop", &WATCHED, start());
    let mut notes = Notes::default();
    for event in File::new(bytes)? {
        decoder.feed(event?, tables, &mut notes)?;
    }
    Ok((notes, decoder))
}
