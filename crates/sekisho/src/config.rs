//! The configuration file: TOML, every key optional, unknown keys refused with their line.
//! Documented in docs/config.md and, for editors, in deploy/config.schema.json: the tests below hold
//! the three together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sekisho_api::{Enforcement, OidcSettings, ServerAddress, TlsFiles, WebTls};
use sekisho_inventory::attest::Account;
use sekisho_inventory::watch::Cluster;
use sekisho_map::LabelKey;
use sekisho_model::ClusterName;
use serde::Deserialize;

use crate::commands::tunnel::Place;
use crate::server::{Shipping, SinkConfig, SourceConfig, check_sinks, check_sources};

/// Socket of the server where nothing else is said.
pub(crate) const DEFAULT_SOCKET: &str = "/run/sekisho/server.sock";
/// State of the lab where nothing else is said.
pub(crate) const DEFAULT_LAB_STATE: &str = "/run/sekisho/lab";
/// Clusters of one server: each has a history, an inventory and a joiner, with bounds of their own.
const CLUSTERS_MAX: usize = 16;
/// Smallest ring buffer, bytes: a page.
const RING_BYTES_MIN: u32 = 4_096;
/// Shortest life of a certificate of a node's own, seconds: agents ask again after half of it.
const AGENT_CERTIFICATE_S_MIN: u64 = 60;
const DEFAULT_FILE: &str = "/etc/sekisho/config.toml";

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) agent: AgentConfig,
    pub(crate) server: ServerConfig,
    pub(crate) client: ClientConfig,
    pub(crate) log: LogConfig,
}

/// `[client]`: for the commands that ask a server.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClientConfig {
    /// The server; the local socket if absent.
    pub(crate) server: Option<Place>,
    pub(crate) tls: TlsConfig,
}

/// `[agent.tls]`, `[server.tls]`, `[client.tls]`: files in PEM. All of the first three, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsConfig {
    /// Certificate of the authority that signed the other end's certificate.
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate.
    pub(crate) cert: Option<PathBuf>,
    /// Its key.
    pub(crate) key: Option<PathBuf>,
    /// Name in the server's certificate, where it is not the host of its address; not for a server.
    pub(crate) server_name: Option<String>,
}

/// `[agent]`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentConfig {
    /// Name of the node or host; the machine's host name if absent.
    pub(crate) node: Option<String>,
    /// The cluster that it is a node of.
    pub(crate) cluster: ClusterName,
    /// Absolute path of the cgroup v2 folder to watch; the mount itself if absent.
    pub(crate) cgroup: Option<PathBuf>,
    /// Network namespace to enforce in; the agent's own if absent.
    pub(crate) netns: Option<PathBuf>,
    /// Socket of the container runtime; the first usual one that is there if absent, none if empty.
    pub(crate) cri: Option<PathBuf>,
    /// True if this is a host or VM that is itself a subject of policy.
    pub(crate) host: bool,
    /// The server: its socket, or https://HOST[:PORT].
    pub(crate) server: ServerAddress,
    pub(crate) tls: TlsConfig,
    /// File with the service account token of the agent's pod, which proves its node to the server.
    pub(crate) token: Option<PathBuf>,
    /// Address for probes; empty = none.
    pub(crate) health_listen: String,
    /// Seconds between samples of open connections.
    pub(crate) sample_period_s: u64,
    /// Seconds without a datagram after which a UDP flow ends.
    pub(crate) udp_idle_s: u64,
    /// Bytes of each ring buffer; a power of two.
    pub(crate) ring_bytes: u32,
    /// Batches kept while the server does not answer.
    pub(crate) queue_batches: usize,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            node: None,
            cluster: ClusterName::default(),
            cgroup: None,
            netns: None,
            cri: None,
            host: false,
            server: ServerAddress::Socket(PathBuf::from(DEFAULT_SOCKET)),
            tls: TlsConfig::default(),
            token: None,
            health_listen: String::new(),
            sample_period_s: 10,
            udp_idle_s: 30,
            ring_bytes: 8 << 20,
            queue_batches: 1_024,
        }
    }
}

