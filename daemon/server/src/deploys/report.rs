//! The plan of a deploy as administrators read it: why each node was chosen or refused.

use std::collections::HashMap;

use kontena_core::id::Id;
use kontena_core::scheduler::{Choice, Grid, Placement, Plan, Refusal};
use serde_json::{Map, Value, json};

/// The nodes that were refused for one instance alone are told up to this number.
const REFUSED_MAX: usize = 32;
/// How much is told of all instances together, as text: it shares a document with the deploy.
const TOLD_MAX: usize = 1 << 20;

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
    let mut placements: Vec<&Placement> = plan.placements.iter().collect();
    // What a deploy fails by is told whatever else there is no room for.
    placements.sort_by_key(|placement| placement.outcome.is_ok());
    let mut room = TOLD_MAX;
    let mut told: Vec<(i64, Value)> = Vec::new();
    for placed in placements {
        let of_it = placement(placed);
        let Some(left) = room.checked_sub(of_it.to_string().len()) else { break };
        room = left;
        told.push((placed.number, of_it));
    }
    told.sort_by_key(|(number, _)| *number);
    let more = plan.placements.len() - told.len();
    let mut report = Map::new();
    report.insert("instances".to_owned(), told.into_iter().map(|(_, told)| told).collect());
    if more > 0 {
        report.insert("more_instances".to_owned(), more.into());
    }
    report.insert("refused".to_owned(), plan.refused.iter().map(refusal).collect());
    report
}

#[cfg(test)]
mod tests {
    use kontena_core::scheduler::Unplaced;

    use super::*;

    #[test]
    fn of_many_instances_some_are_told_and_the_one_that_found_no_node_among_them() {
        const ALL: usize = 50_000;
        let placement = |number: i64| {
            let choice = Choice {
                node: Id::from_bytes([1; 12]),
                at: 0,
                stays: false,
                zone_load: 0,
                node_load: 0,
                rank: 10.0,
            };
            let outcome = if number == 49_999 { Err(Unplaced("no room".to_owned())) } else { Ok(choice) };
            Placement { number, outcome, refused: Vec::new() }
        };
        let grid = Grid::new(Vec::new());
        let of = |count: usize| {
            let plan = Plan { placements: (1..).take(count).map(placement).collect(), refused: Vec::new() };
            report(&grid, &HashMap::new(), &plan)
        };
        let many = of(ALL);
        let told = many["instances"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(told.iter().map(|told| told.to_string().len()).sum::<usize>() <= TOLD_MAX);
        assert_eq!(told[0]["instance_number"], 1);
        assert_eq!(told.last().map(|last| &last["error"]), Some(&Value::from("no room")));
        assert_eq!(many["more_instances"], ALL - told.len());
        let few = of(3);
        assert_eq!(few["instances"].as_array().map(Vec::len), Some(3));
        assert!(!few.contains_key("more_instances"), "all are told");
    }
}
