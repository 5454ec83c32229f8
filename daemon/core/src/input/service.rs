//! Services.

mod fields;
mod parts;

use serde_json::{Map, Value};

pub use fields::{ENV_MAX, ServiceFields};
pub use parts::{
    CertificateUse, DeployOptions, HealthCheckInput, HookInput, LinkInput, MountInput, PortInput, SecretUse,
};

use super::is_strict_name;
use crate::form::{Form, Invalid, boolean, integer, text};
use crate::scheduler::INSTANCES_MAX;

/// The longest name that a host may have.
const HOST_NAME_MAX: usize = 64;

/// A service to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewService {
    /// Unique in its stack.
    pub name: String,
    /// Whether its instances keep data.
    pub stateful: bool,
    /// The rest.
    pub fields: ServiceFields,
}

impl NewService {
    /// Reads and judges a request for a service of this stack and grid.
    pub fn read(input: &Map<String, Value>, stack: &str, grid: &str) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let image = form.required("image", &text());
        let name = form.required("name", &text().matching(is_strict_name));
        let stateful = form.required("stateful", &boolean());
        let fields = ServiceFields::read(&mut form, image, true);
        let made = (|| Some(Self { name: name?, stateful: stateful?, fields }))();
        let service = form.conclude(made)?;
        let mut faults = service.fields.judge();
        if service.stateful && service.fields.volumes_from.as_ref().is_some_and(|from| !from.is_empty()) {
            faults.add("volumes_from", "Cannot combine stateful & volumes_from");
        }
        judge_host(&mut faults, &service.name, service.fields.instances, stack, grid);
        faults.check()?;
        Ok(service)
    }
}

/// The last instance's host must have a name that hosts can have.
fn judge_host(faults: &mut Invalid, name: &str, instances: Option<i64>, stack: &str, grid: &str) {
    let domain = crate::agents::pod::Service::domain(stack, grid);
    let host = format!("{name}-{}.{domain}", instances.unwrap_or(1));
    if host.len() > HOST_NAME_MAX {
        let length = host.len();
        faults.add(
            "name",
            format!("Total grid service name length {length} is over limit ({HOST_NAME_MAX}): {host}"),
        );
    }
}

/// A service to be changed: only what is given.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceChange {
    /// What is given.
    pub fields: ServiceFields,
    /// Whether it gets a new revision even if nothing changes.
    pub force: bool,
}

impl ServiceChange {
    /// Reads and judges a request to change a service.
    pub fn read(input: &Map<String, Value>, stateful: bool) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let mut fields = ServiceFields::read(&mut form, None, false);
        fields.image = form.optional("image", &text());
        let force = form.optional("force", &boolean()).unwrap_or_default();
        let change = form.conclude(Some(Self { fields, force }))?;
        let mut faults = change.fields.judge();
        if stateful && change.fields.volumes_from.as_ref().is_some_and(|from| !from.is_empty()) {
            faults.add("volumes_from", "Cannot combine stateful & volumes_from");
        }
        faults.check()?;
        Ok(change)
    }

    /// Judges what depends on where the service is.
    pub fn judge(&self, name: &str, stack: &str, grid: &str) -> Result<(), Invalid> {
        let mut faults = Invalid::default();
        judge_host(&mut faults, name, self.fields.instances, stack, grid);
        faults.check()
    }
}

/// How many instances are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// So many.
    pub instances: i64,
}