/// `[server]`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerConfig {
    /// Unix socket to serve.
    pub(crate) socket: PathBuf,
    /// Address to serve on the network with TLS; empty = none.
    pub(crate) listen: String,
    pub(crate) tls: TlsConfig,
    /// Address for probes; empty = none.
    pub(crate) health_listen: String,
    /// Folder of history, revisions and inventory.
    pub(crate) data_dir: PathBuf,
    /// Loopback address for Prometheus; empty = none.
    pub(crate) metrics_listen: String,
    /// Address of the console and the HTTP API: a loopback one without the two files; empty = none.
    pub(crate) web_listen: String,
    /// Certificate that browsers see (PEM).
    pub(crate) web_cert: Option<PathBuf>,
    /// Its key (PEM).
    pub(crate) web_key: Option<PathBuf>,
    /// Who signs in to the console by the word of an OpenID Connect provider.
    pub(crate) oidc: OidcSettings,
    /// Label of pods or namespaces that tells environments.
    pub(crate) environment_label: LabelKey,
    /// Address for clients of Hubble's Observer API; empty = none.
    pub(crate) hubble_listen: String,
    /// Days of history kept.
    pub(crate) retention_days: u64,
    /// Bytes of history kept.
    pub(crate) retention_bytes: u64,
    /// Seconds after which the log becomes a segment.
    pub(crate) rotate_s: u64,
    /// Watch lines of a cluster: the lab's `journal.jsonl`.
    pub(crate) journal: Option<PathBuf>,
    /// The Kubernetes cluster to watch.
    pub(crate) kubernetes: Kubernetes,
    /// Service account of the agents there, NAMESPACE/NAME: each proves its node with a token of it,
    /// and gets a certificate of that node's own. Absent: agents may share a certificate.
    pub(crate) agent_account: Option<Account>,
    /// Seconds that a certificate of a node's own is good; it is renewed after half of them.
    pub(crate) agent_certificate_s: u64,
    /// Clusters with names, besides or instead of the one that `journal` and `kubernetes` mean, which
    /// is `default`.
    pub(crate) clusters: BTreeMap<ClusterName, ClusterConfig>,
    /// Who enforces: `datapath` (our agents) or `native` (the cluster's network plugin, from policies
    /// that the server applies to the cluster that it watches).
    pub(crate) enforcement: Enforcement,
    /// Live sources besides the agents.
    pub(crate) sources: Vec<SourceConfig>,
    /// Where flows go while they come.
    pub(crate) sinks: Vec<SinkConfig>,
    /// Native: which Sekisho this is, where several share a cluster; each changes its own policies.
    pub(crate) installation: String,
    /// Native: seconds between two comparisons of the cluster with the revision in force.
    pub(crate) drift_check_s: u64,
    /// Native: put our policies right, unasked, where somebody changed or deleted them.
    pub(crate) repair: bool,
    /// Native: seconds that the plugin has to bring a policy into force before traffic that it denies
    /// is called not enforced.
    pub(crate) enforce_grace_s: u64,
    /// Where history goes that outgrows the data folder.
    pub(crate) clickhouse: ClickHouseConfig,
}

/// `[server.clickhouse]`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClickHouseConfig {
    /// `http://HOST[:8123]` or `https://HOST[:8443]`; empty = none.
    pub(crate) url: String,
    /// The database for our tables.
    pub(crate) database: String,
    pub(crate) user: String,
    /// File with the password.
    pub(crate) password_file: Option<PathBuf>,
    /// Authorities that may have signed its certificate.
    pub(crate) ca: Option<PathBuf>,
    /// Whether a password may go to another machine over plain HTTP.
    pub(crate) plaintext: bool,
    /// The cluster, in ClickHouse's sense, on which the tables are made.
    pub(crate) cluster: Option<String>,
    /// Days of history kept there.
    pub(crate) ttl_days: u32,
    /// Rows of one insert at most.
    pub(crate) batch_rows: usize,
    /// Seconds that one request may take.
    pub(crate) timeout_s: u64,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            database: "sekisho".to_owned(),
            user: "default".to_owned(),
            password_file: None,
            ca: None,
            plaintext: false,
            cluster: None,
            ttl_days: 400,
            batch_rows: 500_000,
            timeout_s: 60,
        }
    }
}

/// `[server.clusters.NAME]`: where the objects of a cluster come from. With neither, its agents are
/// taken in all the same.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClusterConfig {
    /// Watch lines of the cluster.
    pub(crate) journal: Option<PathBuf>,
    /// Its API server.
    pub(crate) kubernetes: Kubernetes,
    /// Who enforces there; absent: as `server.enforcement` says.
    pub(crate) enforcement: Option<Enforcement>,
    /// Service account of the agents there, as `server.agent_account` is for `default`.
    pub(crate) agent_account: Option<Account>,
}

impl ClusterConfig {
    /// The API server to watch, if there is one.
    pub(crate) fn watched(&self) -> Option<Cluster> {
        match &self.kubernetes {
            Kubernetes::On(false) => None,
            Kubernetes::On(true) => Some(Cluster::Surrounding),
            Kubernetes::Kubeconfig(path) => Some(Cluster::Kubeconfig(path.clone())),
        }
    }

