//! A cluster for tests: three masters, one of them with a note, duties, agents, and a failover a minute ago.

mod workloads;

use kontena_wire::agents::{Agent, AgentList};
use kontena_wire::cluster::{
    Agents, Cluster, Duty, DutyState, Leader, LeaseSight, Master, MasterState, Person, Reign,
};
use kontena_wire::events::{self, Happening, Standing};

use crate::action::Action;
use crate::clock::Moment;
use crate::event::{Event, Link, Stamped};
use crate::preferences::{File, Preferences};
use crate::state::{ContextName, Shell, State};
use crate::time::Zone;
use crate::update::update;

pub(crate) use workloads::{answer, full, log, services, stacks};

/// 2026-11-22 12:00:00 UTC.
const BEGUN_MS: i64 = 1_795_348_800_000;

/// So many milliseconds after the beginning.
pub(crate) fn at(ms: u64) -> Moment {
    Moment { wall_ms: BEGUN_MS.saturating_add_unsigned(ms), mono_ms: 1_000_000 + ms }
}

pub(crate) fn rfc3339(offset_ms: i64) -> String {
    format!("{:.3}", jiff::Timestamp::from_millisecond(BEGUN_MS + offset_ms).unwrap())
}

fn person(number: u8) -> Person {
    Person { id: format!("{number:02x}").repeat(16), name: format!("master-{number}") }
}

fn master(number: u8, state: MasterState) -> Master {
    let Person { id, name } = person(number);
    Master {
        id,
        url: format!("http://10.0.0.{number}:9292"),
        name,
        version: "0.1.0".to_owned(),
        state,
        started_at: rfc3339(-7_200_000),
        last_seen_ms: Some(400),
        agents: 3,
        mongo_rtt_ms: Some(0.8 + f64::from(number)),
        fingerprint: "8add2562dad6be4c".to_owned(),
        warnings: Vec::new(),
    }
}

pub(crate) fn reign(term: u64, offset_ms: i64) -> Reign {
    Reign {
        term,
        from: Some(person(1)),
        to: person(2),
        reason: Some("crashed".to_owned()),
        gap_ms: Some(41),
        at: rfc3339(offset_ms),
    }
}

/// As `GET /v1/cluster` answers.
pub(crate) fn cluster() -> Cluster {
    let duty = |name: &str, failures, result: &str| Duty {
        name: name.to_owned(),
        state: DutyState::Waiting,
        last_run_at: Some(rfc3339(-3_000)),
        last_result: Some(result.to_owned()),
        next_run_at: Some(rfc3339(2_000)),
        runs: 1204,
        failures,
    };
    let Person { id, name } = person(2);
    Cluster {
        version: "0.1.0".to_owned(),
        compat_version: "1.5.4".to_owned(),
        term: 14,
        leader: Some(Leader {
            id,
            name,
            url: Some("http://10.0.0.2:9292".to_owned()),
            term: 14,
            since: rfc3339(-60_000),
            acting: true,
        }),
        lease: Some(LeaseSight { ttl_ms: 2000, renewed_ms_ago: 300 }),
        masters: vec![
            master(1, MasterState::Standby),
            master(2, MasterState::Acting),
            master(3, MasterState::Standby),
        ],
        agents: Agents { connected: 9, total: 12 },
        duties: vec![
            duty("history", 0, "term 14 is recorded"),
            duty("masters", 2, "3 masters, 0 of them ended"),
            duty("original_lock", 0, "held"),
        ],
        history: vec![reign(14, -60_000), reign(13, -600_000)],
        cloud: None,
        failure: None,
    }
}

pub(crate) fn agents(count: usize) -> AgentList {
    let agent = |number: usize| Agent {
        id: format!("{number:024x}"),
        name: format!("node-{number}"),
        grid: if number.is_multiple_of(3) { "staging" } else { "production" }.to_owned(),
        connected: !number.is_multiple_of(7),
        master: Some(format!("master-{}", number % 3 + 1)),
        version: Some("1.5.4".to_owned()),
        since: Some(rfc3339(-86_400_000)),
        rtt_ms: Some(f64::from(u32::try_from(number % 90).unwrap()) / 10.0 + 0.4),
    };
    AgentList { agents: (1..=count).map(agent).collect() }
}

/// A program of this size that is connected and sees the cluster.
pub(crate) fn state(size: (u16, u16)) -> State {
    let mut preferences = Preferences::new(&File::default()).unwrap();
    preferences.zone = Zone::named("utc").unwrap();
    let context = |name: &str, shell| ContextName {
        name: name.to_owned(),
        description: "of a test".to_owned(),
        warning: None,
        shell,
    };
    let contexts = vec![
        context("prod", Shell::Url("http://10.0.0.1:9292".to_owned())),
        context("local", Shell::Socket("/run/kontena-master/admin.sock".to_owned())),
    ];
    let mut state = State::new(preferences, contexts, 0, size, at(0));
    let target = "http://10.0.0.1:9292".to_owned();
    send(&mut state, 0, Event::Link(Link::Trying { target: target.clone() }));
    send(&mut state, 1, Event::Link(Link::Connected { target }));
    for ms in [2, 10, 20] {
        send(&mut state, ms, Event::Link(Link::Picture(Box::new(cluster()))));
    }
    for (n, (offset, what)) in happenings().into_iter().enumerate() {
        let event = events::Event { at: rfc3339(offset), by: "master-2".to_owned(), what };
        send(&mut state, 30, Event::Link(Link::Happened { id: Some(format!("14.0000abcd.{n}")), event }));
    }
    state
}

fn happenings() -> Vec<(i64, Happening)> {
    let becomes =
        |number, was, is| Happening::Master { master: person(number), was, is, warnings: Vec::new() };
    vec![
        (-60_020, Happening::Lease { term: 13, holder: None }),
        (-59_995, Happening::Lease { term: 14, holder: Some(person(2)) }),
        (-59_994, Happening::Standing { standing: Standing::Elected, term: Some(14) }),
        (-59_982, Happening::Standing { standing: Standing::Acting, term: Some(14) }),
        (-59_900, becomes(1, Some(MasterState::Acting), None)),
        (-30_000, becomes(1, None, Some(MasterState::Standby))),
        (
            -29_000,
            Happening::Duty { name: "masters".to_owned(), failed: true, result: "failed: late".to_owned() },
        ),
        (-20_000, Happening::Database { answers: false, reason: Some("no answer within 900 ms".to_owned()) }),
        (-18_000, Happening::Database { answers: true, reason: None }),
        (-10_000, Happening::Missed { count: Some(12), reason: "this client was too slow".to_owned() }),
    ]
}

/// Lets an event happen so many milliseconds after the beginning.
pub(crate) fn send(state: &mut State, ms: u64, event: Event) -> Vec<Action> {
    update(state, Stamped { at: at(ms), event })
}

/// Presses keys, written with spaces between them.
pub(crate) fn press(state: &mut State, keys: &str) -> Vec<Action> {
    let ms = state.now.since(at(0));
    keys.split_whitespace().flat_map(|key| send(state, ms, Event::Key(key.parse().unwrap()))).collect()
}
