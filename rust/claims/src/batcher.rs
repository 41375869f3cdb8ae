//! Batches that fill, wait and leave. Claims that arrive within a tick go out together; while as many scripts of a place
//! are under way as may be, the next ones fill. Nothing here waits for time.
use std::collections::{HashMap, VecDeque, hash_map::Entry};

use crate::{
    activity::{Ack, Activity},
    batch::{Batch, Hash},
    place::Place,
};

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Claims in one script.
    pub per_script: usize,
    /// Scripts of one place under way.
    pub in_flight: usize,
    /// Claims that have no answer yet, of all places.
    pub held: usize,
}

/// The claim was not taken: too many have no answer yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<H>(pub H);

struct Lane<H> {
    waiting: VecDeque<Batch<H>>,
    in_flight: usize,
    /// Claims in the batch that left last: the next one will have about as many.
    last: usize,
}

/// What leaves at the end of a tick.
#[derive(Debug)]
pub struct Departure<H> {
    /// To Redis. Each is counted as under way until `landed`.
    pub scripts: Vec<Batch<H>>,
    /// Of activities that are not known or settled; their bucket and ack say nothing.
    pub strays: Vec<Batch<H>>,
}

pub struct Batcher<H> {
    limits: Limits,
    lanes: HashMap<Place, Lane<H>>,
    /// Lanes that may have a batch to send.
    ready: Vec<Place>,
    /// What was found out about activities in this tick.
    known: HashMap<u32, Option<Activity>>,
    /// The one that was asked for last: mostly it is the same again.
    asked: Option<(u32, Option<Activity>)>,
    strays: HashMap<u32, Vec<Batch<H>>>,
    held: usize,
}

impl<H> Batcher<H> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: HashMap::new(),
            ready: Vec::new(),
            known: HashMap::new(),
            asked: None,
            strays: HashMap::new(),
            held: 0,
        }
    }

    /// Claims without an answer.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether a departure would find something.
    pub fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.strays.is_empty()
    }

    /// Takes a claim. `look_up` is asked once a tick for each activity.
    pub fn add(
        &mut self,
        activity_id: u32,
        user: &[u8],
        hash: &Hash,
        handle: H,
        look_up: impl FnOnce() -> Option<Activity>,
    ) -> Result<(), Full<H>> {
        if self.held >= self.limits.held {
            return Err(Full(handle));
        }
        self.held += 1;
        let activity = match self.asked {
            Some((id, activity)) if id == activity_id => activity,
            _ => *self.known.entry(activity_id).or_insert_with(look_up),
        };
        self.asked = Some((activity_id, activity));
        match activity {
            Some(activity) => self.join(activity_id, activity, user, hash, handle),
            None => {
                let strays = self.strays.entry(activity_id).or_default();
                if strays.last().is_none_or(|batch| batch.len() >= self.limits.per_script) {
                    strays.push(Batch::new(Place { activity_id, bucket: 0 }, Ack::default()));
                }
                if let Some(batch) = strays.last_mut() {
                    batch.push(user, hash, handle);
                }
            }
        }
        Ok(())
    }

    /// Puts strays behind those that wait: their activity is known now.
    pub fn admit(&mut self, strays: Batch<H>, activity: Activity) {
        let activity_id = strays.place.activity_id;
        strays.for_each(|user, hash, handle| self.join(activity_id, activity, user, hash, handle));
    }

    fn join(&mut self, activity_id: u32, activity: Activity, user: &[u8], hash: &Hash, handle: H) {
        let place = Place::of(activity_id, activity.buckets, user);
        let lane = self.lanes.entry(place).or_insert_with(Lane::new);
        lane.open_batch(place, activity.ack, self.limits.per_script).push(user, hash, handle);
        self.note_ready(place);
    }

    /// The end of a tick.
    pub fn depart(&mut self) -> Departure<H> {
        self.known.clear();
        self.asked = None;
        let strays = std::mem::take(&mut self.strays).into_values().flatten().collect();
        let mut scripts = Vec::new();
        for place in std::mem::take(&mut self.ready) {
            let Entry::Occupied(mut entry) = self.lanes.entry(place) else {
                continue;
            };
            let lane = entry.get_mut();
            while lane.in_flight < self.limits.in_flight
                && let Some(batch) = lane.waiting.pop_front()
            {
                lane.in_flight += 1;
                lane.last = batch.len();
                scripts.push(batch);
            }
        }
        Departure { scripts, strays }
    }

    /// A script of a place is over, whatever became of it.
    pub fn landed(&mut self, place: Place) {
        let Entry::Occupied(mut entry) = self.lanes.entry(place) else {
            return;
        };
        let lane = entry.get_mut();
        lane.in_flight = lane.in_flight.saturating_sub(1);
        if !lane.waiting.is_empty() {
            self.note_ready(place);
        } else if lane.in_flight == 0 {
            entry.remove();
        }
    }

    /// So many claims have been answered.
    pub fn answered(&mut self, claims: usize) {
        self.held = self.held.saturating_sub(claims);
    }

    fn note_ready(&mut self, place: Place) {
        // Few places are busy in one tick, and mostly it is the same one again.
        if self.ready.last() != Some(&place) && !self.ready.contains(&place) {
            self.ready.push(place);
        }
    }
}