    fn is_followed(&self) -> bool {
        self.journal.is_some() || self.watched().is_some()
    }
}

/// `server.kubernetes`: true, false, or the path of a kubeconfig.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(untagged, expecting = "true, false or the path of a kubeconfig")]
pub(crate) enum Kubernetes {
    /// true: as a pod does, else by `KUBECONFIG` or `~/.kube/config`.
    On(bool),
    /// By a kubeconfig file.
    Kubeconfig(PathBuf),
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self::On(false)
    }
}

impl ServerConfig {
    /// Days for which the names in history are needed: as long as some store has it.
    pub(crate) fn named_days(&self) -> u64 {
        match self.clickhouse.url.is_empty() {
            true => self.retention_days,
            false => self.retention_days.max(self.clickhouse.ttl_days.into()),
        }
    }

    /// All clusters, by name, with where their objects come from. Without any that has a name it is
    /// `default` alone, be it followed or not.
    pub(crate) fn clusters(&self) -> anyhow::Result<BTreeMap<ClusterName, ClusterConfig>> {
        let unnamed = ClusterConfig {
            journal: self.journal.clone(),
            kubernetes: self.kubernetes.clone(),
            enforcement: None,
            agent_account: self.agent_account.clone(),
        };
        let mut all = self.clusters.clone();
        if unnamed.is_followed() || all.is_empty() {
            let named = all.insert(ClusterName::default(), unnamed);
            anyhow::ensure!(
                !named.is_some_and(|named| named.is_followed() || named.enforcement.is_some()),
                "the cluster `default` is named twice: `server.kubernetes` and `server.journal` mean \
                 it, and so does `server.clusters.default`"
            );
        }
        for (name, source) in &all {
            anyhow::ensure!(
                source.agent_account.is_none() || source.watched().is_some(),
                "cluster `{name}`: `agent_account` needs `kubernetes`, whose API server tells of which \
                 node a token is (for the cluster `default` both are keys of `server`)"
            );
            anyhow::ensure!(
                source.journal.is_none() || source.watched().is_none(),
                "cluster `{name}`: `journal` and `kubernetes` are both set (for the cluster `default` \
                 `server.journal` and `server.kubernetes`): a cluster is followed by one of them"
            );
        }
        anyhow::ensure!(
            all.len() <= CLUSTERS_MAX,
            "{} clusters are more than the {CLUSTERS_MAX} that one server takes: start another server",
            all.len()
        );
        Ok(all)
    }
}

impl ServerConfig {
    /// The certificate that browsers see.
    pub(crate) fn web_tls(&self) -> anyhow::Result<Option<WebTls>> {
        match (self.web_cert.clone(), self.web_key.clone()) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(WebTls { certificate, key })),
            (Some(_), None) => {
                anyhow::bail!("`server.web_cert` is set, and `server.web_key` is not")
            }
            (None, Some(_)) => {
                anyhow::bail!("`server.web_key` is set, and `server.web_cert` is not")
            }
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(DEFAULT_SOCKET),
            listen: String::new(),
            tls: TlsConfig::default(),
            health_listen: String::new(),
            data_dir: PathBuf::from("/var/lib/sekisho"),
            metrics_listen: String::new(),
            environment_label: LabelKey::environment(),
            web_listen: String::new(),
            web_cert: None,
            web_key: None,
            oidc: OidcSettings::default(),
            hubble_listen: String::new(),
            retention_days: 30,
            retention_bytes: 20 << 30,
            rotate_s: 300,
            journal: None,
            kubernetes: Kubernetes::On(false),
            agent_account: None,
            agent_certificate_s: 86_400,
            clusters: BTreeMap::new(),
            sources: Vec::new(),
            sinks: Vec::new(),
            enforcement: Enforcement::Datapath,
            installation: "sekisho".to_owned(),
            drift_check_s: 15,
            repair: false,
            enforce_grace_s: 30,
            clickhouse: ClickHouseConfig::default(),
        }
    }
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `sekisho=debug`.
    pub(crate) level: String,
    /// `text` or `json`.
    pub(crate) format: LogFormat,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Reads the file that the user named, else the default file if it is there, else nothing.
pub(crate) fn load(named: Option<&Path>) -> anyhow::Result<Config> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    if named.is_none() && !path.exists() {
        return Ok(Config::default());
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
    parse(&text).with_context(|| format!("config file `{}`", path.display()))
}

/// Reads and checks a configuration.
pub(crate) fn parse(text: &str) -> anyhow::Result<Config> {
    let config: Config = toml::from_str(text)?;
    config.check()?;
    Ok(config)
}

