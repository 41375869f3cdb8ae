//! Questions to a server: who it is, where its log is, what its tables are like.
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use crate::{
    connection::{Address, Connection, Failure},
    coordinate::{Coordinate, Place, split_name},
    decode::Known,
    gtid::{Executed, Gtids},
};

pub(crate) const CONNECT: Duration = Duration::from_secs(5);
const STATUS: [&str; 3] = ["SHOW BINARY LOG STATUS", "SHOW BINLOG STATUS", "SHOW MASTER STATUS"];

/// Why a stream cannot be had from a server as it is set.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("the server keeps no binary log")]
    NoLog,
    #[error("the account may not read the log: grant REPLICATION SLAVE and REPLICATION CLIENT")]
    NotAllowed(#[source] Failure),
    #[error("the server cannot be asked")]
    Unreachable(#[source] Failure),
}

/// A connection, and who is at its other end.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) connection: Connection,
    pub(crate) identity: Arc<str>,
    pub(crate) is_mariadb: bool,
}

/// Where a server's log is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// Its file's first event is not known from here.
    pub(crate) place: Place,
    /// MySQL's set of executed transactions.
    pub(crate) executed: Option<String>,
}

impl Server {
    pub(crate) fn open(address: &Address) -> Result<Self, Failure> {
        let mut connection = Connection::open(address, CONNECT)?;
        let is_mariadb = connection.version.contains("MariaDB");
        let identity = identity(&mut connection, is_mariadb)?.into();
        Ok(Self { connection, identity, is_mariadb })
    }

    /// None where the server keeps no log.
    pub(crate) fn status(&mut self) -> Result<Option<Status>, Failure> {
        let rows = self.connection.first_known(&STATUS)?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let text = |index: usize| row.get(index).cloned().flatten();
        let (Some(name), Some(position)) = (text(0), text(1).and_then(|position| position.parse().ok())) else {
            return Ok(None);
        };
        let (base, file) = split_name(&name).ok_or(crate::error::Broken::Name)?;
        let coordinate = Coordinate { first: 0, file, position, row: 0 };
        let place = Place { coordinate, server: Arc::clone(&self.identity), base: base.into() };
        Ok(Some(Status { place, executed: if self.is_mariadb { None } else { text(4) } }))
    }

    /// Asks again who this is: behind a proxy it may be somebody else by now.
    pub(crate) fn is_still(&mut self) -> Result<bool, Failure> {
        Ok(*identity(&mut self.connection, self.is_mariadb)? == *self.identity)
    }

    /// How far in MariaDB's ids a position of its log is.
    pub(crate) fn gtids_at(&mut self, file: &str, position: u64) -> Gtids {
        if !self.is_mariadb {
            return Gtids::Unknown;
        }
        let statement = format!("SELECT BINLOG_GTID_POS('{}', {position})", escaped(file));
        match self.connection.query(&statement).map(|rows| rows.into_iter().flatten().flatten().next()) {
            Ok(Some(text)) => Gtids::read_mariadb(&text),
            _ => Gtids::Unknown,
        }
    }

    /// Becomes a replica under an id that nobody has.
    pub(crate) fn register(&mut self) -> Result<u32, Failure> {
        // Not everybody may see the others; then chance must do: one in two thousand million.
        let taken = self.connection.first_known(&["SHOW REPLICAS", "SHOW SLAVE HOSTS"]).unwrap_or_default();
        let taken: Vec<u32> = taken.iter().filter_map(|row| row.first()?.as_ref()?.parse().ok()).collect();
        let id = loop {
            let id = 1 << 31 | (random() as u32 >> 1).max(1);
            if !taken.contains(&id) {
                break id;
            }
        };
        self.connection.register(id)?;
        Ok(id)
    }

