//! What coupons take off a cart: (cart, coupons, rules, now) in, a decision out.
//!
//! Pure: no I/O, no clock, no Python, the same answer on every machine. Amounts are `i64` in minor units, intermediate
//! products are 128 bits wide. The contract is docs/discounts.md.
//!
//! Layout:
//! - `violation`: what is wrong with an input, as (field, text)
//! - `cart`, `terms`, `scope`, `coupon`, `rules`: the inputs; each is checked once, by its `new`
//! - `refusal`: why a coupon is left out
//! - `offer`: one coupon against the cart as sent, before any other coupon: is it eligible, what does it promise
//! - `places`: lines or shipments as a set
//! - `nets`: what lines, shipments and units cost by now, and the taking of a discount
//! - `tally`: what is left to pay while coupons are applied one after another; floors, caps, budgets, stacking
//! - `split`: largest-remainder allocation, over lines, shipments and units alike
//! - `units`: the units of one line, as runs of equal net
//! - `decision`: `apply_given`, which puts the above in order, and its answer
//! - `problem`, `search`: the choice among coupons as numbers, and branch and bound over them
//! - `best`: `best`, which chooses, and the certificate of its choice
mod best;
mod cart;
mod coupon;
mod decision;
mod nets;
mod offer;
mod places;
mod problem;
mod refusal;
mod rules;
mod scope;
mod search;
mod split;
mod tally;
mod terms;
mod units;
mod violation;

pub use best::{BestDecision, Certificate, RunnerUp, WORK, best, best_within};
pub use cart::{Cart, CartSpec, Currency, Line, MAX_LINES, MAX_QUANTITY, MAX_SHIPMENTS, Shipment};
pub use coupon::{Coupon, CouponSpec, State};
pub use decision::{
    Applied, Decision, Hint, LineReceipt, LineShare, Rejected, ShipmentReceipt, apply_given, price_each,
};
pub use refusal::Refusal;
pub use rules::{MAX_SUBMITTED, Rules, RulesSpec};
pub use scope::ScopeSpec;
pub use terms::{Class, FixedPrice, Kind, NthItem, Overshoot, Repeat, Terms, TermsSpec, Tier};
pub use units::{Runs, UnitRun};
pub use violation::{Violation, Violations};