impl Config {
    /// Refuses numbers that no agent or server can work with.
    fn check(&self) -> anyhow::Result<()> {
        let least_one = [
            ("agent.sample_period_s", self.agent.sample_period_s),
            ("agent.udp_idle_s", self.agent.udp_idle_s),
            ("agent.queue_batches", self.agent.queue_batches as u64),
            ("server.retention_days", self.server.retention_days),
            ("server.retention_bytes", self.server.retention_bytes),
            ("server.rotate_s", self.server.rotate_s),
            ("server.drift_check_s", self.server.drift_check_s),
        ];
        for (key, value) in least_one {
            anyhow::ensure!(value > 0, "`{key}` is 0, it must be at least 1");
        }
        let life_s = self.server.agent_certificate_s;
        anyhow::ensure!(
            life_s >= AGENT_CERTIFICATE_S_MIN,
            "`server.agent_certificate_s` is {life_s}, it must be at least {AGENT_CERTIFICATE_S_MIN}"
        );
        let clusters = self.server.clusters()?;
        self.server.oidc.check()?;
        anyhow::ensure!(
            !self.server.oidc.is_on() || !self.server.web_listen.is_empty(),
            "`server.oidc.issuer` is set, and `server.web_listen` is not: who would sign in to what?"
        );
        check_sinks(&self.server.sinks)?;
        check_sources(&self.server.sources, clusters.keys())?;
        let name = ClusterName::default();
        Shipping::open(&self.server.clickhouse, &name).context("[server.clickhouse]")?;
        let bytes = self.agent.ring_bytes;
        anyhow::ensure!(
            bytes.is_power_of_two() && bytes >= RING_BYTES_MIN,
            "`agent.ring_bytes` is {bytes}, it must be a power of two and at least {RING_BYTES_MIN}"
        );
        Ok(())
    }
}