impl<H> Lane<H> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), in_flight: 0, last: 0 }
    }

    /// The batch that fills.
    fn open_batch(&mut self, place: Place, ack: Ack, per_script: usize) -> &mut Batch<H> {
        let last = self.waiting.back();
        if last.is_none_or(|batch| batch.len() >= per_script || batch.ack != ack) {
            self.waiting.push_back(Batch::with_room(place, ack, self.last.min(per_script)));
        }
        let last = self.waiting.len() - 1;
        &mut self.waiting[last]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN: Option<Activity> = Some(Activity { ack: Ack::Redis, buckets: 1 });
    const LIMITS: Limits = Limits { per_script: 4, in_flight: 2, held: 1000 };

    fn give(batcher: &mut Batcher<usize>, activity_id: u32, handles: std::ops::Range<usize>) {
        for handle in handles {
            assert_eq!(batcher.add(activity_id, b"u", &[0; 16], handle, || OPEN), Ok(()));
        }
    }

    fn handles(batches: Vec<Batch<usize>>) -> Vec<Vec<usize>> {
        batches.into_iter().map(Batch::into_handles).collect()
    }

    #[test]
    fn claims_of_a_tick_leave_together_and_the_next_ones_fill_while_scripts_are_under_way() {
        let mut batcher = Batcher::new(LIMITS);
        give(&mut batcher, 1, 0..1);
        assert_eq!(handles(batcher.depart().scripts), [[0]], "a lone claim leaves at once");
        give(&mut batcher, 1, 1..4);
        assert_eq!(handles(batcher.depart().scripts), [[1, 2, 3]]);
        give(&mut batcher, 1, 4..7);
        assert!(batcher.depart().scripts.is_empty(), "two are under way");
        give(&mut batcher, 1, 7..10);
        assert!(batcher.depart().scripts.is_empty());
        assert!(!batcher.has_work());
        batcher.landed(Place { activity_id: 1, bucket: 0 });
        assert!(batcher.has_work());
        assert_eq!(handles(batcher.depart().scripts), [[4, 5, 6, 7]]);
        assert_eq!(batcher.held(), 10);
    }

    #[test]
    fn activities_do_not_wait_for_each_other() {
        let mut batcher = Batcher::new(LIMITS);
        give(&mut batcher, 1, 0..20);
        assert_eq!(batcher.depart().scripts.len(), 2);
        give(&mut batcher, 2, 20..21);
        assert_eq!(handles(batcher.depart().scripts), [[20]]);
    }

    #[test]
    fn an_activity_is_looked_up_once_a_tick_and_strays_of_one_leave_as_one() {
        let mut batcher = Batcher::new(LIMITS);
        let mut asked = 0;
        for handle in 0..3 {
            let look_up = || {
                asked += 1;
                None
            };
            assert_eq!(batcher.add(7, b"u", &[0; 16], handle, look_up), Ok(()));
        }
        assert_eq!(asked, 1);
        let departure = batcher.depart();
        assert!(departure.scripts.is_empty());
        let mut strays = departure.strays;
        assert_eq!(strays.iter().map(Batch::len).collect::<Vec<_>>(), [3]);
        batcher.admit(strays.remove(0), OPEN.unwrap());
        give(&mut batcher, 7, 3..4);
        assert_eq!(handles(batcher.depart().scripts), [[0, 1, 2, 3]]);
    }

    #[test]
    fn users_of_an_activity_of_several_buckets_go_to_their_own() {
        let mut batcher = Batcher::new(Limits { per_script: 100, ..LIMITS });
        let many = Activity { ack: Ack::Mysql, buckets: 4 };
        for handle in 0..40usize {
            let user = handle.to_string();
            assert_eq!(batcher.add(7, user.as_bytes(), &[0; 16], handle, || (handle >= 20).then_some(many)), Ok(()));
            if handle == 19 {
                batcher.depart().strays.into_iter().for_each(|strays| batcher.admit(strays, many));
            }
        }
        let scripts = batcher.depart().scripts;
        assert_eq!(scripts.len(), 4);
        for batch in scripts {
            assert_eq!(batch.ack, Ack::Mysql);
            let place = batch.place;
            batch.for_each(|user, _, handle| {
                assert_eq!(user, handle.to_string().as_bytes());
                assert_eq!(Place::of(7, 4, user), place);
            });
        }
    }

    #[test]
    fn beyond_the_bound_claims_are_not_taken_until_others_are_answered() {
        let mut batcher = Batcher::new(Limits { held: 3, ..LIMITS });
        give(&mut batcher, 1, 0..3);
        assert_eq!(batcher.add(1, b"u", &[0; 16], 3, || OPEN), Err(Full(3)));
        assert_eq!(batcher.depart().scripts.len(), 1);
        assert_eq!(batcher.add(2, b"u", &[0; 16], 3, || OPEN), Err(Full(3)), "under way is not answered");
        batcher.answered(2);
        give(&mut batcher, 2, 3..5);
        assert_eq!(batcher.add(2, b"u", &[0; 16], 5, || OPEN), Err(Full(5)));
    }

    #[test]
    fn a_change_of_ack_begins_a_new_batch() {
        let mut batcher = Batcher::new(LIMITS);
        give(&mut batcher, 1, 0..2);
        batcher.depart();
        give(&mut batcher, 1, 2..3);
        batcher.depart();
        give(&mut batcher, 1, 3..4);
        batcher.depart();
        let mysql = Some(Activity { ack: Ack::Mysql, buckets: 1 });
        assert_eq!(batcher.add(1, b"u", &[0; 16], 4, || mysql), Ok(()));
        let place = Place { activity_id: 1, bucket: 0 };
        batcher.landed(place);
        batcher.landed(place);
        let acks: Vec<_> = batcher.depart().scripts.iter().map(|batch| batch.ack).collect();
        assert_eq!(acks, [Ack::Redis, Ack::Mysql]);
    }

    #[test]
    fn a_lane_that_is_done_is_forgotten() {
        let mut batcher = Batcher::new(LIMITS);
        for activity_id in 1..1000 {
            give(&mut batcher, activity_id, 0..1);
            batcher.depart();
            batcher.landed(Place { activity_id, bucket: 0 });
            batcher.answered(1);
        }
        assert!(batcher.lanes.is_empty() && batcher.known.is_empty() && batcher.strays.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u32),
        Depart,
        Land,
    }

    proptest! {
        #[test]
        fn every_claim_leaves_once_in_its_activitys_order_within_the_limits(
            steps in prop::collection::vec(
                prop_oneof![4 => (1u32..4).prop_map(Step::Add), 1 => Just(Step::Depart), 1 => Just(Step::Land)], 1..200)
        ) {
            let mut batcher = Batcher::new(LIMITS);
            let mut under_way: VecDeque<Batch<(u32, usize)>> = VecDeque::new();
            let mut left: HashMap<u32, Vec<usize>> = HashMap::new();
            let mut added = 0;
            for step in steps.into_iter().chain(std::iter::repeat_n([Step::Depart, Step::Land], 300).flatten()) {
                match step {
                    Step::Add(activity_id) => {
                        prop_assert_eq!(batcher.add(activity_id, b"u", &[0; 16], (activity_id, added), || OPEN), Ok(()));
                        added += 1;
                    }
                    Step::Depart => under_way.extend(batcher.depart().scripts),
                    Step::Land => {
                        if let Some(batch) = under_way.pop_front() {
                            let place = batch.place;
                            prop_assert!((1..=LIMITS.per_script).contains(&batch.len()));
                            for (activity_id, handle) in batch.into_handles() {
                                prop_assert_eq!(activity_id, place.activity_id);
                                left.entry(activity_id).or_default().push(handle);
                                batcher.answered(1);
                            }
                            batcher.landed(place);
                        }
                    }
                }
                for activity_id in 1..4 {
                    let busy = under_way.iter().filter(|batch| batch.place.activity_id == activity_id).count();
                    prop_assert!(busy <= LIMITS.in_flight);
                }
            }
            prop_assert_eq!(left.values().map(Vec::len).sum::<usize>(), added);
            prop_assert!(left.values().all(|handles| handles.is_sorted()));
            prop_assert!(!batcher.has_work() && batcher.held() == 0 && batcher.lanes.is_empty());
        }
    }
}
