//! How often one user may claim. Users are remembered by a keyed hash of their id, and only while it matters: one who
//! could claim as if never seen before is forgotten.
use std::{
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, nanos::Nanos, state::keyed::HashMapStateStore,
};

/// Claims between two sweeps, at least.
const SWEEP_AFTER: u32 = 8192;

/// Room for so many times the users that are remembered is given back.
const ROOM: usize = 16;

/// Time as it was handed in last.
#[derive(Debug, Default, Clone)]
struct Told(std::sync::Arc<AtomicU64>);

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

type Limiter = RateLimiter<u64, HashMapStateStore<u64>, Told, NoOpMiddleware<Nanos>>;

/// So many claims a second of one user, and so many at once.
pub struct UserRate {
    limiter: Limiter,
    clock: Told,
    hasher: RandomState,
    since_sweep: u32,
    sweep_after: u32,
    /// The most users that were remembered since room was given back.
    most: usize,
}

impl UserRate {
    /// None: without bound.
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(per_second)?).allow_burst(NonZeroU32::new(burst.max(1))?);
        let clock = Told::default();
        Some(Self {
            limiter: RateLimiter::new(quota, HashMapStateStore::default(), clock.clone()),
            clock,
            hasher: RandomState::new(),
            since_sweep: 0,
            sweep_after: SWEEP_AFTER,
            most: 0,
        })
    }

    /// Whether a user may claim now; `now` is the time since any fixed moment.
    pub fn allows(&mut self, user: &[u8], now: Duration) -> bool {
        self.clock.0.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.since_sweep += 1;
        if self.since_sweep > self.sweep_after {
            self.since_sweep = 0;
            self.most = self.most.max(self.limiter.len());
            self.limiter.retain_recent();
            // A sweep costs as much as the users that it leaves, so that it is a small part of each claim.
            self.sweep_after = SWEEP_AFTER.max(u32::try_from(self.limiter.len()).unwrap_or(u32::MAX));
            // The room is needed again at once, except after a rush.
            if self.limiter.len() < self.most / ROOM {
                self.limiter.shrink_to_fit();
                self.most = 0;
            }
        }
        self.limiter.check_key(&self.hasher.hash_one(user)).is_ok()
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.limiter.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_burst_and_then_a_rate_and_others_do_not_notice() {
        let mut rate = UserRate::new(10, 3).unwrap();
        let at = Duration::from_millis;
        assert_eq!((0..5).filter(|_| rate.allows(b"ann", at(1000))).count(), 3);
        assert!(rate.allows(b"bob", at(1000)));
        assert!(!rate.allows(b"ann", at(1099)));
        assert!(rate.allows(b"ann", at(1100)));
        assert!(!rate.allows(b"ann", at(1101)));
        assert_eq!((0..5).filter(|_| rate.allows(b"ann", at(9000))).count(), 3);
    }

    #[test]
    fn zero_is_no_bound() {
        assert!(UserRate::new(0, 5).is_none());
    }

    #[test]
    fn who_has_not_claimed_lately_is_forgotten() {
        let mut rate = UserRate::new(100, 5).unwrap();
        for user in 0..300_000u32 {
            assert!(rate.allows(&user.to_be_bytes(), Duration::from_micros(u64::from(user) * 10)));
        }
        assert!(rate.remembered() < 30_000, "{}", rate.remembered());
    }
}
