//! A connection to MySQL or MariaDB: log in, ask a question in text, become a replica.
use std::{io, time::Duration};

use mysql_common::{
    auth::plugins::{AuthProc, ChallengeResponsePlugin, Context, Response},
    packets::AuthPlugin,
};

use crate::{
    bytes::Take,
    error::Broken,
    wire::{Endpoint, Socket, Wire},
};

/// Whom to ask, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub endpoint: Endpoint,
    pub user: String,
    pub password: String,
}

/// What went wrong with a connection.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("the server says: {message} ({code})")]
    Server { code: u16, message: String },
    #[error("the server speaks another protocol: {0}")]
    Protocol(#[from] Broken),
    #[error("the server asks for a way to log in that is not known")]
    Login,
    #[error("the server keeps no binary log")]
    NoLog,
}

impl Failure {
    /// Whether the account may not do this, so that asking again is of no use.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Login | Self::Server { code: 1044 | 1045 | 1142 | 1227 | 1698, .. })
    }

    /// Whether the server did not understand the statement, or does not know a variable in it.
    fn is_unknown_statement(&self) -> bool {
        matches!(self, Self::Server { code: 1064 | 1193, .. })
    }
}

/// A row of a result in text; None is NULL.
pub(crate) type Row = Vec<Option<String>>;

#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    pub(crate) version: String,
}

/// Capabilities: what every server since 4.1 can, and plugins.
const CAPABILITIES: u32 = 1 | 4 | 0x200 | 0x2000 | 0x8000 | 0x8_0000 | 0x20_0000;
const LONGEST_PACKET: u32 = 1 << 30;
const UTF8MB4: u8 = 45;

impl Connection {
    pub(crate) fn open(address: &Address, within: Duration) -> Result<Self, Failure> {
        let mut wire = Wire::new(Socket::connect(&address.endpoint, within)?);
        let greeting = wire.receive()?.to_vec();
        let hello = Hello::read(&greeting)?;
        let plugin = AuthPlugin::from_bytes(hello.plugin);
        let mut login = Login {
            password: address.password.as_bytes(),
            local: wire.socket.is_local(),
            scramble: hello.scramble.to_vec(),
            procedure: AuthProc::init(&plugin).ok(),
        };
        let answer = login.answer(hello.scramble)?.unwrap_or_default();
        let mut packet = CAPABILITIES.to_le_bytes().to_vec();
        packet.extend_from_slice(&LONGEST_PACKET.to_le_bytes());
        packet.push(UTF8MB4);
        packet.extend_from_slice(&[0; 23]);
        packet.extend_from_slice(address.user.as_bytes());
        packet.push(0);
        packet.push(u8::try_from(answer.len()).map_err(|_| Failure::Login)?);
        packet.extend_from_slice(&answer);
        packet.extend_from_slice(hello.plugin);
        packet.push(0);
        wire.send(&packet)?;
        let mut connection = Self { wire, version: String::from_utf8_lossy(hello.version).into_owned() };
        connection.log_in(login)?;
        Ok(connection)
    }

    fn log_in(&mut self, mut login: Login<'_>) -> Result<(), Failure> {
        loop {
            let packet = self.wire.receive()?.to_vec();
            let answer = match packet.split_first() {
                Some((0, _)) => return Ok(()),
                Some((0xff, rest)) => return Err(refused(rest)),
                Some((0xfe, rest)) => {
                    let end = rest.iter().position(|byte| *byte == 0).ok_or(Broken::Short)?;
                    let (name, challenge) = rest.split_at(end);
                    let challenge = challenge.get(1..).unwrap_or_default();
                    let challenge = challenge.strip_suffix(&[0]).unwrap_or(challenge);
                    login.scramble = challenge.to_vec();
                    login.procedure = AuthProc::init(&AuthPlugin::from_bytes(name)).ok();
                    // A plugin of the server alone (the peer of a unix socket) wants no more than an answer.
                    Some(login.answer(challenge)?.unwrap_or_default())
                }
                Some((1, challenge)) => login.answer(challenge)?,
                _ => return Err(Broken::Length.into()),
            };
            if let Some(answer) = answer {
                self.wire.send(&answer)?;
            }
        }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.wire.socket
    }

    /// The rows of a statement's result; none where it has none.
    pub(crate) fn query(&mut self, statement: &str) -> Result<Vec<Row>, Failure> {
        let mut command = vec![3];
        command.extend_from_slice(statement.as_bytes());
        self.command(&command)?;
        let mut rest = Take(self.answer()?);
        if rest.0.first() == Some(&0) {
            return Ok(Vec::new());
        }
        let columns = rest.packed()?;
        for _ in 0..columns {
            self.wire.receive()?;
        }
        self.wire.receive()?;
        let mut rows = Vec::new();
        loop {
            let packet = self.wire.receive()?;
            match packet {
                [0xff, rest @ ..] => return Err(refused(rest)),
                [0xfe, rest @ ..] if rest.len() < 8 => return Ok(rows),
                _ => {}
            }
            let mut rest = Take(packet);
            let mut row = Vec::with_capacity(columns.min(64));
            for _ in 0..columns {
                row.push(if rest.0.first() == Some(&0xfb) {
                    rest.skip(1)?;
                    None
                } else {
                    let length = rest.packed()?;
                    Some(String::from_utf8_lossy(rest.bytes(length)?).into_owned())
                });
            }
            rows.push(row);
        }
    }

