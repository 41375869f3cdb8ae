//! The second judge: every set of up to 22 candidates, by rules written down once more, one number a unit and nothing
//! shared with the calculator but its inputs. `judge [cases] [candidates] [seed]`; fails at the first case where the
//! calculator's best is not the best.
mod cases;
mod plain;

use std::env;
use std::process::ExitCode;

use couponry_discount::{Refusal, best};

fn main() -> ExitCode {
    let number =
        |place: usize, otherwise: u64| env::args().nth(place).map_or(Ok(otherwise), |text| text.parse::<u64>());
    let (Ok(count), Ok(candidates), Ok(seed)) = (number(1, 200), number(2, 22), number(3, 1)) else {
        eprintln!("usage: judge [cases] [candidates, at most 22] [seed]");
        return ExitCode::FAILURE;
    };
    let mut sets = 0;
    for case in 0..count {
        let seed = seed.wrapping_add(case);
        match compare(seed, candidates.min(22) as i64) {
            Ok(looked_at) => sets += looked_at,
            Err(difference) => {
                eprintln!("seed {seed}: {difference}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{count} cases of {candidates} candidates, {sets} sets that apply whole: no better set, no other less_by");
    ExitCode::SUCCESS
}

/// How many sets were looked at, or where the two disagree.
fn compare(seed: u64, candidates: i64) -> Result<u64, String> {
    let case = cases::Case::random(seed, candidates);
    let (cart, coupons, rules) = case.checked().map_err(|violations| violations.to_string())?;
    let found = best(&cart, &coupons, &rules, cases::NOW).map_err(|violations| violations.to_string())?;
    let judged = plain::judge(&case);
    let chosen = found.decision.applied.iter().map(|entry| 1_u32 << entry.coupon).sum::<u32>();
    if !found.certificate.exact {
        return Err(format!("bounded after {} nodes", found.certificate.nodes));
    }
    if (found.decision.discount, chosen) != (judged.best.total, judged.best.set) {
        return Err(format!("{} by {chosen:b}, the judge has {:?}", found.decision.discount, judged.best));
    }
    for entry in &found.decision.rejected {
        let less_by = judged.with[entry.coupon].map(|total| judged.best.total - total);
        let told = match entry.refusal {
            Refusal::NotInBest { less_by } => Some(less_by),
            _ => None,
        };
        if told != less_by {
            return Err(format!("coupon {}: {:?}, the judge has {less_by:?}", entry.coupon, entry.refusal));
        }
    }
    Ok(judged.sets)
}
