//! `ovation-bench`: a load tester made of actors, for servers that speak the contract.
//!
//! Who calls whom: `cli` reads the command line, `run` alternates targets and ceilings round by round, a `scenario` says
//! what is asked and checked, `drive` lets its users live as actors and `stats` counts what they saw; `outcome` is the
//! file that is kept, `compare` and `report` read nothing else. Imports nothing of the server's packages: what it knows,
//! it knows from the public protocol, the command line and `/proc`.

mod accounts;
pub mod bare;
mod ceilings;
pub mod cli;
mod compare;
mod contract;
mod crew;
mod display;
mod drive;
mod environment;
mod failure;
mod goal;
mod http;
mod outcome;
mod pacer;
mod peer;
mod procfs;
mod report;
mod run;
mod scenario;
mod scenarios;
mod server;
mod settings;
mod socket;
mod stats;
mod survey;
mod units;
mod world;

#[cfg(test)]
mod tests;