impl Scale {
    /// Reads a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let instances = form.required("instances", &integer().within(0, INSTANCES_MAX.into()));
        form.conclude(instances.map(|instances| Self { instances }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn new(input: &Value) -> Result<NewService, Value> {
        let input = input.as_object().unwrap();
        NewService::read(input, "null", "main").map_err(|faults| Value::Object(faults.0))
    }

    #[test]
    fn every_fault_is_told_in_the_original_s_words() {
        let input = json!({
            "name": "hooked", "image": "redis:3.0", "stateful": false, "hooks": [{ "type": "bad", "cmd": 1 }],
            "ports": [{ "node_port": "a", "container_port": 1 }], "env": ["=x"],
        });
        let expected = json!({
            "env": ["Env[0] isn't in the right format"],
            "ports": [{ "node_port": "Node Port isn't an integer" }],
            "hooks": "Hooks isn't a hash",
        });
        assert_eq!(new(&input), Err(expected));
        assert_eq!(
            new(&json!({ "name": "a", "image": "b" })),
            Err(json!({ "stateful": "Stateful is required" }))
        );
        let cases = [
            (json!({ "strategy": "odd" }), json!({ "strategy": "Strategy not supported" })),
            (json!({ "cpu_shares": 2000 }), json!({ "cpu_shares": "Cpu Shares is too big" })),
            (json!({ "net": "none" }), json!({ "net": "Net isn't in the right format" })),
            (json!({ "pid": "x" }), json!({ "pid": "Pid isn't an option" })),
            (
                json!({ "health_check": { "port": 80, "protocol": "http", "timeout": 10, "interval": 5 } }),
                json!({ "health_check": "Interval has to be bigger than timeout" }),
            ),
            (
                json!({ "health_check": { "port": 70000, "protocol": "http" } }),
                json!({ "health_check": { "port": "Port is too big" } }),
            ),
            (
                json!({ "health_check": { "protocol": "http" } }),
                json!({ "health_check": { "port": "Port is required" } }),
            ),
            (
                json!({ "volumes": ["x y"] }),
                json!({ "volumes": ["Volume definition 'x y' not in right format"] }),
            ),
            (
                json!({ "stateful": true, "volumes_from": ["a-%s"] }),
                json!({ "volumes_from": "Cannot combine stateful & volumes_from" }),
            ),
            (
                json!({ "stop_signal": "TERM KILL" }),
                json!({ "stop_signal": "Stop Signal isn't in the right format" }),
            ),
            (
                json!({ "stop_grace_period": "soon" }),
                json!({ "stop_grace_period": "Stop Grace Period isn't in the right format" }),
            ),
        ];
        for (more, expected) in cases {
            let mut input = json!({ "name": "a", "image": "b", "stateful": false });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(new(&input), Err(expected), "{more}");
        }
        let long = "x".repeat(50);
        let message =
            format!("Total grid service name length 71 is over limit (64): {long}-1.main.kontena.local");
        let fault = new(&json!({ "name": long, "image": "b", "stateful": false })).unwrap_err();
        assert_eq!(fault, json!({ "name": message }));
        let many = json!({ "instances": 1000 });
        let change = ServiceChange::read(many.as_object().unwrap(), false).unwrap();
        let fault = change.judge(&"x".repeat(42), "null", "main").unwrap_err();
        assert!(fault.0["name"].as_str().unwrap().contains("length 66 is over limit (64): xxx"), "{fault:?}");
        assert_eq!(change.judge(&"x".repeat(40), "null", "main"), Ok(()));
    }

    #[test]
    fn what_the_command_line_sends_is_understood() {
        let service = new(&json!({
            "name": "api", "image": "redis:3.0", "stateful": false, "cpu_shares": "128", "container_count": "2",
            "ports": [{ "ip": "0.0.0.0", "protocol": "tcp", "node_port": "9090", "container_port": "90" }],
            "volumes": ["/tmp/x:/x", "shared:/shared:ro", "/anon"], "stop_grace_period": "1m3.5s",
            "stop_signal": "sigrtmin+3", "deploy_opts": { "min_health": null, "interval": 7200 },
            "hooks": { "pre_start": [{ "name": "a", "cmd": "b", "instances": "1,2", "oneshot": true }] },
            "health_check": { "port": "80", "protocol": "tcp", "interval": "20" }, "log_opts": { "max-size": 5 },
        }))
        .unwrap();
        let fields = service.fields;
        assert_eq!(
            (fields.instances, fields.cpu_shares, fields.stop_grace_period),
            (Some(2), Some(128), Some(63))
        );
        let mounts: Vec<_> =
            fields.volumes.unwrap().into_iter().map(|text| MountInput::read(&text).unwrap()).collect();
        assert_eq!(
            mounts[0],
            MountInput {
                source: Some("/tmp/x".to_owned()),
                path: "/x".to_owned(),
                flags: Some(String::new())
            }
        );
        assert_eq!(
            mounts[1],
            MountInput {
                source: Some("shared".to_owned()),
                path: "/shared".to_owned(),
                flags: Some("ro".to_owned())
            }
        );
        assert_eq!(mounts[2], MountInput { source: None, path: "/anon".to_owned(), flags: None });
        let with_space = MountInput::read("/srv/My Data:/data:ro:Z").unwrap();
        assert_eq!(
            (with_space.source.as_deref(), with_space.path.as_str(), with_space.flags.as_deref()),
            (Some("/srv/My Data"), "/data", Some("ro,Z"))
        );
        let expected =
            DeployOptions { wait_for_port: None, min_health: Some(None), interval: Some(Some(7200)) };
        assert_eq!(fields.deploy_opts, Some(expected));
        assert_eq!(fields.hooks.unwrap()[0].instances, ["1", "2"]);
        assert_eq!(fields.log_opts, Some(vec![("max-size".to_owned(), "5".to_owned())]));
        let check = fields.health_check.unwrap();
        assert_eq!((check.port, check.uri.as_str(), check.timeout, check.interval), (Some(80), "/", 10, 20));
    }
}
