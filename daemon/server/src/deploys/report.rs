//! The plan of a deploy as administrators read it: why each node was chosen or refused.

use std::collections::HashMap;

use kontena_core::id::Id;
use kontena_core::scheduler::{Choice, Grid, Placement, Plan, Refusal};
use serde_json::{Map, Value, json};

/// The nodes that were refused for one instance alone are told up to this number.
const REFUSED_MAX: usize = 32;

pub(super) fn report(grid: &Grid, node_names: &HashMap<Id, String>, plan: &Plan) -> Map<String, Value> {
    let refusal = |refusal: &Refusal| {
        let node = grid.nodes().get(refusal.node).map_or("", |node| node.name.as_str());
        json!({ "node": node, "filter": refusal.reason.name(), "reason": refusal.reason.to_string() })
    };
    let placement = |placement: &Placement| {
        let refused: Vec<Value> = placement.refused.iter().take(REFUSED_MAX).map(refusal).collect();
        match &placement.outcome {
            Ok(choice) => {
                let Choice { node, at: _, stays, zone_load, node_load, rank } = choice;
                json!({
                    "instance_number": placement.number, "node": node_names.get(node), "stays": stays,
                    "zone_load": zone_load, "node_load": node_load, "rank": rank, "refused": refused,
                })
            }
            Err(unplaced) => json!({
                "instance_number": placement.number, "node": null, "error": unplaced.0, "refused": refused,
            }),
        }
    };
    let mut report = Map::new();
    report.insert("instances".to_owned(), plan.placements.iter().map(placement).collect());
    report.insert("refused".to_owned(), plan.refused.iter().map(refusal).collect());
    report
}
