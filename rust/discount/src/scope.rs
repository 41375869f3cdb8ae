//! Which lines a coupon is for: a line is included when any include list names it, and exclusion always wins.
use crate::cart::Line;
use crate::violation::Violations;

pub const MAX_SCOPE_IDS: usize = 1_000;

/// A scope as sent; all lists empty: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSpec {
    pub include_skus: Vec<String>,
    pub include_spus: Vec<String>,
    pub include_categories: Vec<String>,
    pub include_shops: Vec<String>,
    pub exclude_skus: Vec<String>,
    pub exclude_spus: Vec<String>,
    pub exclude_categories: Vec<String>,
    pub exclude_shops: Vec<String>,
}

/// A checked scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    include: Names,
    exclude: Names,
    everything: bool,
}

impl Scope {
    pub(crate) fn new(spec: ScopeSpec, violations: &mut Violations) -> Self {
        let mut scope = Self {
            include: Names {
                skus: IdSet::new("include_skus", spec.include_skus, violations),
                spus: IdSet::new("include_spus", spec.include_spus, violations),
                categories: IdSet::new("include_categories", spec.include_categories, violations),
                shops: IdSet::new("include_shops", spec.include_shops, violations),
            },
            exclude: Names {
                skus: IdSet::new("exclude_skus", spec.exclude_skus, violations),
                spus: IdSet::new("exclude_spus", spec.exclude_spus, violations),
                categories: IdSet::new("exclude_categories", spec.exclude_categories, violations),
                shops: IdSet::new("exclude_shops", spec.exclude_shops, violations),
            },
            everything: false,
        };
        scope.everything = scope.include.is_empty() && scope.exclude.is_empty();
        scope
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether it names goods and not only shops.
    pub(crate) fn names_goods(&self) -> bool {
        self.include.has_goods() || self.exclude.has_goods()
    }

    pub(crate) fn takes_line(&self, line: &Line) -> bool {
        (self.include.is_empty() || self.include.name(line)) && !self.exclude.name(line)
    }

    /// Of a scope that does not name goods.
    pub(crate) fn takes_shop(&self, shop_id: &str) -> bool {
        (self.include.shops.is_empty() || self.include.shops.contains(shop_id)) && !self.exclude.shops.contains(shop_id)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    skus: IdSet,
    spus: IdSet,
    categories: IdSet,
    shops: IdSet,
}

impl Names {
    fn has_goods(&self) -> bool {
        !(self.skus.is_empty() && self.spus.is_empty() && self.categories.is_empty())
    }

    fn is_empty(&self) -> bool {
        self.shops.is_empty() && !self.has_goods()
    }

    fn name(&self, line: &Line) -> bool {
        self.skus.contains(&line.sku_id)
            || self.shops.contains(&line.shop_id)
            || line.spu_id.as_ref().is_some_and(|spu_id| self.spus.contains(spu_id))
            || (!self.categories.is_empty() && line.category_ids.iter().any(|id| self.categories.contains(id)))
    }
}

/// Sorted, so that a look-up is a binary search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct IdSet(Vec<String>);

impl IdSet {
    fn new(field: &str, mut ids: Vec<String>, violations: &mut Violations) -> Self {
        if violations.at_most_entries(field, ids.len(), MAX_SCOPE_IDS) {
            for (position, id) in ids.iter().enumerate() {
                violations.within(|| format!("{field}[{position}]"), |found| found.shop_made_id("", id));
            }
        }
        ids.sort_unstable();
        Self(ids)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, id: &str) -> bool {
        !self.0.is_empty() && self.0.binary_search_by(|own| own.as_str().cmp(id)).is_ok()
    }
}
