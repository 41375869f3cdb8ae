//! What lines, shipments and units cost while coupons are applied one after another: the one place where a discount is
//! taken, so that a search and the decision that it leads to cannot disagree.
use smallvec::SmallVec;

use crate::cart::Cart;
use crate::offer::{Offer, Target};
use crate::split::{Stack, split};
use crate::units::{Runs, UnitRun, Units};

/// Current nets.
#[derive(Debug, Default)]
pub(crate) struct Nets {
    pub(crate) lines: Vec<i64>,
    pub(crate) shipments: Vec<i64>,
    /// By line, empty for a line whose units nobody asks for; or no entry at all.
    units: Vec<Units>,
}

impl Clone for Nets {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), shipments: self.shipments.clone(), units: self.units.clone() }
    }

    /// Keeps the allocations.
    fn clone_from(&mut self, source: &Self) {
        self.lines.clone_from(&source.lines);
        self.shipments.clone_from(&source.shipments);
        self.units.clone_from(&source.units);
    }
}

impl Nets {
    /// Before any coupon; with the units of the lines that `tracked` names.
    pub(crate) fn new(cart: &Cart, tracked: impl Fn(usize) -> bool) -> Self {
        let units = cart.lines.iter().enumerate().map(|(place, line)| {
            if tracked(place) { Units::new(line.quantity, line.unit_price) } else { Units::default() }
        });
        Self {
            lines: cart.lines.iter().map(|line| line.list()).collect(),
            shipments: cart.shipments.iter().map(|shipment| shipment.amount).collect(),
            units: units.collect(),
        }
    }

    /// Without units.
    pub(crate) fn of_lines(cart: &Cart) -> Self {
        Self { units: Vec::new(), ..Self::new(cart, |_| false) }
    }

    /// Of an offer: what there is to take from.
    pub(crate) fn basis(&self, offer: &Offer<'_>) -> i64 {
        let places = offer.places.iter();
        match (&offer.picks, offer.target) {
            (Some(picks), _) => {
                let lines = places.zip(&picks.counts);
                lines.map(|(&place, &count)| self.units[place].basis(count, picks.above)).sum()
            }
            (None, Target::Lines) => places.map(|&place| self.lines[place]).sum(),
            (None, Target::Shipments) => places.map(|&place| self.shipments[place]).sum(),
        }
    }

    /// Takes `discount`, at most the basis; tells (place, amount, units) of what lost something.
    pub(crate) fn take(&mut self, offer: &Offer<'_>, discount: i64, mut tell: impl FnMut(usize, i64, Runs<UnitRun>)) {
        let stacks: SmallVec<[Stack; 16]> = match (&offer.picks, offer.target) {
            (Some(picks), _) => {
                let lines = offer.places.iter().zip(&picks.counts);
                lines.map(|(&place, &count)| Stack::one(self.units[place].basis(count, picks.above))).collect()
            }
            (None, Target::Lines) => offer.places.iter().map(|&place| Stack::one(self.lines[place])).collect(),
            (None, Target::Shipments) => offer.places.iter().map(|&place| Stack::one(self.shipments[place])).collect(),
        };
        for (number, (&place, share)) in offer.places.iter().zip(split(discount, &stacks)).enumerate() {
            let amount = share.each + share.plus_one;
            if amount == 0 {
                continue;
            }
            if offer.target == Target::Shipments {
                self.shipments[place] -= amount;
                tell(place, amount, Runs::new());
                continue;
            }
            self.lines[place] -= amount;
            let (count, above) =
                offer.picks.as_ref().map_or((i64::MAX, 0), |picks| (picks.counts[number], picks.above));
            let runs = match self.units.get_mut(place) {
                Some(units) => units.take(amount, count, above),
                None => Runs::new(),
            };
            tell(place, amount, runs);
        }
    }

    /// Of a line: (count, net) in ascending net.
    pub(crate) fn units_ascending(&self, place: usize) -> Runs<(i64, i64)> {
        self.units.get(place).map_or_else(Runs::new, Units::ascending)
    }
}
