//! An exhaustive check of the election, with the transition function that production runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a check that cannot go on has failed"
)]

mod action;
mod budget;
mod database;
mod lease_model;
mod master;
mod normal_form;
mod properties;
mod recovery;
mod rules;
mod setting;
mod time;
mod world;

#[cfg(test)]
mod explore {
    use super::*;
    use stateright::{Checker, Model};
    #[test]
    fn explore() {
        let n = |k: &str| std::env::var(k).ok().and_then(|v| v.parse().ok()).unwrap_or(0u8);
        let budget = budget::Budget {
            lost: n("LOST"),
            delayed: n("DELAYED"),
            unknown: n("UNKNOWN"),
            pauses: n("PAUSES"),
            restarts: n("RESTARTS"),
            outages: n("OUTAGES"),
            renounces: n("RENOUNCES"),
            hints: n("HINTS"),
            transactions: n("TX"),
        };
        let mut model = lease_model::LeaseModel::new(
            rules::Rules::Production,
            match n("GRAIN") {
                0 => 20,
                g => u32::from(g),
            },
            budget,
        );
        use time::Rate::*;
        model.rates = match n("RATES") {
            0 => vec![[Exact; 3]],
            1 => vec![[Slow, Exact, Fast]],
            2 => vec![[Slow, Slow, Fast]],
            _ => vec![[Slow, Fast, Fast]],
        };
        model.setting.suspended = n("SUSPENDED") > 0;
        let setting = model.setting;
        let record = model.recovery.clone();
        let start = std::time::Instant::now();
        let checker = model
            .checker()
            .threads(2)
            .finish_when(stateright::HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        println!(
            "{budget:?} unique {} states {} depth {} in {:?}; recovery {record:?}",
            checker.unique_state_count(),
            checker.state_count(),
            checker.max_depth(),
            start.elapsed()
        );
        for (name, path) in checker.discoveries() {
            println!("VIOLATED {name}");
            for (w, a) in path.into_vec() {
                println!("{}\n   {a:?}", brief(setting, &w));
            }
        }
    }
    fn brief(setting: setting::Setting, w: &world::World) -> String {
        let mut s = format!(
            "  lease {:?} fence {:?} late {:?} outage {}",
            w.database.lease.map(|l| (l.version.term.0, l.version.seq, l.holder)),
            w.database.fence.0,
            w.late,
            w.outage
        );
        for (i, m) in w.masters.iter().enumerate() {
            s += &format!(
                "\n     {i} {:?} {:?} role {:?} call {:?} next {:?} {:?}/{:?} acting {:?}",
                m.rate,
                m.health,
                m.state.role,
                m.state.call,
                m.state.next_call_at,
                m.lease,
                m.fence,
                m.acting(setting)
            );
        }
        s
    }
}
