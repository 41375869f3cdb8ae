//! Random numbers that are the same on every machine: SplitMix64, a zipf law by its cumulative sums, and a spread of
//! bits. Traces are made from seeds, so a table can be made again.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        spread(self.0)
    }

    /// In 0..bound.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u32
    }

    /// In 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn hits(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

/// SplitMix64's finalizer: neighbouring numbers become unrelated ones.
pub fn spread(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Ranks 0..count, rank r as often as 1 / (r + 1)^exponent.
pub struct Zipf {
    sums: Vec<f64>,
    all: f64,
}

impl Zipf {
    pub fn new(count: u32, exponent: f64) -> Self {
        let mut all = 0.0;
        let sums = (1..=count)
            .map(|rank| {
                all += f64::from(rank).powf(-exponent);
                all
            })
            .collect();
        Self { sums, all }
    }

    pub fn rank(&self, dice: &mut Dice) -> u32 {
        let wanted = dice.unit() * self.all;
        self.sums.partition_point(|sum| *sum <= wanted).min(self.sums.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_as_often_as_the_law_says() {
        let (law, mut dice) = (Zipf::new(1000, 0.9), Dice::new(1));
        let mut seen = [0u32; 1000];
        for _ in 0..1_000_000 {
            seen[law.rank(&mut dice) as usize] += 1;
        }
        for rank in [0usize, 1, 9, 99] {
            let expected = 1_000_000.0 * ((rank + 1) as f64).powf(-0.9) / law.all;
            assert!((f64::from(seen[rank]) - expected).abs() < 5.0 * expected.sqrt(), "rank {rank}: {}", seen[rank]);
        }
    }

    #[test]
    fn a_seed_makes_the_same_numbers_again() {
        let draw = |seed| (0..8).scan(Dice::new(seed), |dice, _| Some(dice.next())).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
