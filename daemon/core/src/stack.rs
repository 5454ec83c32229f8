//! Stacks: services that are made, deployed and removed together. In which order, and what comes next, from what the
//! database says; nothing of it lives in a process.

mod decide;
mod order;

pub use decide::{
    DeployAct, DeployView, Member, MemberDeploy, PATIENCE, RemovalAct, RemovalView, decide_deploy,
    decide_removal,
};
pub use order::{LinkFault, Linked, order, order_whatever};

/// The stack of services without one.
pub const NO_STACK: &str = "null";

/// How a stack does, seen from its services.
#[must_use]
pub fn state<'a>(services: &(impl Iterator<Item = &'a str> + Clone), deploying: bool) -> &'static str {
    let all = |state: &str| services.clone().all(|found| found == state);
    if all("initialized") {
        "initialized"
    } else if deploying {
        "deploying"
    } else if all("stopped") {
        "stopped"
    } else if all("running") {
        "running"
    } else {
        "partially_running"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_does_what_its_services_do() {
        let cases: [(&[&str], bool, &str); 7] = [
            (&[], false, "initialized"),
            (&["initialized", "initialized"], true, "initialized"),
            (&["initialized", "running"], true, "deploying"),
            (&["stopped", "stopped"], false, "stopped"),
            (&["running", "running"], false, "running"),
            (&["running", "stopped"], false, "partially_running"),
            (&["running", "initialized"], false, "partially_running"),
        ];
        for (services, deploying, expected) in cases {
            assert_eq!(state(&services.iter().copied(), deploying), expected, "{services:?}");
        }
    }
}
