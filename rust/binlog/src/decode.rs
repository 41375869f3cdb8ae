//! From a log's events to changes: transactions, positions, and what cannot be placed.
//!
//! A coordinate is passed when everything up to it was given. Inside of a transaction nothing is passed; its rows are
//! numbered from 1, so that a large one can be told in parts.
use std::collections::{HashMap, VecDeque};

use crate::{
    bytes::Take,
    compression::{Payload, inflate},
    coordinate::{Coordinate, split_name},
    error::{Broken, Cause},
    event::{CHECKSUM, Format, HEADER, Header, has_checksum, heartbeat, kind},
    gtid::{Gtid, Gtids},
    rows::{Head, Operation},
    statement::{Names, Statement},
    table::{Map, Table},
    watch::{Change, Watched},
};

/// Prepared XA transactions without rows of ours that are remembered; of others the worst is assumed.
const HARMLESS_XA: usize = 1024;
/// Tables of which a map is remembered.
const MOST_MAPS: usize = 4096;

/// Who is given the changes.
pub trait Sink {
    /// One row's news for one entry; `row` is the row's number in its transaction.
    fn change(&mut self, change: &Change<'_>, row: u32);
    /// Everything up to `at` was given.
    fn passed(&mut self, at: Coordinate);
    /// Something was changed, and nobody can say what.
    fn unplaceable(&mut self, cause: Cause);
}

/// What the server says of a table now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub columns: Vec<String>,
    /// Whether a trigger raises the version of every update.
    pub raised: bool,
}

/// Where the columns of tables are asked for: a log names them only where it is told to.
pub trait Schema {
    /// None where the table is not there; an error where the server does not answer.
    fn table(&mut self, name: &str) -> Result<Option<Known>, Unanswered>;
}

/// A question that the server did not answer: the event may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server does not say what a table's columns are")]
pub struct Unanswered;

/// Why an event could not be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the file is not the one that was read before")]
    OtherLog,
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

/// What was seen since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub events: u64,
    pub transactions: u64,
    /// Rows of watched tables.
    pub rows: u64,
}

/// What a table map named.
#[derive(Debug)]
enum Mapped {
    Other,
    Watched(Table),
    /// A watched table whose columns are not as expected.
    Unfit,
}

/// Where in a group of events the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Between groups: what ends here is passed.
    None,
    /// After an id: a statement that begins no transaction is all there is.
    Opened,
    /// Until XID, COMMIT, ROLLBACK or XA PREPARE.
    Transaction,
}

pub struct Decoder {
    schema: String,
    watched: Vec<Watched>,
    names: Vec<&'static str>,
    known: Vec<Option<Known>>,
    maps: HashMap<u64, (Vec<u8>, Mapped)>,
    format: Option<Format>,
    at: Coordinate,
    base: String,
    /// The time of the newest file so far: a file that is older is none of the same log.
    newest: u32,
    /// The end of the last event, inside of a transaction too.
    end: u64,
    group: Group,
    row: u32,
    /// Rows of the first transaction that were given before, in an earlier life.
    given: u32,
    touched: bool,
    harmless: VecDeque<String>,
    gtids: Gtids,
    gtid: Gtid,
    inflated: Vec<u8>,
    counts: Counts,
}

