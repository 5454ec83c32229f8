//! Stacks.

use serde_json::{Map, Value};

use super::is_strict_name;
use crate::form::{Filter, Form, Invalid, fields, free_object, list, text};
use crate::stack::Linked;

/// No sensible stack has more services.
const SERVICES_MAX: usize = 500;

/// A volume as the services of a stack name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackVolume {
    /// Within the stack.
    pub name: String,
    /// The volume of the grid; `None` would be one of the stack's own, which there are not.
    pub external: Option<String>,
}

impl StackVolume {
    #[expect(clippy::unnecessary_wraps, reason = "as all parts are read")]
    fn read(form: &mut Form<'_>) -> Option<Self> {
        let name = form.optional("name", &text()).unwrap_or_default();
        Some(Self { name, external: form.optional("external", &text()) })
    }
}

/// What a stack consists of, in one of its revisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StackDefinition {
    /// The name of the stack file, such as `user/redis`.
    pub stack: String,
    /// The version of the stack file.
    pub version: String,
    /// The stack file.
    pub source: String,
    /// Its services, as they were given.
    pub services: Vec<Map<String, Value>>,
    /// The service that has the stack's name in the DNS.
    pub expose: Option<String>,
    /// Where the stack file comes from.
    pub registry: Option<String>,
    /// The values of the stack file's variables.
    pub variables: Map<String, Value>,
    /// What the stack file says beside.
    pub metadata: Map<String, Value>,
    /// The volumes that its services name.
    pub volumes: Vec<StackVolume>,
}

impl StackDefinition {
    fn read(form: &mut Form<'_>) -> (Option<Self>, Option<Vec<String>>) {
        let stack = form.required("stack", &text());
        let version = form.required("version", &text());
        let source = form.required("source", &text());
        let services = form.required("services", &list(free_object()));
        let expose = form.optional("expose", &text());
        let registry = form.optional("registry", &text());
        let variables = form.optional("variables", &free_object()).unwrap_or_default();
        let labels = form.optional("labels", &labels());
        let metadata = form.optional("metadata", &free_object()).unwrap_or_default();
        let volumes = form.optional("volumes", &list(fields(StackVolume::read))).unwrap_or_default();
        let made = (|| {
            let (stack, version, source, services) = (stack?, version?, source?, services?);
            Some(Self { stack, version, source, services, expose, registry, variables, metadata, volumes })
        })();
        (made, labels)
    }

    /// What is wrong before anything else is looked at.
    pub fn judge(&self) -> Result<(), Invalid> {
        if self.services.is_empty() {
            return Err(Invalid::of("services", "stack does not specify any services"));
        }
        if self.services.len() > SERVICES_MAX {
            let message = format!("stack specifies more than {SERVICES_MAX} services");
            return Err(Invalid::of("services", message));
        }
        Ok(())
    }

    /// What is wrong with the service that has the stack's name.
    pub fn judge_exposed(&self) -> Result<(), Invalid> {
        match &self.expose {
            Some(name) if self.services.iter().all(|service| name_of(service).as_ref() != Some(name)) => {
                Err(Invalid::of("expose", format!("{name} is not defined in the services array")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The services by their names, with what they link to within the stack.
    #[must_use]
    pub fn linked(&self) -> Vec<Linked> {
        let linked = |service: &Map<String, Value>| Linked {
            name: name_of(service).unwrap_or_default(),
            links: inner_links(service),
        };
        self.services.iter().map(linked).collect()
    }
}

/// The name of a service in a definition, if it has one.
fn name_of(service: &Map<String, Value>) -> Option<String> {
    text().filter("Name", service.get("name")?).ok()
}

fn inner_links(service: &Map<String, Value>) -> Vec<String> {
    let links = service.get("links").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let name = |link: &Value| text().filter("Name", link.get("name")?).ok();
    links.iter().filter_map(name).filter(|name| !name.contains('/')).collect()
}

fn labels() -> impl Filter<Output = Vec<String>> {
    list(text().matching(is_label))
}

fn is_label(label: &str) -> bool {
    let Some((key, _)) = label.split_once('=') else { return false };
    !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-'))
}

/// A stack to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStack {
    /// Unique in its grid.
    pub name: String,
    /// The stack that it belongs to, whether that exists or not.
    pub parent: Option<String>,
    /// What can be looked for.
    pub labels: Option<Vec<String>>,
    /// The rest.
    pub definition: StackDefinition,
}

impl NewStack {
    /// Reads a request for a stack.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let (definition, labels) = StackDefinition::read(&mut form);
        let name = form.required("name", &text().matching(is_strict_name));
        let parent = form.optional("parent", &fields(|form| form.required("name", &text())));
        let old_spelling = form.optional("parent_name", &text());
        let parent = parent.or(old_spelling);
        let made = (|| Some(Self { name: name?, parent, labels, definition: definition? }))();
        form.conclude(made)
    }

    /// What is wrong with the stack that it belongs to.
    pub fn judge_parent(&self) -> Result<(), Invalid> {
        if self.parent.as_ref() == Some(&self.name) {
            return Err(Invalid::of("parent_name", "Parent name can't be the same as name"));
        }
        Ok(())
    }
}

/// A stack to be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct StackChange {
    /// `None`: they stay.
    pub labels: Option<Vec<String>>,
    /// What it consists of from the next deploy on.
    pub definition: StackDefinition,
}

impl StackChange {
    /// Reads a request to change a stack.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let (definition, labels) = StackDefinition::read(&mut form);
        form.conclude(definition.map(|definition| Self { labels, definition }))
    }
}

/// New labels for a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackLabels {
    /// `None`: they stay.
    pub labels: Option<Vec<String>>,
}

