//! The cached tables, as the binlog's readers watch them: one table for L1, L2 and the doctor.
use couponry_binlog::{Alias, Key, Member, Watched};

/// UNUSED and LOCKED: the statuses of a live coupon.
const LIVE: &[i64] = &[1, 2];

pub(super) const WATCHED: [Watched; 3] = [
    Watched {
        table: "templates",
        kind: "template",
        key: Key::Row,
        row: "id",
        version: "version",
        member: None,
        alias: Some(Alias { kind: "template_key", column: "template_key" }),
    },
    Watched {
        table: "activities",
        kind: "activity",
        key: Key::Row,
        row: "id",
        version: "version",
        member: None,
        alias: Some(Alias { kind: "activity_key", column: "activity_key" }),
    },
    Watched {
        table: "user_coupons",
        kind: "user",
        key: Key::Text("user_id"),
        row: "id",
        version: "version",
        member: Some(Member { column: "status", values: LIVE }),
        alias: None,
    },
];
