//! The in-memory pipe between h2 and whoever owns the socket. Writes stop while the socket's side is full.
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that h2 may leave for one write to the socket.
const OUTPUT_CAP: usize = 256 * 1024;
/// A buffer larger than this is given back when it is empty.
const KEPT: usize = 16 * 1024;

#[derive(Default)]
pub struct Buffers {
    input: BytesMut,
    output: BytesMut,
    paused: bool,
    /// h2 had more to write than it was allowed to.
    refused_write: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What the connection holds of the pipe.
#[derive(Clone, Default)]
pub struct Outer(Arc<Mutex<Buffers>>);

/// What h2 holds of it.
pub struct Inner(Arc<Mutex<Buffers>>);

impl Outer {
    pub fn inner(&self) -> Inner {
        Inner(Arc::clone(&self.0))
    }

    /// Takes input; `mend` may change it in place first.
    pub fn feed(&self, data: &[u8], mend: impl FnOnce(&mut [u8])) {
        let mut buffers = self.0.lock();
        let start = buffers.input.len();
        buffers.input.extend_from_slice(data);
        mend(&mut buffers.input[start..]);
        if let Some(reader) = buffers.reader.take() {
            reader.wake();
        }
    }

    /// Bytes that h2 has not taken yet.
    pub fn unread(&self) -> usize {
        self.0.lock().input.len()
    }

    pub fn drop_input(&self) {
        self.0.lock().input = BytesMut::new();
    }

    pub fn pause(&self, paused: bool) {
        let mut buffers = self.0.lock();
        buffers.paused = paused;
        if !paused && let Some(writer) = buffers.writer.take() {
            writer.wake();
        }
    }

    /// Whether what h2 wrote so far ends with a whole frame.
    pub fn is_between_frames(&self) -> bool {
        !self.0.lock().refused_write
    }

    /// Appends bytes past h2: for the very last frame of a connection.
    pub fn append(&self, data: &[u8]) {
        self.0.lock().output.extend_from_slice(data);
    }

    /// Whether what does not come from h2 may be written now.
    pub fn takes_more(&self) -> bool {
        let buffers = self.0.lock();
        !buffers.paused && !buffers.refused_write
    }

    /// Shows `look` what h2 wrote, puts `more` behind it where a frame may begin there, and hands both to `write`. Keeps
    /// the buffers if they are small.
    pub fn take_output<L, T>(
        &self,
        more: &mut Vec<u8>,
        look: impl FnOnce(&mut [u8]) -> L,
        write: impl FnOnce(&[u8]) -> T,
    ) -> (L, Option<T>) {
        let mut buffers = self.0.lock();
        let looked = look(&mut buffers.output);
        if !more.is_empty() && !buffers.paused && !buffers.refused_write {
            if buffers.output.is_empty() {
                let written = write(more);
                if more.capacity() > KEPT {
                    *more = Vec::new()
                } else {
                    more.clear()
                }
                return (looked, Some(written));
            }
            buffers.output.extend_from_slice(more);
            if more.capacity() > KEPT { *more = Vec::new() } else { more.clear() }
        }
        if buffers.output.is_empty() {
            return (looked, None);
        }
        let written = write(&buffers.output);
        if buffers.output.capacity() > KEPT {
            buffers.output = BytesMut::new();
        } else {
            buffers.output.clear();
        }
        if !buffers.paused
            && let Some(writer) = buffers.writer.take()
        {
            writer.wake();
        }
        (looked, Some(written))
    }
}

impl AsyncRead for Inner {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut buffers = self.0.lock();
        if buffers.input.is_empty() {
            buffers.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = into.remaining().min(buffers.input.len());
        into.put_slice(&buffers.input[..length]);
        buffers.input.advance(length);
        if buffers.input.is_empty() {
            buffers.input = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Inner {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut buffers = self.0.lock();
        if buffers.paused || buffers.output.len() >= OUTPUT_CAP {
            buffers.refused_write = true;
            buffers.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        buffers.refused_write = false;
        buffers.output.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
