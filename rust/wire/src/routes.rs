//! Which methods exist, and which of them are answered right here. One table from path to route; a method without an
//! answerer of its own costs nothing beyond the look-up that every call needs.
use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use crate::{call::Key, code::Refusal};

/// What an answerer says to a request.
#[derive(Debug)]
pub enum Answer {
    /// The reply, framed (`framing::frame`): it is sent as it is.
    Frame(Bytes),
    Refusal(Refusal),
    /// Not known here: the call goes on to its handler.
    Miss,
    /// The answerer ends the call later, by its key (`Connection::finish`, `finish_with`). Nobody is told if the call is
    /// over before that; the key then finds nothing.
    Later,
}

/// Whose request it is: the connection by the name that its owner gave it, the call by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    pub connection: u64,
    pub key: Key,
}

/// Answers requests of one unary method inside the extension. It must neither block nor take long.
pub trait Hot: Send + Sync {
    fn answer(&self, request: &[u8], caller: Caller) -> Answer;

    /// The keys of the items that an answer is made of, or that it lacks now, for whoever can fetch what a miss lacked.
    /// None, or nothing after a miss, where only the handler can answer.
    fn keys(&self, _request: &[u8]) -> Option<Vec<String>> {
        None
    }

    /// The reply made of these items, those that `keys` names now in their order, framed.
    fn compose(&self, _request: &[u8], _items: &[&[u8]]) -> Option<Bytes> {
        None
    }
}

/// A method.
#[derive(Clone)]
pub struct Route {
    /// The number that the owner of the table gave it.
    pub id: usize,
    /// One request message, awaited before the call is handed on; else messages are read as they come.
    pub unary_request: bool,
    pub hot: Option<Arc<dyn Hot>>,
}

/// The table. Unknown paths are refused here, or handed on where the owner may know more (`open_ended`).
#[derive(Default)]
pub struct Routes {
    by_path: HashMap<Box<str>, Route>,
    pub open_ended: bool,
}

impl Routes {
    pub fn insert(&mut self, path: &str, route: Route) {
        self.by_path.insert(path.into(), route);
    }

    /// Gives a known unary method an answerer. False for a path that is not such a method.
    pub fn set_hot(&mut self, path: &str, hot: Arc<dyn Hot>) -> bool {
        match self.by_path.get_mut(path) {
            Some(route) if route.unary_request => {
                route.hot = Some(hot);
                true
            }
            _ => false,
        }
    }

    pub fn get(&self, path: &str) -> Option<&Route> {
        self.by_path.get(path)
    }
}
