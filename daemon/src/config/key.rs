//! Every key of the configuration: its name, its form, where else it is read from, and whether a running master
//! takes a change of it.

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// The path of a file.
    Path,
    /// A time with its unit.
    Time,
    /// True or false.
    Flag,
}

impl Form {
    /// What would be right, for people.
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Self::Text | Self::Secret => "a text in quotes",
            Self::Path => "a path in quotes",
            Self::Time => "a time in quotes, such as \"2s\" or \"1500ms\"",
            Self::Flag => "true or false, without quotes",
        }
    }
}

/// One key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Table and name, as in `election.lease_ttl`.
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// The environment variables that set it, the first that is there.
    pub(super) variables: &'static [&'static str],
    /// The systemd credential that sets it.
    pub(super) credential: Option<&'static str>,
    /// Whether SIGHUP is enough for a change to take effect.
    pub(crate) reloads: bool,
}

impl Key {
    const fn new(name: &'static str, form: Form) -> Self {
        Self { name, form, variables: &[], credential: None, reloads: false }
    }

    const fn or_variables(self, variables: &'static [&'static str]) -> Self {
        Self { variables, ..self }
    }

    const fn or_credential(self, name: &'static str) -> Self {
        Self { credential: Some(name), ..self }
    }

    const fn reloads(self) -> Self {
        Self { reloads: true, ..self }
    }
}

pub(super) const NAME: Key = Key::new("name", Form::Text).or_variables(&["KONTENA_MASTER_NAME"]);
pub(super) const MONGODB_URI: Key = Key::new("mongodb.uri", Form::Secret)
    .or_variables(&["MONGODB_URI", "MONGOHQ_URL"])
    .or_credential("mongodb_uri");
pub(super) const LISTEN: Key = Key::new("http.listen", Form::Text).or_variables(&["PORT"]);
pub(super) const ADVERTISE: Key =
    Key::new("http.advertise", Form::Text).or_variables(&["KONTENA_MASTER_ADVERTISE"]);
pub(super) const TRUSTED_PROXIES: Key =
    Key::new("http.trusted_proxies", Form::Text).or_variables(&["KONTENA_MASTER_TRUSTED_PROXIES"]);
pub(super) const DRAIN_GRACE: Key = Key::new("http.drain_grace", Form::Time).reloads();
pub(super) const LEASE_TTL: Key = Key::new("election.lease_ttl", Form::Time).reloads();
pub(super) const ELIGIBLE: Key = Key::new("election.eligible", Form::Flag).reloads();
pub(super) const PREFERRED: Key = Key::new("election.preferred", Form::Flag).reloads();
pub(super) const ADMIN_SOCKET: Key = Key::new("admin.socket", Form::Path);
pub(super) const ADMIN_TOKEN: Key = Key::new("admin.token", Form::Secret)
    .or_variables(&["KONTENA_MASTER_ADMIN_TOKEN"])
    .or_credential("admin_token")
    .reloads();
pub(super) const ADMIN_TOKEN_FILE: Key = Key::new("admin.token_file", Form::Path).reloads();
pub(super) const COMPAT_VERSION: Key = Key::new("agents.compat_version", Form::Text);
pub(super) const PING_TIMEOUT: Key =
    Key::new("agents.ping_timeout", Form::Time).or_variables(&["WEBSOCKET_TIMEOUT"]);
pub(super) const CLOCK_SKEW: Key =
    Key::new("agents.clock_skew", Form::Time).or_variables(&["KONTENA_CLOCK_SKEW"]);
pub(super) const VAULT_KEY: Key =
    Key::new("vault.key", Form::Secret).or_variables(&["VAULT_KEY"]).or_credential("vault_key");
pub(super) const VAULT_IV: Key =
    Key::new("vault.iv", Form::Secret).or_variables(&["VAULT_IV"]).or_credential("vault_iv");
pub(super) const INITIAL_ADMIN_CODE: Key = Key::new("access.initial_admin_code", Form::Secret)
    .or_variables(&["INITIAL_ADMIN_CODE"])
    .or_credential("initial_admin_code");
pub(super) const ACME_DIRECTORY: Key =
    Key::new("acme.directory", Form::Text).or_variables(&["ACME_ENDPOINT"]);
pub(super) const ACME_CA_FILE: Key = Key::new("acme.ca_file", Form::Path);
pub(super) const ACME_RESOLVER: Key = Key::new("acme.resolver", Form::Text);
pub(super) const LOG_LEVEL: Key = Key::new("log.level", Form::Text).or_variables(&["LOG_LEVEL"]).reloads();

/// All of them, in the order in which people read about them.
pub(crate) const ALL: [&Key; 22] = [
    &NAME,
    &MONGODB_URI,
    &LISTEN,
    &ADVERTISE,
    &TRUSTED_PROXIES,
    &DRAIN_GRACE,
    &LEASE_TTL,
    &ELIGIBLE,
    &PREFERRED,
    &ADMIN_SOCKET,
    &ADMIN_TOKEN,
    &ADMIN_TOKEN_FILE,
    &COMPAT_VERSION,
    &PING_TIMEOUT,
    &CLOCK_SKEW,
    &VAULT_KEY,
    &VAULT_IV,
    &INITIAL_ADMIN_CODE,
    &ACME_DIRECTORY,
    &ACME_CA_FILE,
    &ACME_RESOLVER,
    &LOG_LEVEL,
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    ALL.into_iter().find(|key| key.name == name)
}

/// Whether keys stand in a table of this name.
pub(super) fn is_table(name: &str) -> bool {
    !names_in(name).is_empty()
}

/// What would have been right instead of the `unknown` name, for people.
pub(super) fn instead_of(unknown: &str) -> String {
    let (table, last) = unknown.rsplit_once('.').unwrap_or(("", unknown));
    let names = match names_in(table) {
        names if names.is_empty() => names_in(""),
        names => names,
    };
    let alike = |name: &&str| strsim::jaro_winkler(last, name);
    let nearest = names.iter().copied().max_by(|one, other| alike(one).total_cmp(&alike(other)));
    match nearest.filter(|name| alike(name) > 0.8) {
        Some(name) if table.is_empty() => format!("did you mean {name}?"),
        Some(name) => format!("did you mean {table}.{name}?"),
        None if is_table(table) && !table.is_empty() => format!("[{table}] has {}", names.join(", ")),
        None => format!("there are {}", names.join(", ")),
    }
}

/// The names of the keys in this table; at the top, of the tables too.
fn names_in(table: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = ALL
        .iter()
        .filter_map(|key| match key.name.split_once('.') {
            Some((in_table, name)) if in_table == table => Some(name),
            Some((in_table, _)) if table.is_empty() => Some(in_table),
            None if table.is_empty() => Some(key.name),
            Some(_) | None => None,
        })
        .collect();
    names.dedup();
    names
}