    /// The first of these statements that the server knows.
    pub(crate) fn first_known(&mut self, statements: &[&str]) -> Result<Vec<Row>, Failure> {
        let mut failure = Failure::Protocol(Broken::Short);
        for statement in statements {
            match self.query(statement) {
                Err(error) if error.is_unknown_statement() => failure = error,
                result => return result,
            }
        }
        Err(failure)
    }

    /// Says that this is a replica, which asks for the privilege that a stream needs.
    pub(crate) fn register(&mut self, id: u32) -> Result<(), Failure> {
        let mut command = vec![0x15];
        command.extend_from_slice(&id.to_le_bytes());
        command.extend_from_slice(&[0; 3 + 2 + 4 + 4]);
        self.command(&command)?;
        self.answer().map(drop)
    }

    /// Asks for the stream from a position on. What the server answers is the stream.
    pub(crate) fn dump(&mut self, id: u32, file: &str, position: u32) -> Result<(), Failure> {
        let mut command = vec![0x12];
        command.extend_from_slice(&position.to_le_bytes());
        command.extend_from_slice(&0u16.to_le_bytes());
        command.extend_from_slice(&id.to_le_bytes());
        command.extend_from_slice(file.as_bytes());
        self.command(&command)
    }

    /// Asks MySQL for everything that is not in a set of transactions.
    pub(crate) fn dump_after(&mut self, id: u32, executed: &[u8]) -> Result<(), Failure> {
        const BY_ID: u16 = 4;
        let mut command = vec![0x1e];
        command.extend_from_slice(&BY_ID.to_le_bytes());
        command.extend_from_slice(&id.to_le_bytes());
        command.extend_from_slice(&0u32.to_le_bytes());
        command.extend_from_slice(&4u64.to_le_bytes());
        command.extend_from_slice(&(executed.len() as u32).to_le_bytes());
        command.extend_from_slice(executed);
        self.command(&command)
    }

    /// The next event of the stream; None where the server ended it.
    pub(crate) fn event(&mut self) -> Result<Option<&[u8]>, Failure> {
        match self.wire.receive()? {
            [0, event @ ..] => Ok(Some(event)),
            [0xff, rest @ ..] => Err(refused(rest)),
            [0xfe, ..] => Ok(None),
            _ => Err(Broken::Length.into()),
        }
    }

    fn command(&mut self, command: &[u8]) -> Result<(), Failure> {
        self.wire.restart();
        Ok(self.wire.send(command)?)
    }

    fn answer(&mut self) -> Result<&[u8], Failure> {
        match self.wire.receive()? {
            [0xff, rest @ ..] => Err(refused(rest)),
            packet => Ok(packet),
        }
    }
}

/// An error packet without its mark: the code, a state behind a '#', the text.
fn refused(packet: &[u8]) -> Failure {
    let mut rest = Take(packet);
    match rest.u16() {
        Ok(code) => {
            let text = match rest.0 {
                [b'#', _, _, _, _, _, text @ ..] => text,
                text => text,
            };
            Failure::Server { code, message: String::from_utf8_lossy(text).into_owned() }
        }
        Err(broken) => broken.into(),
    }
}

/// The server's greeting.
struct Hello<'a> {
    version: &'a [u8],
    scramble: [u8; 20],
    plugin: &'a [u8],
}

impl<'a> Hello<'a> {
    fn read(packet: &'a [u8]) -> Result<Self, Failure> {
        let mut rest = Take(packet);
        match rest.u8()? {
            10 => {}
            0xff => return Err(refused(rest.0)),
            _ => return Err(Broken::Version.into()),
        }
        let version = until_zero(&mut rest)?;
        rest.skip(4)?;
        let mut scramble = [0; 20];
        scramble[..8].copy_from_slice(rest.bytes(8)?);
        // Filler, capabilities, character set, status, more capabilities, length, reserved.
        rest.skip(1 + 2 + 1 + 2 + 2 + 1 + 10)?;
        scramble[8..].copy_from_slice(rest.bytes(12)?);
        rest.skip(1)?;
        let plugin = until_zero(&mut rest).unwrap_or(rest.0);
        Ok(Self { version, scramble, plugin })
    }
}

fn until_zero<'a>(rest: &mut Take<'a>) -> Result<&'a [u8], Broken> {
    let end = rest.0.iter().position(|byte| *byte == 0).ok_or(Broken::Short)?;
    let text = rest.bytes(end)?;
    rest.skip(1)?;
    Ok(text)
}

/// A login under way, and what its plugin asks for.
struct Login<'a> {
    password: &'a [u8],
    local: bool,
    scramble: Vec<u8>,
    procedure: Option<AuthProc>,
}

impl Login<'_> {
    /// What to send; None for nothing.
    fn answer(&mut self, challenge: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Failure> {
        let Some(mut procedure) = self.procedure.take() else { return Ok(None) };
        // A password in clear text, or one that anybody can turn back, is not sent to whoever asks for it.
        if matches!(procedure, AuthProc::MysqlClearPassword(_) | AuthProc::MysqlOldPassword(_)) {
            return Err(Failure::Login);
        }
        let response = procedure.run(&*self, challenge.as_ref()).map_err(|_| Failure::Login)?;
        self.procedure = Some(procedure);
        Ok(match response {
            Response::Next { packet } | Response::Last { packet } => packet,
        })
    }
}

impl Context for &Login<'_> {
    fn pass(&self) -> &[u8] {
        self.password
    }

    fn is_ipc_transport(&self) -> bool {
        self.local
    }

    fn is_tls_transport(&self) -> bool {
        false
    }

    fn scramble(&self) -> &[u8] {
        &self.scramble
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}