impl TlsConfig {
    /// All three files, or none; an error names those that are missing.
    pub(crate) fn files(&self) -> anyhow::Result<Option<TlsFiles>> {
        match (&self.ca, &self.cert, &self.key) {
            (None, None, None) => Ok(None),
            (Some(ca), Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                ca: ca.clone(),
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            (ca, cert, key) => {
                let all = [("--tls-ca", ca), ("--tls-cert", cert), ("--tls-key", key)];
                let missing = all.iter().filter(|(_, path)| path.is_none());
                let missing: Vec<&str> = missing.map(|(flag, _)| *flag).collect();
                anyhow::bail!(
                    "TLS needs an authority, a certificate and a key: {} missing (or its key in the \
                     configuration file)",
                    missing.join(" and ")
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(parse("").unwrap().agent.sample_period_s, 10);
    }

    #[test]
    fn a_known_key_is_read() {
        assert_eq!(parse("[agent]\nudp_idle_s = 7").unwrap().agent.udp_idle_s, 7);
    }

    /// Every key of every table with its default, `table.key`.
    fn keys(prefix: &str, value: &Value) -> BTreeMap<String, Value> {
        let object = value.as_object().unwrap();
        let nested = |(key, value): (&String, &Value)| {
            let name = format!("{prefix}{key}");
            // What has names of its own in it has none to begin with.
            match value.as_object().is_some_and(|object| !object.is_empty()) {
                true => keys(&format!("{name}."), value),
                false => BTreeMap::from([(name, value.clone())]),
            }
        };
        object.iter().flat_map(nested).collect()
    }

    /// The same of a schema; what it gives no default has none.
    fn keys_of_schema(prefix: &str, schema: &Value) -> BTreeMap<String, Value> {
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(schema["additionalProperties"], Value::Bool(false), "{prefix}");
        let nested = |(key, value): (&String, &Value)| {
            let name = format!("{prefix}{key}");
            assert!(value["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            match value["properties"].is_object() {
                true => keys_of_schema(&format!("{name}."), value),
                false => BTreeMap::from([(name, value["default"].clone())]),
            }
        };
        properties.iter().flat_map(nested).collect()
    }

    #[test]
    fn the_schema_has_every_key_with_its_default_and_no_other() {
        let schema = include_str!("../../../deploy/config.schema.json");
        let mut schema: Value = serde_json::from_str(schema).unwrap();
        for table in schema["properties"].as_object().unwrap().values() {
            assert!(table["description"].is_string());
        }
        let config = serde_json::to_value(Config::default()).unwrap();
        assert_eq!(keys_of_schema("", &schema.take()), keys("", &config));
    }

    #[test]
    fn the_documentation_has_every_key_in_its_table_and_its_example_is_the_default() {
        let text = include_str!("../../../docs/config.md");
        let config = serde_json::to_value(Config::default()).unwrap();
        for key in keys("", &config).keys() {
            let (table, name) = key.rsplit_once('.').unwrap();
            let table = if table.ends_with(".tls") { "tls" } else { table };
            let section = text.split("\n## ").find(|part| part.starts_with(&format!("[{table}]")));
            let section = section.unwrap_or_else(|| panic!("no section [{table}]"));
            assert!(section.contains(&format!("| `{name}` |")), "{key}");
        }
        let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        assert_eq!(serde_json::to_value(parse(example).unwrap()).unwrap(), config);
    }

    #[test]
    fn tls_is_whole_or_absent_and_missing_keys_are_named() {
        let files = |text: &str| parse(text).unwrap().agent.tls.files();
        assert!(files("").unwrap().is_none());
        let whole = "[agent.tls]\nca = 'a'\ncert = 'b'\nkey = 'c'";
        assert_eq!(files(whole).unwrap().unwrap().key, Path::new("c"));
        let error = files("[agent.tls]\nca = 'a'").unwrap_err().to_string();
        assert!(error.contains("--tls-cert and --tls-key missing"), "{error}");
        let error = format!("{:#}", parse("[agent]\nserver = 'http://x'").unwrap_err());
        assert!(error.contains("line 2") && error.contains("https://"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = format!("{:#}", parse("[agent]\nnode = 'a'\nsamples = 1").unwrap_err());
        assert!(error.contains("line 3") && error.contains("samples"), "{error}");
    }

    #[test]
    fn a_cluster_is_watched_where_it_is_asked_for_and_not_besides_a_journal() {
        let cluster = |text: &str| {
            let all = parse(text).unwrap().server.clusters().unwrap();
            assert_eq!(all.len(), 1);
            all[&ClusterName::default()].watched()
        };
        assert_eq!(cluster(""), None);
        assert_eq!(cluster("[server]\nkubernetes = true"), Some(Cluster::Surrounding));
        let named = Cluster::Kubeconfig(PathBuf::from("/k"));
        assert_eq!(cluster("[server]\nkubernetes = '/k'"), Some(named));
        let both = parse("[server]\nkubernetes = true\njournal = '/j'").unwrap_err().to_string();
        assert!(both.contains("server.kubernetes"), "{both}");
        let wrong = format!("{:#}", parse("[server]\nkubernetes = 3").unwrap_err());
        assert!(wrong.contains("path of a kubeconfig"), "{wrong}");
    }

    #[test]
    fn clusters_with_names_stand_beside_the_one_without_or_alone() {
        let names = |text: &str| {
            let all = parse(text).unwrap().server.clusters().unwrap();
            all.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let east = "[server.clusters.east]\nkubernetes = '/east'\n";
        assert_eq!(names(""), "default");
        assert_eq!(names(east), "east");
        assert_eq!(names(&format!("[server]\nkubernetes = true\n{east}")), "default east");
        assert_eq!(names(&format!("[server.clusters.default]\n{east}")), "default east");
        for (text, words) in [
            ("[server.clusters.East]", "no name of a cluster"),
            ("[server.clusters.east]\nkubeconfig = '/k'", "kubeconfig"),
            ("[server.clusters.east]\nkubernetes = true\njournal = '/j'", "`east`"),
            ("[server]\nagent_account = 'a/b'", "needs `kubernetes`"),
            ("[server]\nkubernetes = true\nagent_account = 'b'", "NAMESPACE/NAME"),
            ("[server.clusters.east]\nagent_account = 'a/b'", "`east`"),
            ("[server]\njournal = '/j'\n[server.clusters.default]\nkubernetes = true", "twice"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
        let many =
            |count| -> String { (0..count).map(|n| format!("[server.clusters.c{n}]\n")).collect() };
        assert_eq!(names(&many(16)).split(' ').count(), 16);
        let error = parse(&many(17)).unwrap_err().to_string();
        assert!(error.contains("17 clusters"), "{error}");
    }

    #[test]
    fn numbers_that_cannot_work_are_refused_by_name() {
        for (text, key) in [
            ("[server]\nrotate_s = 0", "server.rotate_s"),
            ("[agent]\nqueue_batches = 0", "agent.queue_batches"),
            ("[agent]\nring_bytes = 5000", "agent.ring_bytes"),
            ("[server]\nagent_certificate_s = 59", "server.agent_certificate_s"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        assert_eq!(parse("[server]\nrotate_s = 1").unwrap().server.rotate_s, 1);
    }
}
