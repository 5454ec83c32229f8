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
            faults: match n("FAULTS") {
                0 => 8,
                f => f,
            },
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
                m.election.state.role,
                m.election.state.call,
                m.election.state.next_call_at,
                m.lease,
                m.fence,
                m.acting(setting)
            );
        }
        s
    }
}
#[cfg(test)]
mod histogram {
    use super::*;
    use stateright::Model;
    use std::collections::{HashMap, HashSet};
    #[test]
    fn histogram() {
        let n = |k: &str| std::env::var(k).ok().and_then(|v| v.parse().ok()).unwrap_or(0u8);
        let budget = budget::Budget {
            faults: match n("FAULTS") {
                0 => 8,
                f => f,
            },
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
        let mut model = lease_model::LeaseModel::new(rules::Rules::Production, u32::from(n("GRAIN")), budget);
        let mut seen = HashSet::new();
        let mut queue = model.init_states();
        let mut h: HashMap<String, usize> = HashMap::new();
        while let Some(w) = queue.pop() {
            if !seen.insert(w.clone()) {
                continue;
            }
            let role = |m: &master::Master| {
                format!(
                    "{}{:?}",
                    match &m.election.state.role {
                        kontena_core::election::Role::Following { sight, .. } =>
                            if sight.is_some() {
                                "Fs"
                            } else {
                                "F"
                            },
                        kontena_core::election::Role::Holding(h) =>
                            if h.confirmed_at.is_some() {
                                "H"
                            } else {
                                "h"
                            },
                        _ => "R",
                    },
                    m.health
                )
                .replace("Up", "")
            };
            let mut roles: Vec<_> = w.masters.iter().map(role).collect();
            roles.sort();
            *h.entry(format!(
                "t{} out{} left{} bars{} {:?}",
                w.database.term().0,
                w.outage,
                w.left.outages + w.left.pauses + w.left.restarts,
                w.masters.iter().filter(|m| m.election.state.bar.is_some()).count(),
                roles
            ))
            .or_default() += 1;
            if n("SHOW") > 0 && w.database.term().0 == 1 && w.left.pauses == 0 && roles == ["Fs", "Fs", "H"] {
                let t = |d: std::time::Duration| d.as_nanos() as i64 - 100_000;
                println!(
                    "SHOW {:?}",
                    w.masters
                        .iter()
                        .map(|m| (
                            match &m.election.state.role {
                                kontena_core::election::Role::Following { sight: Some(s), .. } =>
                                    format!("Fs since {} last {}", t(s.since), t(s.last)),
                                kontena_core::election::Role::Holding(h) => format!(
                                    "H conf {:?} {:?} since {}",
                                    h.confirmed_at.map(t),
                                    h.fence,
                                    t(h.since)
                                ),
                                r => format!("{r:?}"),
                            },
                            t(m.election.state.next_call_at),
                            m.election.state.call.as_ref().map(|c| (c.command.clone(), t(c.sent_at.monotonic))),
                            m.lease.clone(),
                            m.fence.clone(),
                            m.election.state.highest.0,
                            m.election.state.look_again,
                            m.election.state.renounced
                        ))
                        .collect::<Vec<_>>()
                );
            }
            let mut a = vec![];
            model.actions(&w, &mut a);
            for a in a {
                let x = model.next_state(&w, a).unwrap();
                if model.within_boundary(&x) {
                    queue.push(x);
                }
            }
        }
        let mut v: Vec<_> = h.into_iter().collect();
        v.sort_by_key(|x| std::cmp::Reverse(x.1));
        println!("total {}", seen.len());
        for (k, c) in v.iter().take(40) {
            println!("{c:6} {k}");
        }
    }
}