impl StackLabels {
    /// Reads a request for other labels.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let labels = form.optional("labels", &labels());
        form.conclude(Some(Self { labels }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn new(input: &Value) -> Result<NewStack, Value> {
        NewStack::read(input.as_object().unwrap()).map_err(|faults| Value::Object(faults.0))
    }

    #[test]
    fn every_fault_is_told_in_the_original_s_words() {
        assert_eq!(
            new(&json!({})),
            Err(json!({
                "stack": "Stack is required", "version": "Version is required", "source": "Source is required",
                "services": "Services is required", "name": "Name is required",
            }))
        );
        let whole = json!({
            "name": "-x", "stack": " ", "version": null, "source": "s", "services": [{}, 1], "expose": [],
            "variables": [], "labels": ["a=b", "env"], "metadata": 1, "volumes": {}, "parent": { "name": "" },
        });
        let expected = json!({
            "stack": "Stack can't be blank",
            "version": "Version can't be nil",
            "services": [null, "Services[1] isn't the right class"],
            "expose": "Expose isn't a string",
            "variables": "Variables isn't the right class",
            "labels": [null, "Labels[1] isn't in the right format"],
            "metadata": "Metadata isn't the right class",
            "volumes": "Volumes isn't an array",
            "name": "Name isn't in the right format",
            "parent": { "name": "Name can't be blank" },
        });
        assert_eq!(new(&whole), Err(expected));
    }

    #[test]
    fn what_the_command_line_sends_is_understood() {
        let input = json!({
            "stack": "acme/shop", "version": "1.0", "name": "shop", "labels": [], "registry": "file://",
            "expose": null, "source": "stack: acme/shop\n", "variables": { "a": 1 }, "parent": { "name": "fam" },
            "services": [{ "name": "web", "links": [
                { "name": "db", "alias": "a" }, { "name": "db", "alias": "b" }, { "name": "x/y", "alias": "y" },
            ] }, { "name": "db" }],
            "volumes": [{ "name": "data", "external": "shop-data" }, { "name": "own" }], "dependencies": null,
        });
        let stack = new(&input).unwrap();
        assert_eq!((stack.parent.as_deref(), stack.labels), (Some("fam"), Some(Vec::new())));
        let definition = stack.definition;
        assert_eq!(definition.source, "stack: acme/shop");
        assert_eq!(definition.volumes[1], StackVolume { name: "own".to_owned(), external: None });
        assert_eq!(definition.linked()[0].links, ["db", "db"]);
        let exposing = StackDefinition { expose: Some("nope".to_owned()), ..definition };
        let fault = json!({ "expose": "nope is not defined in the services array" });
        assert_eq!(exposing.judge_exposed().map_err(|faults| Value::Object(faults.0)), Err(fault));
    }

    #[test]
    fn a_stack_is_not_its_own_parent_and_not_empty() {
        let stack = |parent: Value| {
            let input = json!({
                "name": "a", "stack": "s", "version": "1", "source": "s", "services": [], "parent": parent,
            });
            new(&input).unwrap()
        };
        assert!(stack(json!({ "name": "a" })).judge_parent().is_err());
        assert!(stack(json!({ "name": "b" })).judge_parent().is_ok());
        assert!(stack(Value::Null).judge_parent().is_ok());
        let fault = Invalid::of("services", "stack does not specify any services");
        assert_eq!(stack(Value::Null).definition.judge(), Err(fault));
    }
}
