//! What is done to services and stacks: nothing without a question, and each with the command of the original that
//! does the same.

use serde_json::json;
use tui_input::Input;

use super::commands::may_act;
use crate::action::{Action, Operation};
use crate::command::Command;
use crate::place::{LogOf, ServicePlace, StackPlace};
use crate::state::logs::Logs;
use crate::state::overlay::{Ask, Confirm, Harm, Overlay};
use crate::state::{Chosen, State};
use crate::theme::Tone;

/// How many instances a service can have.
const INSTANCES_MAX: u32 = 65_000;

/// Opens the log of the selected service or stack.
pub(super) fn logs(state: &mut State) {
    let of = match state.chosen() {
        Some(Chosen::Service(service)) => LogOf::Service(ServicePlace::of(service)),
        Some(Chosen::Stack(stack)) => LogOf::Stack(StackPlace::of(stack)),
        None => return state.tell(Tone::Dim, "choose a service in the list of services or of stacks"),
    };
    state.overlay = Some(Overlay::Logs(Box::new(Logs::new(of))));
}

/// Asks whether to act on the selected row.
pub(super) fn act(state: &mut State, command: Command) {
    if !may_act(state) {
        return;
    }
    let confirm = match state.chosen() {
        Some(Chosen::Service(service)) => {
            of_service(command, &ServicePlace::of(service), service.wanted, service.running)
        }
        Some(Chosen::Stack(stack)) => of_stack(command, &StackPlace::of(stack)),
        None => return state.tell(Tone::Warn, "choose a service or a stack in its list first"),
    };
    match confirm {
        Ok(confirm) => state.overlay = Some(Overlay::Confirm(confirm)),
        Err(why) => state.tell(Tone::Warn, why),
    }
}

fn of_service(
    command: Command,
    place: &ServicePlace,
    wanted: i64,
    running: i64,
) -> Result<Confirm, &'static str> {
    let (verb, title, consequence, ask) = match command {
        Command::Deploy => (
            "deploy",
            "Deploy a service",
            format!(
                "{place} is placed anew where that is needed, and its instances are replaced one after the other by what it is defined to be now."
            ),
            Ask::Enter,
        ),
        Command::Scale => (
            "scale",
            "Scale a service",
            format!(
                "{place} shall have {wanted} instance{} now, and {running} run{}. With another number it is deployed.",
                if wanted == 1 { "" } else { "s" },
                if running == 1 { "s" } else { "" },
            ),
            Ask::Number,
        ),
        Command::Restart => (
            "restart",
            "Restart a service",
            format!("The containers of all {running} running instances of {place} are restarted at once."),
            Ask::Enter,
        ),
        Command::Start => {
            ("start", "Start a service", format!("The instances of {place} shall run."), Ask::Enter)
        }
        Command::Stop => (
            "stop",
            "Stop a service",
            format!("All instances of {place} are stopped, and stay so until somebody starts or deploys it."),
            Ask::Text(place.name.clone()),
        ),
        _ => return Err("that cannot be done to a service"),
    };
    let shell = format!("kontena service {verb} --grid {} {place}", place.grid);
    Ok(confirm(title, consequence, ask, shell, verb, &place.to_string(), &place.route()))
}

fn of_stack(command: Command, place: &StackPlace) -> Result<Confirm, &'static str> {
    let (verb, title, consequence, ask) = match command {
        Command::Deploy => (
            "deploy",
            "Deploy a stack",
            format!(
                "The services of {place} are made what its newest revision says, and deployed one after the other. Those that the revision has no more are removed."
            ),
            Ask::Enter,
        ),
        Command::Restart => (
            "restart",
            "Restart a stack",
            format!("The containers of all services of {place} are restarted at once."),
            Ask::Enter,
        ),
        Command::Stop => (
            "stop",
            "Stop a stack",
            format!("All services of {place} are stopped, and stay so until somebody deploys it."),
            Ask::Text(place.name.clone()),
        ),
        Command::Start => return Err("a stack is started by deploying it"),
        Command::Scale => return Err("choose one of the services of the stack to scale it"),
        _ => return Err("that cannot be done to a stack"),
    };
    let shell = format!("kontena stack {verb} --grid {} {place}", place.grid);
    Ok(confirm(title, consequence, ask, shell, verb, &place.to_string(), &place.route()))
}

fn confirm(
    title: &'static str,
    consequence: String,
    ask: Ask,
    shell: String,
    verb: &'static str,
    name: &str,
    route: &str,
) -> Confirm {
    let operation = Operation {
        what: format!("{verb} of {name}"),
        route: format!("{route}/{verb}"),
        body: "{}".to_owned(),
    };
    let harm = Harm::Operate { title, consequence, operation };
    Confirm { harm, ask, input: Input::default(), shell }
}

/// The operation with what was answered.
pub(super) fn answered(operation: Operation, ask: &Ask, input: &Input) -> Action {
    let body = match (ask, number(input.value())) {
        (Ask::Number, Some(instances)) => json!({ "instances": instances }).to_string(),
        _ => operation.body,
    };
    Action::Operate(Operation { body, ..operation })
}

/// How many instances were typed, if that is possible.
pub(crate) fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|number| *number <= INSTANCES_MAX)
}
