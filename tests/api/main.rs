//! The original's API over real HTTP: real masters, a real database, and what was recorded of the original.

mod administration;
mod certificates;
mod commands;
mod concurrency;
mod engines;
mod explain;
mod host;
mod hostile;
mod hygiene;
mod provider;
mod proxies;
mod replay;
mod routes;
mod services;
mod statistics;
mod streams;
mod switch_over;
mod takeover;
mod way_back;
mod world;
