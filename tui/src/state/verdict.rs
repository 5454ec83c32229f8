//! Whether all is well, in one line.

use kontena_wire::cluster::{Cluster, MasterState};

use super::{Connection, State};
use crate::theme::Tone;
use crate::time;

/// From this age on a picture is called old.
pub(crate) const OLD_MS: u64 = 3_500;

/// The line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) tone: Tone,
    /// In two or three words.
    pub(crate) badge: String,
    /// What there is to know first.
    pub(crate) text: String,
}

fn verdict(tone: Tone, badge: &str, text: impl Into<String>) -> Verdict {
    Verdict { tone, badge: badge.to_owned(), text: text.into() }
}

impl State {
    /// Judges what is known.
    pub(crate) fn verdict(&self) -> Verdict {
        let Some(picture) = &self.picture else {
            return match &self.connection {
                Connection::Trying { target } => {
                    verdict(Tone::Note, "CONNECTING", format!("asking {target}"))
                }
                Connection::Live { target } => verdict(Tone::Note, "CONNECTED", format!("{target} answers")),
                Connection::Lost { reason, .. } => verdict(Tone::Bad, "NO MASTER ANSWERS", reason.clone()),
            };
        };
        let age = self.now.since(picture.at);
        match &self.connection {
            Connection::Lost { reason, .. } => {
                let text = format!("what is shown is {} old: {reason}", time::duration(age));
                return verdict(Tone::Bad, "CONNECTION LOST", text);
            }
            _ if age > OLD_MS => {
                let text = format!("what is shown is {} old: waiting for an answer", time::duration(age));
                return verdict(Tone::Bad, "NO ANSWER", text);
            }
            _ => {}
        }
        if let Some(failure) = &picture.cluster.failure {
            let text =
                format!("the master that answers does not reach it, and tells what it last saw: {failure}");
            return verdict(Tone::Bad, "NO DATABASE", text);
        }
        self.leadership(&picture.cluster).or_else(|| self.troubles(&picture.cluster)).unwrap_or_else(|| {
            let others = picture.cluster.masters.iter().filter(|m| m.state == MasterState::Standby).count();
            let stand = match others {
                0 => "nobody stands by".to_owned(),
                1 => "1 stands by".to_owned(),
                more => format!("{more} stand by"),
            };
            let text = format!("{}, {stand}", self.leads(&picture.cluster));
            if others == 0 {
                verdict(Tone::Note, "NO SPARE", format!("{text}: start a second master"))
            } else {
                verdict(Tone::Good, "ALL IS WELL", text)
            }
        })
    }

    fn leads(&self, cluster: &Cluster) -> String {
        let Some(leader) = &cluster.leader else { return "nobody leads".to_owned() };
        let since = time::parse(&leader.since).and_then(|since| time::between(since, self.now.wall_ms));
        let since = since.map(|ms| format!(" for {}", time::duration(ms))).unwrap_or_default();
        format!("{} leads term {}{since}", leader.name, leader.term)
    }

    fn leadership(&self, cluster: &Cluster) -> Option<Verdict> {
        let since = self.leaderless_since.map(|since| time::duration(self.now.since(since)));
        let since = since.unwrap_or_else(|| "a moment".to_owned());
        match &cluster.leader {
            None => {
                let text = format!("for {since} (last term {})", cluster.term);
                Some(verdict(Tone::Bad, "NOBODY LEADS", text))
            }
            Some(leader) if !leader.acting => {
                let text =
                    format!("{} holds term {} and has not acted for {since}", leader.name, leader.term);
                Some(verdict(Tone::Warn, "NOBODY ACTS", text))
            }
            Some(_) => None,
        }
    }

    fn troubles(&self, cluster: &Cluster) -> Option<Verdict> {
        let in_state = |state| {
            let names: Vec<&str> =
                cluster.masters.iter().filter(|m| m.state == state).map(|m| m.name.as_str()).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let leads = self.leads(cluster);
        for (state, tone) in [
            (MasterState::Lost, Tone::Warn),
            (MasterState::Unfit, Tone::Warn),
            (MasterState::Draining, Tone::Note),
        ] {
            if let Some(names) = in_state(state) {
                let badge = format!("A MASTER IS {}", state.name().to_uppercase());
                return Some(verdict(tone, &badge, format!("{names}; {leads}")));
            }
        }
        if let Some(master) = cluster.masters.iter().find(|master| !master.warnings.is_empty()) {
            let warning = master.warnings.first().cloned().unwrap_or_default();
            let text = format!("{}: {warning}", master.name);
            return Some(verdict(Tone::Warn, "A MASTER WARNS", text));
        }
        if let Some(duty) = cluster.duties.iter().find(|duty| crate::view::has_failed(duty)) {
            let result = duty.last_result.clone().unwrap_or_default();
            return Some(verdict(Tone::Warn, "A DUTY FAILS", format!("{}: {result}", duty.name)));
        }
        let versions: std::collections::BTreeSet<&str> =
            cluster.masters.iter().map(|master| master.version.as_str()).collect();
        if versions.len() > 1 {
            let versions: Vec<&str> = versions.into_iter().collect();
            return Some(verdict(Tone::Note, "MIXED VERSIONS", format!("{}; {leads}", versions.join(", "))));
        }
        None
    }
}
