//! Listing warehouses, page by page.

use super::{Aws, Signed};
use crate::world::{Warehouse, WarehouseKind};

/// The warehouses of this kind in the caller's account and the call's region, by name.
pub(super) fn here(aws: &Aws, call: &Signed<'_>, kind: WarehouseKind) -> Vec<Warehouse> {
    let fits = |it: &Warehouse| it.id.kind == kind && it.id.account == call.caller.account && it.id.region == call.region;
    aws.world.warehouses().into_iter().filter(fits).collect()
}

/// At most `limit` of those that come after `marker`, and the marker of the next page when there is more. Real markers are
/// opaque; these are names.
pub(super) fn page(all: Vec<Warehouse>, marker: &str, limit: usize) -> (Vec<Warehouse>, Option<String>) {
    let mut rest: Vec<Warehouse> = all.into_iter().filter(|it| it.id.name.as_str() > marker).collect();
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|it| it.id.name.clone());
    (rest, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_until_none_is_left() {
        let prod = |it: &Warehouse| it.id.kind == WarehouseKind::Workgroup && it.id.account == crate::seed::PROD;
        let all: Vec<Warehouse> = crate::seed::warehouses().into_iter().filter(prod).collect();
        assert_eq!(all.len(), 3);
        let names = |pages: &[Warehouse]| pages.iter().map(|it| it.id.name.clone()).collect::<Vec<_>>();
        for limit in 1..4 {
            let (mut seen, mut marker) = (Vec::new(), Some(String::new()));
            while let Some(after) = marker {
                let (shown, next) = page(all.clone(), &after, limit);
                assert!((1..=limit).contains(&shown.len()));
                seen.extend(names(&shown));
                marker = next;
            }
            assert_eq!(seen, names(&all), "{limit}");
        }
    }
}
