//! Least recently used, weighed in bytes: what the table compares with. A list through a slab, no time, one thread.
use std::collections::HashMap;

const NONE: usize = usize::MAX;

struct Node {
    key: u32,
    weight: u64,
    before: usize,
    after: usize,
}

/// `newest` and `oldest` are the ends of the list; `free` are places of the slab.
pub struct Lru {
    capacity: u64,
    held: u64,
    places: HashMap<u32, usize>,
    nodes: Vec<Node>,
    free: Vec<usize>,
    newest: usize,
    oldest: usize,
}

impl Lru {
    pub fn new(capacity: u64) -> Self {
        let (places, nodes, free) = (HashMap::new(), Vec::new(), Vec::new());
        Self { capacity, held: 0, places, nodes, free, newest: NONE, oldest: NONE }
    }

    /// Whether the key is there; if not it is now.
    pub fn read(&mut self, key: u32, weight: u64) -> bool {
        if let Some(&place) = self.places.get(&key) {
            self.unlink(place);
            self.link(place);
            return true;
        }
        while self.held + weight > self.capacity && self.oldest != NONE {
            self.remove(self.nodes[self.oldest].key);
        }
        if weight <= self.capacity {
            let node = Node { key, weight, before: NONE, after: NONE };
            let place = match self.free.pop() {
                Some(place) => {
                    self.nodes[place] = node;
                    place
                }
                None => {
                    self.nodes.push(node);
                    self.nodes.len() - 1
                }
            };
            self.places.insert(key, place);
            self.held += weight;
            self.link(place);
        }
        false
    }

    pub fn remove(&mut self, key: u32) {
        if let Some(place) = self.places.remove(&key) {
            self.unlink(place);
            self.held -= self.nodes[place].weight;
            self.free.push(place);
        }
    }

    fn link(&mut self, place: usize) {
        self.nodes[place].before = NONE;
        self.nodes[place].after = self.newest;
        match self.newest {
            NONE => self.oldest = place,
            newest => self.nodes[newest].before = place,
        }
        self.newest = place;
    }

    fn unlink(&mut self, place: usize) {
        let (before, after) = (self.nodes[place].before, self.nodes[place].after);
        match before {
            NONE => self.newest = after,
            before => self.nodes[before].after = after,
        }
        match after {
            NONE => self.oldest = before,
            after => self.nodes[after].before = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn the_least_recently_used_key_goes_first() {
        let mut lru = Lru::new(3);
        assert!([1, 2, 3].iter().all(|key| !lru.read(*key, 1)));
        assert!(lru.read(1, 1));
        assert!(!lru.read(4, 1), "2 goes");
        assert!(lru.read(1, 1) && lru.read(3, 1) && lru.read(4, 1));
        assert!(!lru.read(2, 1));
    }

    #[test]
    fn it_answers_like_a_list_that_is_searched() {
        let (mut lru, mut dice, mut list) = (Lru::new(50), Dice::new(3), Vec::<(u32, u64)>::new());
        for _ in 0..20_000 {
            let key = dice.below(40);
            let weight = u64::from(key % 7 + 1);
            let found = list.iter().position(|(held, _)| *held == key);
            if dice.hits(0.1) {
                lru.remove(key);
                list.retain(|(held, _)| *held != key);
                continue;
            }
            assert_eq!(lru.read(key, weight), found.is_some());
            if let Some(place) = found {
                list.remove(place);
            }
            list.push((key, weight));
            while list.iter().map(|(_, weight)| weight).sum::<u64>() > 50 {
                list.remove(0);
            }
        }
    }
}
