//! The original's API over real HTTP: real masters, a real database, and what was recorded of the original.

mod concurrency;
mod explain;
mod hostile;
mod provider;
mod replay;
mod routes;
mod streams;
mod takeover;
mod world;
