//! A day of a shop with a flash sale in the evening, as its reads reach one worker. Every number is an assumption, and
//! here: users come by a zipf law all day, a third of them waits for the sale and reloads its page, few win.
use crate::{
    dice::{Dice, Zipf, spread},
    trace::{Kind, Step, Trace, What},
};

const USERS: u32 = 200_000;
const SESSIONS: u32 = 150_000;
const TEMPLATES: u32 = 500;
const ACTIVITIES: u32 = 40;
const WAITING: u32 = 60_000;
const WINNERS: u32 = 5_000;

const HOUR: u32 = 3_600_000;
const SALE_AT: u32 = 20 * HOUR;
const WAIT: u32 = HOUR / 6;

const TEMPLATE: u8 = 0;
const ACTIVITY: u8 = 1;
const USER: u8 = 2;

/// Sessions by the hour, in parts: little at night, most in the evening.
const BY_HOUR: [u32; 24] = [3, 2, 1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 9, 8, 7, 7, 7, 8, 9, 11, 12, 12, 9, 6];

struct Day {
    steps: Vec<Step>,
    dice: Dice,
    users: Zipf,
    templates: Zipf,
    activities: Zipf,
}

/// The day at one `scale`th of its size (1: whole), with the capacities of the default settings scaled alike.
pub fn flash_sale_day(scale: u32) -> Trace {
    let mut day = Day {
        steps: Vec::new(),
        dice: Dice::new(20),
        users: Zipf::new(USERS / scale, 0.8),
        templates: Zipf::new(TEMPLATES, 0.9),
        activities: Zipf::new(ACTIVITIES, 1.2),
    };
    let parts: u32 = BY_HOUR.iter().sum();
    for (hour, part) in (0u32..).zip(BY_HOUR) {
        for _ in 0..SESSIONS / scale * part / parts {
            let at = hour * HOUR + day.dice.below(HOUR);
            day.session(at);
        }
    }
    for number in 0..WAITING / scale {
        day.waiting(number, scale);
    }
    for hour in 0..24 {
        day.edits(hour * HOUR);
    }
    day.steps.sort_by_key(|step| step.at_ms);
    let capacity = |mib: u64| (mib << 20) / u64::from(scale);
    let kinds = vec![
        Kind { name: "template", capacity: capacity(32) },
        Kind { name: "activity", capacity: capacity(8) },
        Kind { name: "user", capacity: capacity(64) },
    ];
    Trace { name: "flash-sale day", kinds, steps: day.steps }
}

impl Day {
    fn step(&mut self, at_ms: u32, kind: u8, key: u32, what: What) {
        self.steps.push(Step { at_ms, key, bytes: bytes_of(kind, key), kind, what });
    }

    fn read(&mut self, at_ms: u32, kind: u8, key: u32) {
        self.step(at_ms, kind, key, What::Read);
    }

    /// A user's coupons are shown with their templates.
    fn read_user(&mut self, at_ms: u32, user: u32) {
        self.read(at_ms, USER, user);
        self.read_templates(at_ms, coupons_of(user));
    }

    fn read_templates(&mut self, at_ms: u32, count: u32) {
        for _ in 0..count {
            let template = self.templates.rank(&mut self.dice);
            self.read(at_ms, TEMPLATE, template);
        }
    }

    /// A coupon page, the own coupons with their templates; often a cart that is priced again; sometimes an order.
    fn session(&mut self, begin: u32) {
        let user = spread(u64::from(self.users.rank(&mut self.dice))) as u32;
        let mut at = begin;
        let activity = self.activities.rank(&mut self.dice);
        self.read(at, ACTIVITY, activity);
        self.read_templates(at, 6);
        at += 5_000 + self.dice.below(20_000);
        self.read_user(at, user);
        if self.dice.hits(0.3) {
            self.step(at + 2_000, USER, user, What::Change); // a coupon is received
            self.read_user(at + 3_000, user);
        }
        if self.dice.hits(0.5) {
            for _ in 0..1 + self.dice.below(4) {
                at += 3_000 + self.dice.below(15_000);
                self.read_user(at, user);
            }
            if self.dice.hits(0.3) {
                self.step(at + 1_000, USER, user, What::Change); // locked
                self.step(at + 30_000, USER, user, What::Change); // used
                self.read_user(at + 31_000, user);
            }
        }
    }

    /// Somebody waits for the sale, reloads its page ever more often, claims, and looks whether the coupon is there.
    fn waiting(&mut self, number: u32, scale: u32) {
        let user = spread(u64::from(number) | 1 << 40) as u32;
        let sale = 0;
        let mut at = SALE_AT - self.dice.below(WAIT);
        while at < SALE_AT {
            self.read(at, ACTIVITY, sale);
            self.read(at, TEMPLATE, sale);
            self.read_user(at, user);
            at += 4_000 + (SALE_AT.saturating_sub(at)) / 4 + self.dice.below(10_000);
        }
        let claim = SALE_AT + self.dice.below(4_000);
        for repeat in 0..1 + self.dice.below(3) {
            self.read(claim + repeat * 700, ACTIVITY, sale);
            self.read(claim + repeat * 700, TEMPLATE, sale);
        }
        if number < WINNERS / scale {
            self.step(claim + 50, USER, user, What::Change);
        }
        self.read_user(claim + 3_000, user);
    }

    /// People in the back office change some templates and activities.
    fn edits(&mut self, begin: u32) {
        for _ in 0..20 {
            let (at, template) = (begin + self.dice.below(HOUR), self.templates.rank(&mut self.dice));
            self.step(at, TEMPLATE, template, What::Change);
        }
        for _ in 0..6 {
            let (at, activity) = (begin + self.dice.below(HOUR), self.activities.rank(&mut self.dice));
            self.step(at, ACTIVITY, activity, What::Change);
        }
    }
}

/// Payloads as the service writes them: a template 250 to 1,000 bytes, an activity 200, a coupon 110.
fn bytes_of(kind: u8, key: u32) -> u16 {
    let chance = (spread(u64::from(key)) >> 32) as u32;
    let bytes = match kind {
        TEMPLATE => 250 + chance % 750,
        ACTIVITY => 200,
        _ => 110 * coupons_of(key),
    };
    bytes as u16
}

fn coupons_of(user: u32) -> u32 {
    1 + (spread(u64::from(user)) >> 40) as u32 % 8
}
