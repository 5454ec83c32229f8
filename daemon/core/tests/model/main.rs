//! A check of the election with the transition function that production runs, in a modelled world in which
//! everything goes wrong that can.
//!
//! `exhaustive` visits every state of several sets of runs, and says what each set leaves out. `walks` goes
//! through runs with all faults at once, which are too many to visit, at random. `biting` shows that the check
//! finds what it is there to find: it puts one wrong turn at a time into the rules, and expects to be told.
//!
//! The model has three masters, terms up to 3, a database with the lease and the fence, transactions with
//! snapshot isolation, and clocks that count 0.95, 1 or 1.05 of true time. What a run may meet is in
//! `budget`, what can happen and which interleavings are left out in `action`, which states are taken for
//! one in `normal_form`, and what must hold in `properties`.
#![allow(
    clippy::panic,
    missing_docs,
    reason = "a check that cannot go on has failed, and nobody reads its documentation elsewhere"
)]

mod action;
mod biting;
mod budget;
mod database;
mod exhaustive;
mod lease_model;
mod master;
mod normal_form;
mod properties;
mod recovery;
mod rules;
mod setting;
mod time;
mod walks;
mod world;
