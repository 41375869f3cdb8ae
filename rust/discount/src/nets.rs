//! What lines, shipments and units cost while coupons are applied one after another: the one place where a discount is
//! taken, so that a search and the decision that it leads to cannot disagree.
use crate::cart::Cart;
use crate::offer::{Offer, Target};
use crate::split::Table;
use crate::units::{Runs, UnitRun, Units};

/// Current nets.
#[derive(Debug, Default)]
pub(crate) struct Nets {
    pub(crate) lines: Vec<i64>,
    pub(crate) shipments: Vec<i64>,
    /// By line, empty for a line whose units nobody asks for; or no entry at all.
    units: Vec<Units>,
}

/// Where discounts are split over lines or shipments.
pub(crate) type Lots = Table<24>;

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
        Self { units: units.collect(), ..Self::of_lines(cart) }
    }

    /// Without units.
    pub(crate) fn of_lines(cart: &Cart) -> Self {
        Self { lines: cart.lists.clone(), shipments: cart.amounts.clone(), units: Vec::new() }
    }

    /// The same of lines and shipments, in their allocations.
    pub(crate) fn copy_without_units(&mut self, source: &Self) {
        self.lines.clone_from(&source.lines);
        self.shipments.clone_from(&source.shipments);
        self.units.clear();
    }

    /// Of an offer: what there is to take from.
    pub(crate) fn basis(&self, offer: &Offer<'_>) -> i64 {
        let places = offer.places.iter();
        match (&offer.picks, offer.target) {
            (Some(picks), _) => {
                let lines = places.zip(&picks.counts);
                lines.map(|(place, &count)| self.units[place].basis(count, picks.above)).sum()
            }
            (None, Target::Lines) => places.map(|place| self.lines[place]).sum(),
            (None, Target::Shipments) => places.map(|place| self.shipments[place]).sum(),
        }
    }

    /// Takes `discount` of the basis; tells (place, amount, units) of what lost something.
    pub(crate) fn take(
        &mut self,
        offer: &Offer<'_>,
        discount: i64,
        basis: i64,
        lots: &mut Lots,
        mut tell: impl FnMut(usize, i64, Runs<UnitRun>),
    ) {
        let places = offer.places.iter();
        match (&offer.picks, offer.target) {
            (Some(picks), _) => {
                let units = places.zip(&picks.counts);
                lots.split(
                    discount,
                    basis,
                    units.map(|(place, &count)| (1, self.units[place].basis(count, picks.above))),
                );
            }
            (None, Target::Lines) => lots.split(discount, basis, places.map(|place| (1, self.lines[place]))),
            (None, Target::Shipments) => lots.split(discount, basis, places.map(|place| (1, self.shipments[place]))),
        }
        for (number, (place, stack)) in offer.places.iter().zip(&lots.stacks).enumerate() {
            let amount = stack.each + stack.plus_one;
            if amount == 0 {
                continue;
            }
            let mut units = Runs::new();
            if offer.target == Target::Shipments {
                self.shipments[place] -= amount;
            } else {
                self.lines[place] -= amount;
                if let Some(own) = self.units.get_mut(place) {
                    let (count, above) =
                        offer.picks.as_ref().map_or((i64::MAX, 0), |picks| (picks.counts[number], picks.above));
                    units = own.take(amount, count, above, stack.net);
                }
            }
            tell(place, amount, units);
        }
    }

    /// Of a line: (count, net) in ascending net.
    pub(crate) fn units_ascending(&self, place: usize) -> Runs<(i64, i64)> {
        self.units.get(place).map_or_else(Runs::new, Units::ascending)
    }
}
