//! What a scenario is, and the list of them.
//!
//! Owns the seam between how load is measured (`run`) and what is asked and checked (`scenarios`). A new scenario is a
//! file there and a line in [`all`].

use std::future::Future;

use anyhow::bail;
use futures_util::future::{LocalBoxFuture, join3};
use serde::{Deserialize, Serialize};

use crate::ceilings::Ceiling;
use crate::display::Display;
use crate::drive::{Behaviour, Driver, Load, Pace};
pub use crate::goal::Goal;
use crate::peer::Peer;
use crate::procfs::{self, Usage};
use crate::scenarios::{chat, fan_out, feed, followers, idle, like_storm, live_counters, login_storm, mix, user_info};
use crate::settings::Settings;
use crate::stats::{Lane, Window};
use crate::units::{micros, show_bytes, show_micros, show_percent, show_rate, whole};

/// Everything that a scenario may use.
pub struct Stage<'a> {
    /// Whom it measures.
    pub peer: &'a Peer,
    /// What was asked for.
    pub settings: &'a Settings,
    /// Drives loads.
    pub driver: &'a Driver,
    /// Tells people.
    pub display: &'a Display,
}

/// A workload with its checks.
pub trait Scenario {
    /// Its name on the command line.
    fn name(&self) -> &'static str;
    /// The workload in a sentence.
    fn about(&self) -> &'static str;
    /// What its lanes are compared with.
    fn figures(&self) -> &'static [Figure];
    /// Obtains accounts and looks around; whatever must not be measured.
    fn prepare<'a>(&'a self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Box<dyn Prepared>>>;
}

/// A scenario on one target.
pub trait Prepared {
    /// One round: warm-up and measurement, in one phase or several.
    fn round<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Phase>>>;

    /// Compares what the target shows with what it acknowledged, after all rounds. May be asked again after a restart.
    fn verify<'a>(&'a mut self, stage: &'a Stage<'a>) -> LocalBoxFuture<'a, anyhow::Result<Vec<Check>>>;

    /// Connections of its main load; the ceilings are measured with as many.
    fn connections(&self) -> usize;

    /// Bytes of a page of the feed, for a ceiling of the same size.
    fn page_bytes(&self) -> Option<usize> {
        None
    }

    /// Whether a restart could bring something to light, which is so wherever something was written.
    fn writes(&self) -> bool {
        false
    }
}

/// What a lane is measured against.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// The lane.
    pub lane: &'static str,
    /// What a unit of it is called, where an operation answers several.
    pub unit: Option<&'static str>,
    /// The most that the machine can do of this kind.
    pub ceiling: Option<Ceiling>,
    /// The aim.
    pub goal: Option<Goal>,
}

/// A stretch of a round with its own load.
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// What was seen, lane by lane.
    pub lanes: Vec<Lane>,
    /// The length of the window in seconds.
    pub seconds: f64,
    /// What the server used.
    pub server: Option<Usage>,
    /// What the bench itself used.
    pub client: Option<Usage>,
    /// How late the bench itself was, as the 99th percentile in microseconds; open loops only.
    pub lateness_p99: Option<f64>,
    /// Figures that are no operations.
    pub measures: Vec<Measure>,
}

/// A figure that is neither a throughput nor a latency, once a round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// What it is.
    pub name: &'static str,
    /// How it reads.
    pub unit: Unit,
    /// In this round.
    pub value: f64,
    /// The ceiling that it is divided by: bytes by its memory a connection, microseconds by its processor time an operation,
    /// rates by the operations that it does in a second of a processor.
    pub ceiling: Option<Ceiling>,
    /// The aim.
    pub goal: Option<Goal>,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

/// How a measure reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Microseconds.
    Micros,
    /// A share of 1.
    Share,
    /// Times a second.
    PerSecond,
}

impl Unit {
    /// For people.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Bytes => show_bytes(whole(value)),
            Self::Micros => show_micros(value),
            Self::Share => show_percent(value),
            Self::PerSecond => format!("{}/s", show_rate(value)),
        }
    }
}

/// Something that must be true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What was seen.
    pub detail: String,
}

impl Check {
    /// A check with its finding.
    pub fn new(name: &str, passed: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            passed,
            detail: detail.into(),
        }
    }
}

/// All scenarios, in the order in which `run all` takes them.
pub fn all() -> [&'static dyn Scenario; 10] {
    [
        &user_info::UserInfo,
        &feed::FeedPages,
        &like_storm::LikeStorm,
        &mix::Mix,
        &chat::Chat,
        &fan_out::FanOut,
        &followers::Followers,
        &live_counters::LiveCounters,
        &idle::Idle,
        &login_storm::LoginStorm,
    ]
}

/// The scenarios of a name; `all` names all of them.
pub fn find(name: &str) -> anyhow::Result<Vec<&'static dyn Scenario>> {
    if name == "all" {
        return Ok(all().to_vec());
    }
    let Some(scenario) = all().into_iter().find(|scenario| scenario.name() == name) else {
        let names: Vec<_> = all().iter().map(|scenario| scenario.name()).collect();
        bail!("there is no scenario {name:?}: choose all, {}", names.join(", "));
    };
    Ok(vec![scenario])
}

impl Stage<'_> {
    /// The window of a phase that begins now.
    pub fn window(&self) -> Window {
        Window::after(self.settings.warm_up, self.settings.duration, self.settings.grace())
    }

    /// The pace that was asked for.
    pub fn pace(&self) -> Pace {
        self.settings
            .rate
            .map_or(Pace::Closed, |per_second| Pace::Open { per_second })
    }

    /// One load in one window, with what both sides used. Gives the users back.
    pub async fn phase<B: Behaviour>(&self, name: &'static str, load: Load<B>) -> anyhow::Result<(Phase, Vec<B>)> {
        let window = self.window();
        self.display
            .begin(&format!("{} · {name}", self.peer.name()), self.settings.length());
        let (driven, server, client) = self.watched(window, self.driver.drive(load, window)).await;
        let driven = driven?;
        let phase = Phase {
            name,
            lanes: driven.lanes,
            seconds: window.seconds(),
            server,
            client,
            measures: Vec::new(),
            lateness_p99: (!driven.lateness.is_empty()).then(|| micros(driven.lateness.value_at_quantile(0.99))),
        };
        Ok((phase, driven.users))
    }

    /// Runs a load beside the sampling of server and client.
    pub async fn watched<T>(&self, window: Window, load: impl Future<Output = T>) -> (T, Option<Usage>, Option<Usage>) {
        let server = async {
            match self.peer.pid() {
                Some(pid) => procfs::sample(pid, window).await,
                None => None,
            }
        };
        join3(load, server, procfs::sample(std::process::id(), window)).await
    }
}
