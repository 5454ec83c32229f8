//! What is broken and mended: masters, the database's members, hosts with their agents.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kontena_testkit::agent::{Agent, Grid, Settings, Token};
use tokio::time::{Instant, sleep};

use super::plan::{BARRED_SECONDS, Blow, Deed, Whom};
use crate::administrators::GRIDS;
use crate::grids::Grids;
use crate::rig::{PATIENCE, Rig};

/// How long a master may take to stop: it sends its agents elsewhere, and the database may be away.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Everything that runs.
pub(super) struct World {
    pub(super) rig: Rig,
    pub(super) grids: Grids,
    tokens: Vec<Grid>,
    addresses: Vec<String>,
    /// By number; none while the host is lost.
    pub(super) agents: Vec<(Settings, Option<Agent>)>,
    /// What real agents of hosts that were lost would have stumbled over.
    faults: Vec<String>,
    /// Masters in trouble, by fault.
    struck: HashMap<usize, (usize, Blow)>,
    /// The member of the database that was killed.
    killed: Option<usize>,
}

impl World {
    /// Brings so many hosts up, as many in each grid.
    pub(super) async fn start(rig: Rig, grids: Grids, hosts: usize) -> Result<Self> {
        let tokens = grids.create_many(GRIDS).await?;
        let address = |url: String| url.trim_start_matches("http://").to_owned();
        let addresses = rig.places.iter().map(|place| address(place.master.url())).collect();
        let mut world = Self {
            rig,
            grids,
            tokens,
            addresses,
            agents: Vec::new(),
            faults: Vec::new(),
            struck: HashMap::new(),
            killed: None,
        };
        for number in 0..hosts {
            world.add_agent(number, number % GRIDS)?;
        }
        let deadline = Instant::now() + PATIENCE * 2;
        while world.connected() < hosts {
            if Instant::now() > deadline {
                bail!("{} of {hosts} agents are connected", world.connected());
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(world)
    }

    pub(super) fn connected(&self) -> usize {
        let connected = |(_, agent): &&(Settings, Option<Agent>)| {
            agent.as_ref().is_some_and(|agent| agent.record().connected() > 0)
        };
        self.agents.iter().filter(connected).count()
    }

    /// What real agents would have stumbled over, so far.
    pub(super) fn faults(&self) -> Vec<String> {
        let living = self.agents.iter().filter_map(|(_, agent)| agent.as_ref());
        self.faults.iter().cloned().chain(living.flat_map(|agent| agent.record().faults())).collect()
    }

    fn add_agent(&mut self, number: usize, grid: usize) -> Result<()> {
        let token = self.tokens.get(grid).context("no such grid")?.token.clone();
        let mut settings = Settings::new(self.addresses.clone(), Token::Grid(token), number);
        // A dead line is noticed sooner than by default, as runs are short.
        settings.ping_every = Duration::from_secs(5);
        let agent = Agent::start(settings.clone());
        self.agents.push((settings, Some(agent)));
        Ok(())
    }

    fn agent(&self, number: usize) -> Result<&Agent> {
        let (_, agent) = self.agents.get(number).context("no such agent")?;
        agent.as_ref().context("the host is lost")
    }

    /// Does what is planned; returns in words what it was. Orders are none of this.
    pub(super) async fn perform(&mut self, deed: &Deed) -> Result<String> {
        Ok(match *deed {
            Deed::Strike { fault, whom, blow } => self.strike(fault, whom, blow).await?,
            Deed::Heal { fault } => self.heal(fault).await?,
            Deed::KillPrimary => {
                let primary = self.rig.set.wait_for_primary(PATIENCE).await?;
                self.rig.set.members().get(primary).context("no such member")?.kill()?;
                self.killed = Some(primary);
                format!("the database's primary (member {}) is killed", primary + 1)
            }
            Deed::RestartMember => match self.killed.take() {
                Some(member) => {
                    self.rig.set.members().get(member).context("no such member")?.restart().await?;
                    format!("the database's member {} is back", member + 1)
                }
                None => "no member of the database is down".to_owned(),
            },
            Deed::StepDown => match self.rig.set.step_down(BARRED_SECONDS).await {
                Ok(()) => "the database's primary steps down".to_owned(),
                // As when there is none at that moment, or the others are not up to date.
                Err(error) => format!("the database's primary does not step down: {error:#}"),
            },
            Deed::DropAgent { agent } => {
                let (settings, living) = self.agents.get_mut(agent).context("no such agent")?;
                if let Some(lost) = living.take() {
                    self.faults.extend(lost.record().faults());
                }
                format!("the host {} is lost", settings.name)
            }
            Deed::ReturnAgent { agent } => {
                let (settings, living) = self.agents.get_mut(agent).context("no such agent")?;
                *living = Some(Agent::start(settings.clone()));
                format!("the host {} is back, with nothing on it", settings.name)
            }
            Deed::CutAgent { agent } => {
                self.agent(agent)?.cut();
                format!("node-{agent} is cut off")
            }
            Deed::SlowAgent { agent, by } => {
                self.agent(agent)?.slow(by);
                format!("node-{agent} takes {} ms for each message", by.as_millis())
            }
            Deed::HealAgent { agent } => {
                self.agent(agent)?.heal();
                format!("node-{agent} is as it was")
            }
            Deed::AddAgent { agent, grid } => {
                self.add_agent(agent, grid)?;
                format!("node-{agent} is new in grid-{}", grid + 1)
            }
            Deed::Order(_) => String::new(),
        })
    }

    async fn strike(&mut self, fault: usize, whom: Whom, blow: Blow) -> Result<String> {
        let index = match whom {
            Whom::Place(index) => index,
            // Nobody may lead right now.
            Whom::Leader => self.rig.leader().await.map_or(0, |(index, _)| index),
        };
        let place = self.rig.places.get_mut(index).context("no such master")?;
        let name = place.master.name().to_owned();
        let what = match blow {
            Blow::Stop => {
                place.master.stop(STOP_WITHIN).await?;
                place.kill()?;
                "is stopped"
            }
            Blow::Slow(delay) => {
                place.relay.as_ref().context("no relay")?.delay(Duration::from_millis(delay));
                "is slow to reach the database"
            }
            Blow::Kill => {
                place.kill()?;
                // The database may be away too; then the ttl decides.
                let released = place.master.release_lease()?.status.success();
                if released { "is killed" } else { "is killed, and its lease could not be given back" }
            }
            Blow::Lose => {
                place.kill()?;
                "is killed, with its host"
            }
            Blow::Pause => {
                place.master.pause()?;
                "is paused"
            }
            Blow::Cut => {
                place.relay.as_ref().context("no relay")?.cut();
                "is cut off from the database"
            }
        };
        self.struck.insert(fault, (index, blow));
        let leads = if whom == Whom::Leader { ", the leader," } else { "" };
        Ok(format!("{name}{leads} {what}"))
    }

    async fn heal(&mut self, fault: usize) -> Result<String> {
        let (index, blow) = self.struck.remove(&fault).context("no such fault")?;
        let place = self.rig.places.get_mut(index).context("no such master")?;
        let what = match blow {
            Blow::Slow(_) => {
                place.relay.as_ref().context("no relay")?.delay(Duration::ZERO);
                "is as quick as it was"
            }
            Blow::Kill | Blow::Lose | Blow::Stop => {
                place.master.launch().await?;
                "is started again"
            }
            Blow::Pause => {
                place.master.resume()?;
                "goes on"
            }
            Blow::Cut => {
                place.relay.as_ref().context("no relay")?.heal();
                "reaches the database again"
            }
        };
        Ok(format!("{} {what}", place.master.name()))
    }
}
