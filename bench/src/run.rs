//! A run: targets and ceilings in turn, round by round, then the checks.
//!
//! Owns the order of things. Each round asks every target and every ceiling once, in the same minute, so that a machine
//! that is slow for a while is slow for all of them; the order turns around every other round, so that nobody is always
//! first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use crate::bare::Bare;
use crate::ceilings::{Bench, Ceiling, CeilingRound};
use crate::display::Display;
use crate::drive::Driver;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::outcome::{CeilingOutcome, Outcome, PeerOutcome, SCHEMA, figures, measures};
use crate::peer::Peer;
use crate::scenario::{Check, Phase, Prepared, Scenario, Stage};
use crate::settings::Settings;

/// What stays the same over all scenarios of a command.
pub struct Runner<'a> {
    /// What was asked for.
    pub settings: Settings,
    /// The program of the bare server: this one.
    pub program: PathBuf,
    /// Where results go.
    pub out: &'a Path,
    /// The machine.
    pub environment: Environment,
    /// Tells people.
    pub display: &'a Display,
}

/// A target on its way through the rounds.
struct Contender {
    peer: Peer,
    prepared: Option<Box<dyn Prepared>>,
    rounds: Vec<Vec<Phase>>,
    outcome: PeerOutcome,
}

impl Runner<'_> {
    /// Runs one scenario against its targets. An error is a run that could not be made; a target that fails a check is an
    /// outcome.
    pub async fn run(&self, scenario: &dyn Scenario, peers: Vec<Peer>) -> anyhow::Result<Outcome> {
        let (ticks, seconds) = mpsc::unbounded_channel();
        let driver = Driver {
            threads: self.settings.threads,
            ticks,
        };
        tokio::select! {
            outcome = self.rounds(scenario, peers, &driver) => outcome,
            () = self.display.watch(seconds) => anyhow::bail!("the display ended before the run"),
        }
    }

    async fn rounds(&self, scenario: &dyn Scenario, peers: Vec<Peer>, driver: &Driver) -> anyhow::Result<Outcome> {
        let started_at = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339)?;
        let bare = Bare::start(&self.program, None)?;
        let mut contenders = Vec::new();
        for peer in peers {
            contenders.push(self.prepare(scenario, peer, driver).await?);
        }
        let mut ceilings = BTreeMap::<Ceiling, Vec<CeilingRound>>::new();
        for round in 0..self.settings.rounds {
            let (name, all) = (scenario.name(), self.settings.rounds);
            self.display.say(&format!("{name}: round {} of {all}", round + 1));
            let count = contenders.len();
            for turn in 0..count {
                let at = if round % 2 == 0 { turn } else { count - 1 - turn };
                self.round(&mut contenders[at], driver).await?;
            }
            self.ceilings(scenario, &contenders, &bare, driver, &mut ceilings)
                .await?;
        }
        let summaries = ceilings.iter();
        let mut outcome = Outcome {
            schema: SCHEMA.to_owned(),
            scenario: scenario.name().to_owned(),
            about: scenario.about().to_owned(),
            started_at,
            settings: serde_json::to_value(&self.settings)?,
            environment: self.environment.clone(),
            peers: Vec::new(),
            ceilings: summaries
                .filter_map(|(ceiling, rounds)| CeilingOutcome::of(*ceiling, rounds))
                .collect(),
            passed: false,
        };
        for contender in contenders {
            let peer = self.conclude(scenario, contender, &ceilings, driver).await?;
            outcome.peers.push(peer);
        }
        let mut checks = outcome.peers.iter().flat_map(|peer| &peer.checks);
        outcome.passed = checks.all(|check| check.passed);
        Ok(outcome)
    }

    /// What the scenario is measured against, and the disk where somebody writes.
    async fn ceilings(
        &self,
        scenario: &dyn Scenario,
        contenders: &[Contender],
        bare: &Bare,
        driver: &Driver,
        ceilings: &mut BTreeMap<Ceiling, Vec<CeilingRound>>,
    ) -> anyhow::Result<()> {
        let mut prepared = contenders.iter().flat_map(|contender| &contender.prepared);
        let disk = prepared.any(|prepared| prepared.writes()).then_some(Ceiling::Fdatasync);
        let wanted = scenario
            .figures()
            .iter()
            .filter_map(|figure| figure.ceiling)
            .chain(disk);
        let connections = contenders.iter().filter_map(Contender::connections).max();
        let bench = Bench {
            bare,
            settings: &self.settings,
            driver,
            connections: connections.or(self.settings.connections).unwrap_or(64),
            page_bytes: contenders
                .iter()
                .find_map(|contender| contender.prepared.as_ref()?.page_bytes()),
            out: self.out,
        };
        for ceiling in wanted.collect::<BTreeSet<_>>() {
            self.display.begin(ceiling.title(), bench.length());
            let round = ceiling.measure(&bench).await?;
            ceilings.entry(ceiling).or_default().push(round);
        }
        Ok(())
    }

    fn stage<'s>(&'s self, peer: &'s Peer, driver: &'s Driver) -> Stage<'s> {
        Stage {
            peer,
            settings: &self.settings,
            driver,
            display: self.display,
        }
    }

    async fn prepare(&self, scenario: &dyn Scenario, peer: Peer, driver: &Driver) -> anyhow::Result<Contender> {
        let mut contender = Contender {
            outcome: PeerOutcome {
                name: peer.name().to_owned(),
                url: peer.target().url().to_owned(),
                version: peer.version().await,
                ..PeerOutcome::default()
            },
            peer,
            prepared: None,
            rounds: Vec::new(),
        };
        match scenario.prepare(&self.stage(&contender.peer, driver)).await {
            Ok(prepared) => contender.prepared = Some(prepared),
            Err(error) => contender.broke("preparation", error)?,
        }
        // What logging in left behind is no part of the load, and of two servers only the first had to do it.
        if let Err(error) = contender.peer.restart() {
            contender.fail("restart", &error);
        }
        Ok(contender)
    }

    async fn round(&self, contender: &mut Contender, driver: &Driver) -> anyhow::Result<()> {
        let Some(prepared) = &mut contender.prepared else {
            return Ok(());
        };
        let stage = self.stage(&contender.peer, driver);
        match prepared.round(&stage).await {
            Ok(phases) => {
                for lane in phases.iter().flat_map(|phase| &phase.lanes) {
                    let room = 10_usize.saturating_sub(contender.outcome.failures.len());
                    contender
                        .outcome
                        .failures
                        .extend(lane.failures.iter().take(room).cloned());
                }
                contender.rounds.push(phases);
            }
            Err(error) => contender.broke("round", error)?,
        }
        Ok(())
    }

    async fn conclude(
        &self,
        scenario: &dyn Scenario,
        mut contender: Contender,
        ceilings: &BTreeMap<Ceiling, Vec<CeilingRound>>,
        driver: &Driver,
    ) -> anyhow::Result<PeerOutcome> {
        contender.outcome.figures = figures(scenario, &contender.rounds, ceilings);
        contender.outcome.measures = measures(&contender.rounds, ceilings);
        self.verify(&mut contender, driver, "").await?;
        let writes = contender.prepared.as_ref().is_some_and(|prepared| prepared.writes());
        if writes {
            match contender.peer.restart() {
                Ok(true) => self.verify(&mut contender, driver, ", after a restart").await?,
                Ok(false) => {}
                Err(error) => contender.fail("restart", &error),
            }
        }
        contender.outcome.check_errors();
        // A server that crashed or does not stop in order has failed, whatever its answers were.
        if let Err(error) = contender.peer.stop() {
            contender
                .outcome
                .checks
                .push(Check::new("orderly end", false, error.to_string()));
        }
        Ok(contender.outcome)
    }

    async fn verify(&self, contender: &mut Contender, driver: &Driver, when: &str) -> anyhow::Result<()> {
        let Some(prepared) = &mut contender.prepared else {
            return Ok(());
        };
        match prepared.verify(&self.stage(&contender.peer, driver)).await {
            Ok(checks) => contender.outcome.checks.extend(checks.into_iter().map(|check| Check {
                name: format!("{}{when}", check.name),
                ..check
            })),
            Err(error) => contender.broke("verification", error)?,
        }
        Ok(())
    }
}

impl Contender {
    /// A target that does not keep to the contract has failed, and the others go on; any other error is the run's.
    fn broke(&mut self, what: &str, error: anyhow::Error) -> anyhow::Result<()> {
        if error.downcast_ref::<Failure>().is_none() {
            return Err(error);
        }
        self.fail(what, &error);
        Ok(())
    }

    fn fail(&mut self, what: &str, error: &anyhow::Error) {
        self.prepared = None;
        self.outcome.failures.push(error.to_string());
        self.outcome.checks.push(Check::new(what, false, error.to_string()));
    }

    fn connections(&self) -> Option<usize> {
        self.prepared.as_ref().map(|prepared| prepared.connections())
    }
}
