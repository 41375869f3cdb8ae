//! The claims of one script. A claim's arguments are written as Redis wants them when it arrives; what is kept beside
//! them is where the user id lies, and the caller's handle.
use crate::{activity::Ack, place::Place};

pub const HASH_BYTES: usize = 16;
/// What stands between a user id and its hash.
const HASH_FOLLOWS: &[u8] = b"\r\n$16\r\n";
const BETWEEN: usize = HASH_FOLLOWS.len();

/// What the arguments of a claim take as a rule.
const USUAL_BYTES: usize = 48;

/// What stands for a request id.
pub type Hash = [u8; HASH_BYTES];

/// The claim script as EVALSHA names it, and the prefix of all keys.
#[derive(Debug, Clone)]
pub struct Script {
    pub sha: String,
    pub prefix: String,
}

/// `H` is whatever tells the caller.
#[derive(Debug)]
pub struct Batch<H> {
    pub place: Place,
    pub ack: Ack,
    arguments: Vec<u8>,
    users: Vec<(u32, u8)>,
    handles: Vec<H>,
}

impl<H> Batch<H> {
    pub fn new(place: Place, ack: Ack) -> Self {
        Self::with_room(place, ack, 0)
    }

    /// One that takes so many claims of usual size without growing.
    pub fn with_room(place: Place, ack: Ack, claims: usize) -> Self {
        Self {
            place,
            ack,
            arguments: Vec::with_capacity(claims * USUAL_BYTES),
            users: Vec::with_capacity(claims),
            handles: Vec::with_capacity(claims),
        }
    }

    /// `user` has 1 to 64 bytes: longer ones were refused before.
    pub fn push(&mut self, user: &[u8], hash: &Hash, handle: H) {
        let user = user.get(..usize::from(u8::MAX)).unwrap_or(user);
        put_header(&mut self.arguments, b'$', user.len());
        // A batch holds a thousand claims of some hundred bytes.
        self.users.push((self.arguments.len() as u32, user.len() as u8));
        self.arguments.extend_from_slice(user);
        self.arguments.extend_from_slice(HASH_FOLLOWS);
        self.arguments.extend_from_slice(hash);
        self.arguments.extend_from_slice(b"\r\n");
        self.handles.push(handle);
    }

    pub fn len(&self) -> usize {
        self.handles.len()
    }

    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    pub fn user(&self, at: usize) -> &[u8] {
        self.users.get(at).map_or(&[], |(start, length)| {
            let start = *start as usize;
            self.arguments.get(start..start + usize::from(*length)).unwrap_or_default()
        })
    }

    /// (user, hash) of every claim, in order.
    pub fn claims(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.users.iter().enumerate().map(|(at, (start, length))| {
            let hash = *start as usize + usize::from(*length) + BETWEEN;
            (self.user(at), self.arguments.get(hash..hash + HASH_BYTES).unwrap_or_default())
        })
    }

    /// Hands out every claim with its handle, in order.
    pub fn for_each(self, mut give: impl FnMut(&[u8], &Hash, H)) {
        let Self { arguments, users, handles, .. } = self;
        for ((start, length), handle) in users.into_iter().zip(handles) {
            let user = start as usize..start as usize + usize::from(length);
            let hash = arguments.get(user.end + BETWEEN..).and_then(|rest| rest.first_chunk());
            give(arguments.get(user).unwrap_or_default(), hash.unwrap_or(&[0; HASH_BYTES]), handle);
        }
    }

    /// The handles, in order.
    pub fn into_handles(self) -> Vec<H> {
        self.handles
    }

    /// Writes `EVALSHA sha 3 m u o W user hash …`.
    pub fn write_command(&self, script: &Script, out: &mut Vec<u8>) {
        out.reserve(self.arguments.len() + 256);
        put_header(out, b'*', 7 + 2 * self.len());
        put_text(out, b"EVALSHA");
        put_text(out, script.sha.as_bytes());
        put_text(out, b"3");
        for key in self.place.keys(&script.prefix) {
            put_text(out, key.as_bytes());
        }
        put_text(out, b"W");
        out.extend_from_slice(&self.arguments);
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_header(out, b'$', text.len());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn put_header(out: &mut Vec<u8>, kind: u8, count: usize) {
    // As many digits as a usize has at most.
    let mut header = [b'0'; 24];
    header[22..].copy_from_slice(b"\r\n");
    let (mut rest, mut start) = (count, 22);
    while rest > 0 || start == 22 {
        start -= 1;
        header[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    header[start - 1] = kind;
    out.extend_from_slice(&header[start - 1..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a command as a server does: the number of arguments, then each by its length.
    fn arguments(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let number = |kind: u8, bytes: &mut &[u8]| {
            let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
            assert_eq!(bytes[0], kind);
            let number: usize = std::str::from_utf8(&bytes[1..end]).unwrap().parse().unwrap();
            *bytes = &bytes[end + 2..];
            number
        };
        let count = number(b'*', &mut bytes);
        let read = (0..count)
            .map(|_| {
                let length = number(b'$', &mut bytes);
                let argument = bytes[..length].to_vec();
                assert_eq!(&bytes[length..length + 2], b"\r\n");
                bytes = &bytes[length + 2..];
                argument
            })
            .collect();
        assert!(bytes.is_empty());
        read
    }

    proptest! {
        #[test]
        fn a_command_says_what_was_pushed(
            claims in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..=64), any::<Hash>()), 0..20),
            activity_id in 1u32..1 << 20,
        ) {
            let mut batch = Batch::new(Place { activity_id, bucket: 2 }, Ack::Redis);
            for (at, (user, hash)) in claims.iter().enumerate() {
                batch.push(user, hash, at);
            }
            let script = Script { sha: "a".repeat(40), prefix: "t:".into() };
            let mut command = Vec::new();
            batch.write_command(&script, &mut command);
            let mut expected = vec![b"EVALSHA".to_vec(), b"a".repeat(40), b"3".to_vec()];
            expected.extend(batch.place.keys("t:").map(String::into_bytes));
            expected.push(b"W".to_vec());
            expected.extend(claims.iter().flat_map(|(user, hash)| [user.clone(), hash.to_vec()]));
            prop_assert_eq!(arguments(&command), expected);
            let read: Vec<_> = batch.claims().map(|(user, hash)| (user.to_vec(), hash.to_vec())).collect();
            let pushed: Vec<_> = claims.iter().map(|(user, hash)| (user.clone(), hash.to_vec())).collect();
            prop_assert_eq!(read, pushed);
            prop_assert_eq!(batch.len(), claims.len());
            let mut given = Vec::new();
            batch.for_each(|user, hash, at| given.push((user.to_vec(), *hash, at)));
            let pushed: Vec<_> = claims.into_iter().enumerate().map(|(at, (user, hash))| (user, hash, at)).collect();
            prop_assert_eq!(given, pushed);
        }
    }
}
