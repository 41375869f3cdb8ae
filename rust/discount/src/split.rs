//! Largest-remainder allocation, the one rule for lines, shipments and units: floor(D·net/ΣN) each, and the spare minor
//! units to the larger remainder, then the larger net, then the earlier place.
use smallvec::SmallVec;

/// `count` neighbours of equal net. A line is a stack of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    pub(crate) count: i64,
    pub(crate) net: i64,
}

impl Stack {
    pub(crate) fn one(net: i64) -> Self {
        Self { count: 1, net }
    }
}

/// What the members of a stack get: `each`, and the first `plus_one` of them one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) each: i64,
    pub(crate) plus_one: i64,
}

pub(crate) type Shares = SmallVec<[Share; 16]>;

/// Splits `amount`, which is 0 to the sum of the stacks; that sum fits in 64 bits. Nobody gets more than its net, and the
/// shares sum up to `amount` exactly: a stack with a remainder has room for one more, as its floor is below its net.
pub(crate) fn split(amount: i64, stacks: &[Stack]) -> Shares {
    let total: i64 = stacks.iter().map(|stack| stack.count * stack.net).sum();
    debug_assert!((0..=total).contains(&amount));
    if amount == total {
        return stacks.iter().map(|stack| Share { each: stack.net, plus_one: 0 }).collect();
    }
    let mut shares = Shares::with_capacity(stacks.len());
    let mut waiting: SmallVec<[(i64, i64, usize); 16]> = SmallVec::with_capacity(stacks.len());
    let mut spare = amount;
    for (place, stack) in stacks.iter().enumerate() {
        let (each, remainder) = scale(amount, stack.net, total);
        spare -= stack.count * each;
        shares.push(Share { each, plus_one: 0 });
        if remainder > 0 {
            waiting.push((remainder, stack.net, place));
        }
    }
    if spare > 0 {
        waiting.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then(a.2.cmp(&b.2)));
        for (_, _, place) in waiting {
            let given = spare.min(stacks[place].count);
            shares[place].plus_one = given;
            spare -= given;
            if spare == 0 {
                break;
            }
        }
    }
    debug_assert_eq!(spare, 0);
    shares
}

/// Quotient and remainder of `amount · net / total`, where `amount < total` or all are equal.
fn scale(amount: i64, net: i64, total: i64) -> (i64, i64) {
    match amount.checked_mul(net) {
        Some(product) => (product / total, product % total),
        None => {
            let product = i128::from(amount) * i128::from(net);
            let total = i128::from(total);
            // Both are below `net` and `total`, which are 64 bits wide.
            ((product / total) as i64, (product % total) as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(amount: i64, nets: &[i64]) -> Vec<i64> {
        let stacks: Vec<_> = nets.iter().map(|&net| Stack { count: 1, net }).collect();
        split(amount, &stacks).iter().map(|share| share.each + share.plus_one).collect()
    }

    #[test]
    fn spare_units_go_to_the_larger_remainder() {
        assert_eq!(amounts(100, &[166, 166, 168]), [33, 33, 34]);
    }

    #[test]
    fn equal_remainders_go_to_the_larger_net() {
        // 5 of 10: 0.5 of 1 and 1.5 of 3 and 3.0 of 6.
        assert_eq!(amounts(5, &[1, 3, 6]), [0, 2, 3]);
    }

    #[test]
    fn equal_remainders_and_nets_go_to_the_earlier_place() {
        assert_eq!(amounts(100, &[66, 67, 67]), [33, 34, 33]);
        assert_eq!(amounts(1, &[5, 5, 5]), [1, 0, 0]);
    }

    #[test]
    fn a_member_without_net_gets_nothing() {
        assert_eq!(amounts(3, &[0, 2, 0, 2]), [0, 2, 0, 1]);
        assert_eq!(amounts(0, &[0, 0]), [0, 0]);
    }

    #[test]
    fn products_beyond_64_bits_are_exact() {
        let net = i64::MAX / 2;
        assert_eq!(amounts(net + 1, &[net, net]), [net / 2 + 1, net / 2 + 1]);
        assert_eq!(amounts(i64::MAX - 2, &[net, net]), [net, net - 1]);
    }

    #[test]
    fn a_stack_is_split_as_its_members_would_be() {
        let stacks = [Stack { count: 3, net: 100 }, Stack { count: 2, net: 99 }];
        let members = amounts(200, &[100, 100, 100, 99, 99]);
        let spread: Vec<_> = split(200, &stacks)
            .iter()
            .zip(&stacks)
            .flat_map(|(share, stack)| (0..stack.count).map(|member| share.each + i64::from(member < share.plus_one)))
            .collect();
        assert_eq!(spread, members);
    }
}