impl Decoder {
    /// A decoder of a log from `at` on; where its file's first event has another time than `at` says, the log is
    /// another one. `schema` is the database of the watched tables.
    pub fn new(schema: &str, watched: &[Watched], at: Coordinate) -> Self {
        Self {
            schema: schema.to_owned(),
            names: watched.iter().map(|watched| watched.table).collect(),
            known: watched.iter().map(|_| None).collect(),
            watched: watched.to_vec(),
            maps: HashMap::new(),
            format: None,
            at,
            base: String::new(),
            newest: at.first,
            end: at.position,
            group: Group::None,
            row: 0,
            given: at.row,
            touched: false,
            harmless: VecDeque::new(),
            gtids: Gtids::Unknown,
            gtid: Gtid::Anonymous,
            inflated: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Says how far this is in global ids, so that they can be counted on.
    pub fn set_gtids(&mut self, gtids: Gtids) {
        self.gtids = gtids;
    }

    pub fn gtids(&self) -> &Gtids {
        &self.gtids
    }

    /// The last coordinate that was passed.
    pub fn at(&self) -> Coordinate {
        self.at
    }

    /// The name of the log files without their number; empty before the first event.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes in one event, header and checksum included.
    pub fn feed(&mut self, event: &[u8], schema: &mut dyn Schema, sink: &mut impl Sink) -> Result<(), Refused> {
        let header = Header::read(event)?;
        if header.length != event.len() {
            return Err(Broken::Length.into());
        }
        self.counts.events += 1;
        if header.kind == kind::FORMAT_DESCRIPTION {
            return self.begin_file(&header, event, sink);
        }
        let checked = match self.format {
            Some(format)
                if !header.is_artificial() && header.kind != kind::HEARTBEAT && header.kind != kind::HEARTBEAT_V2 =>
            {
                if format.checksums && !has_checksum(event) {
                    return Err(Broken::Checksum.into());
                }
                format.checksums
            }
            // What the server makes for the stream has a checksum or not, whatever the file says.
            _ => has_checksum(event),
        };
        let end = event.len() - if checked { CHECKSUM } else { 0 };
        let body = event.get(HEADER..end).ok_or(Broken::Short)?;
        match header.kind {
            kind::ROTATE => self.rotate(&header, body)?,
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => self.beat(&header, body, sink)?,
            kind::TRANSACTION_PAYLOAD => {
                self.advance(&header);
                let mut payload = Payload::read(body)?;
                while let Some(inner) = payload.next()? {
                    let header = Header::read(inner)?;
                    self.event(&header, inner.get(HEADER..).ok_or(Broken::Short)?, schema, sink)?;
                }
                self.pass(sink);
            }
            _ => {
                self.advance(&header);
                self.event(&header, body, schema, sink)?;
            }
        }
        Ok(())
    }

    fn begin_file(&mut self, header: &Header, event: &[u8], sink: &mut impl Sink) -> Result<(), Refused> {
        self.format = Some(Format::read(event)?);
        if self.at.first != 0 && self.at.first != header.time || header.time < self.newest {
            return Err(Refused::OtherLog);
        }
        self.at.first = header.time;
        self.newest = header.time;
        self.maps.clear();
        self.group = Group::None;
        if !header.is_artificial() {
            self.advance(header);
        }
        self.pass(sink);
        Ok(())
    }

    fn rotate(&mut self, header: &Header, body: &[u8]) -> Result<(), Broken> {
        let mut rest = Take(body);
        let position = rest.u64()?;
        let name = std::str::from_utf8(rest.0).map_err(|_| Broken::Name)?;
        let (base, file) = split_name(name).ok_or(Broken::Name)?;
        if self.base != base {
            base.clone_into(&mut self.base);
        }
        if !header.is_artificial() || file != self.at.file {
            self.at = Coordinate { first: 0, file, position, row: 0 };
            self.end = position;
        }
        Ok(())
    }

    fn beat(&mut self, header: &Header, body: &[u8], sink: &mut impl Sink) -> Result<(), Broken> {
        let (name, position) = heartbeat(header, body)?;
        let file = std::str::from_utf8(name).ok().and_then(split_name).map(|(_, file)| file);
        if self.group == Group::None && self.at.first != 0 && file == Some(self.at.file) && position > self.end {
            self.end = position;
            self.pass(sink);
        }
        Ok(())
    }

    /// Events hold the low half of where they end; a file may be longer than that half can say.
    fn advance(&mut self, header: &Header) {
        if header.is_artificial() {
            return;
        }
        const HALF: u64 = 1 << 32;
        let end = (self.end / HALF * HALF).saturating_add(u64::from(header.end));
        self.end = if end < self.end { end.saturating_add(HALF) } else { end };
    }

    fn pass(&mut self, sink: &mut impl Sink) {
        if self.group != Group::None {
            self.counts.transactions += 1;
            self.gtids.add(std::mem::replace(&mut self.gtid, Gtid::Anonymous));
            if self.maps.len() > MOST_MAPS {
                self.maps.clear();
            }
            (self.row, self.given, self.touched) = (0, 0, false);
            self.at.row = 0;
        }
        self.group = Group::None;
        self.at.position = self.end;
        sink.passed(self.at);
    }

    /// What is outside of every transaction is passed at once.
    fn pass_if_outside(&mut self, sink: &mut impl Sink) {
        if self.group == Group::None {
            self.pass(sink);
        }
    }

    fn event(
        &mut self,
        header: &Header,
        body: &[u8],
        schema: &mut dyn Schema,
        sink: &mut impl Sink,
    ) -> Result<(), Refused> {
        match header.kind {
            kind::TABLE_MAP => self.map(body, schema, sink)?,
            kind::WRITE_ROWS_V1 => self.rows(body, Operation::Insert, false, false, sink)?,
            kind::UPDATE_ROWS_V1 => self.rows(body, Operation::Update, false, false, sink)?,
            kind::DELETE_ROWS_V1 => self.rows(body, Operation::Delete, false, false, sink)?,
            kind::WRITE_ROWS => self.rows(body, Operation::Insert, true, false, sink)?,
            kind::UPDATE_ROWS => self.rows(body, Operation::Update, true, false, sink)?,
            kind::DELETE_ROWS => self.rows(body, Operation::Delete, true, false, sink)?,
            kind::PARTIAL_UPDATE_ROWS => self.rows(body, Operation::PartialUpdate, true, false, sink)?,
            kind::MARIADB_WRITE_ROWS_COMPRESSED_V1 => self.rows(body, Operation::Insert, false, true, sink)?,
            kind::MARIADB_UPDATE_ROWS_COMPRESSED_V1 => self.rows(body, Operation::Update, false, true, sink)?,
            kind::MARIADB_DELETE_ROWS_COMPRESSED_V1 => self.rows(body, Operation::Delete, false, true, sink)?,
            kind::MARIADB_WRITE_ROWS_COMPRESSED => self.rows(body, Operation::Insert, true, true, sink)?,
            kind::MARIADB_UPDATE_ROWS_COMPRESSED => self.rows(body, Operation::Update, true, true, sink)?,
            kind::MARIADB_DELETE_ROWS_COMPRESSED => self.rows(body, Operation::Delete, true, true, sink)?,
            kind::MARIADB_GTID => {
                const STANDALONE: u8 = 1;
                let mut rest = Take(body);
                let (number, domain, flags) = (rest.u64()?, rest.u32()?, rest.u8()?);
                self.gtid = Gtid::MariaDb { domain, server: header.server, number };
                self.group = if flags & STANDALONE == 0 { Group::Transaction } else { Group::Opened };
            }
            kind::GTID => {
                self.gtid = Gtid::read_mysql(body)?;
                self.group = Group::Opened;
            }
            kind::ANONYMOUS_GTID => {
                self.gtid = Gtid::Anonymous;
                self.group = Group::Opened;
            }
            kind::GTID_TAGGED => {
                self.gtid = Gtid::Tagged;
                self.group = Group::Opened;
            }
            kind::QUERY => self.query(body, false, sink)?,
            kind::MARIADB_QUERY_COMPRESSED => self.query(body, true, sink)?,
            kind::XID => self.pass(sink),
            kind::XA_PREPARE => self.prepare(body, sink)?,
            // The text is a statement's after more fields; to find a name it need not be taken apart.
            kind::EXECUTE_LOAD_QUERY => self.statement(Statement::Change, sink),
            kind::INCIDENT => {
                sink.unplaceable(Cause::Incident);
                self.pass_if_outside(sink);
            }
            kind::STOP
            | kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::BEGIN_LOAD_QUERY
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::MARIADB_ANNOTATE
            | kind::MARIADB_CHECKPOINT
            | kind::MARIADB_GTID_LIST
            | kind::MARIADB_START_ENCRYPTION => self.pass_if_outside(sink),
            _ => {
                if !header.is_ignorable() {
                    sink.unplaceable(Cause::Unknown);
                }
                self.pass_if_outside(sink);
            }
        }
        Ok(())
    }

    fn table_id<'a>(&self, body: &'a [u8]) -> Result<(u64, Take<'a>), Broken> {
        let mut rest = Take(body);
        let id = match self.format {
            Some(Format { table_id: 4, .. }) => u64::from(rest.u32()?),
            _ => rest.u48()?,
        };
        rest.skip(2)?;
        Ok((id, rest))
    }

    fn map(&mut self, body: &[u8], schema: &mut dyn Schema, sink: &mut impl Sink) -> Result<(), Refused> {
        let (id, rest) = self.table_id(body)?;
        if let Some((seen, mapped)) = self.maps.get(&id)
            && seen == rest.0
            && !matches!(mapped, Mapped::Unfit)
        {
            return Ok(());
        }
        let map = Map::read(rest.0)?;
        let mapped = match self.names.iter().position(|name| map.name.eq_ignore_ascii_case(name.as_bytes())) {
            Some(watched) if map.schema.eq_ignore_ascii_case(self.schema.as_bytes()) => {
                self.fit(watched, &map, schema, sink)?
            }
            _ => Mapped::Other,
        };
        self.maps.insert(id, (rest.0.to_vec(), mapped));
        Ok(())
    }

    /// The columns of a watched table as this map has them. What was known of it may be old: then the server is asked.
    fn fit(
        &mut self,
        watched: usize,
        map: &Map<'_>,
        schema: &mut dyn Schema,
        sink: &mut impl Sink,
    ) -> Result<Mapped, Refused> {
        let (Some(watch), Some(known)) = (self.watched.get(watched), self.known.get_mut(watched)) else {
            return Ok(Mapped::Other);
        };
        for _ in 0..2 {
            let fresh = known.is_none();
            if fresh {
                *known = schema.table(watch.table)?;
            }
            let Some(now) = known.as_ref() else { break };
            let columns = map.columns()?;
            let names = columns.names.clone().unwrap_or_else(|| now.columns.clone());
            if let Some(table) = columns.of(watched, watch, &names) {
                return Ok(Mapped::Watched(table));
            }
            *known = None;
            if fresh {
                break;
            }
        }
        sink.unplaceable(Cause::Layout);
        Ok(Mapped::Unfit)
    }

    fn rows(
        &mut self,
        body: &[u8],
        operation: Operation,
        extra: bool,
        compressed: bool,
        sink: &mut impl Sink,
    ) -> Result<(), Broken> {
        /// Ends a statement and has no rows.
        const DUMMY: u64 = 0x00ff_ffff;
        let (id, rest) = self.table_id(body)?;
        let table = match self.maps.get(&id) {
            Some((_, Mapped::Watched(table))) => table,
            Some((_, Mapped::Other)) => return Ok(()),
            // It was said at the map that nobody can say what changes.
            Some((_, Mapped::Unfit)) => {
                self.touched = true;
                return Ok(());
            }
            None if id == DUMMY => return Ok(()),
            None => return Err(Broken::Unmapped),
        };
        let head = Head::read(rest.0, operation, extra)?;
        let images = if compressed {
            inflate(head.rows, &mut self.inflated)?;
            &self.inflated
        } else {
            head.rows
        };
        let (Some(watch), Some(Some(known))) = (self.watched.get(table.watched), self.known.get(table.watched)) else {
            return Err(Broken::Unmapped);
        };
        let (mut row, mut placed) = (self.row, true);
        let given = self.given;
        let fits = head.each(table, operation, images, |event| {
            row = row.saturating_add(1);
            if row > given {
                placed &= watch.changes(event, known.raised, |change| sink.change(&change, row)).is_ok();
            }
        });
        self.counts.rows += u64::from(row - self.row);
        self.row = row;
        self.touched = true;
        if !placed {
            sink.unplaceable(Cause::Row);
        }
        if !fits? {
            sink.unplaceable(Cause::Layout);
        }
        Ok(())
    }

    fn query(&mut self, body: &[u8], compressed: bool, sink: &mut impl Sink) -> Result<(), Broken> {
        let mut rest = Take(body);
        rest.skip(8)?;
        let schema_length = usize::from(rest.u8()?);
        rest.skip(2)?;
        let status_length = usize::from(rest.u16()?);
        rest.skip(status_length)?;
        let default_schema = rest.bytes(schema_length)?;
        rest.skip(1)?;
        let names = Names { schema: &self.schema, tables: &self.names };
        let statement = if compressed {
            inflate(rest.0, &mut self.inflated)?;
            names.read(&self.inflated, default_schema)
        } else {
            names.read(rest.0, default_schema)
        };
        self.statement(statement, sink);
        Ok(())
    }

    fn statement(&mut self, statement: Statement, sink: &mut impl Sink) {
        match statement {
            Statement::Begin => {
                self.group = Group::Transaction;
                return;
            }
            Statement::End => return self.pass(sink),
            Statement::XaCommit(id) => {
                if !self.forget_harmless(&id) {
                    sink.unplaceable(Cause::Xa);
                }
            }
            Statement::XaRollback(id) => {
                self.forget_harmless(&id);
            }
            Statement::Ddl => {
                self.known.fill(None);
                self.maps.clear();
                sink.unplaceable(Cause::Ddl);
            }
            Statement::Change => {
                self.touched = true;
                sink.unplaceable(Cause::Statement);
            }
            Statement::Other => {}
        }
        if self.group != Group::Transaction {
            self.pass(sink);
        }
    }

    /// A prepared transaction: its rows were given, though they can be seen only when it is committed.
    fn prepare(&mut self, body: &[u8], sink: &mut impl Sink) -> Result<(), Broken> {
        let mut rest = Take(body);
        let one_phase = rest.u8()? != 0;
        let (format, global, branch) = (rest.u32()?, rest.u32()? as usize, rest.u32()? as usize);
        let (global, branch) = (rest.bytes(global)?, rest.bytes(branch)?);
        if !one_phase && !self.touched {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            if self.harmless.len() == HARMLESS_XA {
                self.harmless.pop_front();
            }
            self.harmless.push_back(format!("X'{}',X'{}',{}", hex(global), hex(branch), format.cast_signed()));
        }
        self.pass(sink);
        Ok(())
    }

    fn forget_harmless(&mut self, id: &str) -> bool {
        let place = self.harmless.iter().position(|harmless| harmless.eq_ignore_ascii_case(id));
        place.and_then(|place| self.harmless.remove(place)).is_some()
    }
}