    /// The settings of a session that a stream follows on. The names changed with MySQL 8.0.26; a server knows one set.
    pub(crate) fn prepare(&mut self, heartbeat: Duration) -> Result<(), Failure> {
        let (beat, name) = (heartbeat.as_nanos(), uuid());
        self.connection.query(&format!(
            "SET @master_heartbeat_period = {beat}, @source_heartbeat_period = {beat},\
             @master_binlog_checksum = 'CRC32', @source_binlog_checksum = 'CRC32',\
             @slave_uuid = '{name}', @replica_uuid = '{name}', @mariadb_slave_capability = 4"
        ))?;
        // A reader that waits for whoever it tells must not be cut off within a minute.
        self.connection.query("SET SESSION net_write_timeout = 600").map(drop)
    }

    /// Asks for the stream from a place on.
    pub(crate) fn dump(&mut self, id: u32, place: &Place) -> Result<(), Failure> {
        let position = u32::try_from(place.coordinate.position).map_err(|_| crate::error::Broken::Length)?;
        self.connection.dump(id, &place.file_name(), position)
    }

    /// Asks for the stream after these ids; false where that cannot be asked for.
    pub(crate) fn dump_after(&mut self, id: u32, gtids: &Gtids) -> Result<bool, Failure> {
        match gtids {
            Gtids::MariaDb(domains) if self.is_mariadb && !domains.is_empty() => {
                self.connection.query(&format!(
                    "SET @slave_connect_state = '{gtids}', @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0"
                ))?;
                self.connection.dump(id, "", 4)?;
                Ok(true)
            }
            Gtids::MySql(executed) if !self.is_mariadb => {
                self.connection.dump_after(id, &executed.encode())?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

/// Whether a server can be read from with an account. It is asked what a stream will ask for.
pub fn check(address: &Address) -> Result<(), Unusable> {
    let sort = |failure: Failure| {
        if failure.is_refusal() { Unusable::NotAllowed(failure) } else { Unusable::Unreachable(failure) }
    };
    let mut server = Server::open(address).map_err(sort)?;
    server.status().map_err(sort)?.ok_or(Unusable::NoLog)?;
    server.register().map_err(sort)?;
    Ok(())
}

/// Where the log of a server is now. The time of its file's first event is 0: it is not asked for.
pub fn ask(address: &Address) -> Result<Option<Place>, Failure> {
    Ok(Server::open(address)?.status()?.map(|status| status.place))
}

/// The columns of a table, and whether a trigger raises its versions.
pub(crate) fn table(address: &Address, schema: &str, name: &str) -> Result<Option<Known>, Failure> {
    let mut connection = Connection::open(address, CONNECT)?;
    let (schema, name) = (escaped(schema), escaped(name));
    let columns: Vec<String> = connection
        .query(&format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = '{schema}' AND table_name = '{name}' \
             ORDER BY ordinal_position"
        ))?
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let triggers = connection.query(&format!(
        "SELECT 1 FROM information_schema.triggers WHERE event_object_schema = '{schema}' AND \
         event_object_table = '{name}' AND action_timing = 'BEFORE' AND event_manipulation = 'UPDATE'"
    ))?;
    Ok(if columns.is_empty() { None } else { Some(Known { columns, raised: !triggers.is_empty() }) })
}

pub(crate) fn executed(text: &str) -> Gtids {
    Executed::read(text).map_or(Gtids::Unknown, Gtids::MySql)
}

fn identity(connection: &mut Connection, is_mariadb: bool) -> Result<String, Failure> {
    let statements: &[&str] = if is_mariadb {
        &["SELECT CONCAT(@@server_uid, '#', @@server_id)", "SELECT CONCAT('#', @@server_id)"]
    } else {
        &["SELECT @@server_uuid", "SELECT CONCAT('#', @@server_id)"]
    };
    let rows = connection.first_known(statements)?;
    let identity = rows.into_iter().flatten().flatten().next().unwrap_or_default();
    // A place is written with this between two marks.
    Ok(identity.replace('@', "_"))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "''")
}

/// Hash seeds are what the standard library has of chance.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

fn uuid() -> String {
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
