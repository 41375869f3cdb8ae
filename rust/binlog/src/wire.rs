//! Packets of the client protocol over a socket. A packet is handed out where it was received, without a copy.
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

/// A packet of this length is followed by more of it.
const FULL: usize = 0xff_ffff;
const ROOM: usize = 256 * 1024;
/// A buffer that grew beyond this is given back once it is empty.
const LARGE: usize = 4 * 1024 * 1024;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn connect(to: &Endpoint, within: Duration) -> io::Result<Self> {
        let socket = match to {
            Endpoint::Unix(path) => Self::Unix(UnixStream::connect(path)?),
            Endpoint::Tcp { host, port } => {
                let mut failure = io::Error::from(io::ErrorKind::NotFound);
                let mut connected = None;
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, within) {
                        Ok(stream) => {
                            connected = Some(stream);
                            break;
                        }
                        Err(error) => failure = error,
                    }
                }
                let stream = connected.ok_or(failure)?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
        };
        socket.set_patience(within)?;
        Ok(socket)
    }

    /// How long a read or write may take.
    pub(crate) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))
            }
        }
    }

    pub(crate) fn duplicate(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    /// Ends every read and write of it, in other threads too.
    pub(crate) fn shut(&self) {
        // A socket that is closed already is what is wanted.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: Socket,
    buffer: Vec<u8>,
    /// What was received and not yet handed out.
    start: usize,
    end: usize,
    /// A packet of several parts.
    joined: Vec<u8>,
    sequence: u8,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, buffer: vec![0; ROOM], start: 0, end: 0, joined: Vec::new(), sequence: 0 }
    }

    /// Begins a command: its packets are counted from 0.
    pub(crate) fn restart(&mut self) {
        self.sequence = 0;
    }

    pub(crate) fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut rest = payload;
        loop {
            let (part, after) = rest.split_at(rest.len().min(FULL));
            let mut packet = Vec::with_capacity(part.len() + 4);
            packet.extend_from_slice(&(part.len() as u32).to_le_bytes()[..3]);
            packet.push(self.sequence);
            packet.extend_from_slice(part);
            self.sequence = self.sequence.wrapping_add(1);
            self.socket.write(&packet)?;
            if part.len() < FULL {
                return Ok(());
            }
            rest = after;
        }
    }

    pub(crate) fn receive(&mut self) -> io::Result<&[u8]> {
        let (first, length) = self.part()?;
        if length < FULL {
            return self.buffer.get(first..first + length).ok_or_else(ended);
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        let (mut first, mut length) = (first, length);
        loop {
            joined.extend_from_slice(self.buffer.get(first..first + length).ok_or_else(ended)?);
            if length < FULL {
                break;
            }
            (first, length) = self.part()?;
        }
        self.joined = joined;
        Ok(&self.joined)
    }

    /// Where the next part of a packet is in the buffer.
    fn part(&mut self) -> io::Result<(usize, usize)> {
        self.want(4)?;
        let Some([a, b, c, sequence]) = self.buffer.get(self.start..self.end).and_then(|left| left.first_chunk())
        else {
            return Err(ended());
        };
        let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        self.sequence = sequence.wrapping_add(1);
        self.want(4 + length)?;
        let first = self.start + 4;
        self.start = first + length;
        Ok((first, length))
    }

    /// Reads until so many bytes are there.
    fn want(&mut self, count: usize) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > LARGE && count <= ROOM {
                self.buffer = vec![0; ROOM];
            }
        }
        if self.buffer.len() - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buffer.len() < count {
                self.buffer.resize(count, 0);
            }
        }
        while self.end - self.start < count {
            let free = self.buffer.get_mut(self.end..).ok_or_else(ended)?;
            match self.socket.read(free) {
                Ok(0) => return Err(ended()),
                Ok(received) => self.end += received,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn ended() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_arrive_as_they_were_sent_however_long_they_are() {
        let (one, other) = UnixStream::pair().unwrap();
        let sender = std::thread::spawn(move || {
            let mut wire = Wire::new(Socket::Unix(one));
            for length in [0, 1, 300_000, FULL - 1, FULL, FULL + 5, 7] {
                wire.send(&vec![length as u8; length]).unwrap();
            }
        });
        let mut wire = Wire::new(Socket::Unix(other));
        for length in [0, 1, 300_000, FULL - 1, FULL, FULL + 5, 7] {
            let packet = wire.receive().unwrap();
            assert_eq!(packet.len(), length);
            assert!(packet.iter().all(|byte| *byte == length as u8));
        }
        sender.join().unwrap();
        assert!(wire.receive().is_err(), "a connection that ended");
    }
}
