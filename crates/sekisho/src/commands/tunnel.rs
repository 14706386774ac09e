//! A way into a cluster for those who can use `kubectl`: it forwards a port of this machine's loopback
//! to the server's pod, with the user's kubeconfig and rights, and reads the operator's certificate
//! from its Secret. We speak no protocol of the API server ourselves.
//!
//! The key never has a name on disk: it is in files that are deleted before they are written to, and
//! are gone with this process, however it ends.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use sekisho_api::{ServerAddress, TlsFiles};
use sekisho_system::{command, process, terminate, wait};
use serde::{Deserialize, Serialize, Serializer};

/// Longest wait for an answer of kubectl.
const KUBECTL_WAIT: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(2);
/// Port of the server's Service.
const PORT: u16 = 7_443;
const SCHEME: &str = "kube://";
/// Secret with an operator's certificate, as chart and manifests name it.
const SECRET: &str = "sekisho-operator-tls";
const KEYS: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];
/// Stands between the parts of the Secret; no PEM has it.
const SEPARATOR: &str = "%%%";

/// Where a command finds the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Place {
    /// By itself.
    Direct(ServerAddress),
    /// Through kubectl.
    Cluster(Service),
}

/// A Service in the cluster of the current context of the user's kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// A forwarded port; ends when dropped.
pub(crate) struct Tunnel {
    child: Child,
    port: u16,
    secret: [Hidden; 3],
}

/// A file without a name.
struct Hidden(File);

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return Ok(Self::Direct(text.parse()?));
        };
        let label = |part: &str| {
            let known =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !part.is_empty() && part.bytes().all(known) && !part.starts_with('-')
        };
        match rest.split_once('/') {
            Some((namespace, name)) if label(namespace) && label(name) => {
                Ok(Self::Cluster(Service {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                }))
            }
            _ => bail!("`{text}` is not of the form kube://NAMESPACE/SERVICE"),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        text.parse()
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Direct(address) => address.serialize(serializer),
            Self::Cluster(Service { namespace, name }) => {
                serializer.collect_str(&format_args!("{SCHEME}{namespace}/{name}"))
            }
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self { namespace: "sekisho".to_owned(), name: "sekisho-server".to_owned() }
    }
}

impl Service {
    /// The name in the server's certificate.
    pub(crate) fn dns_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }
}

impl Tunnel {
    /// Reads the operator's Secret and forwards a port to `service`.
    pub(crate) fn open(service: &Service) -> anyhow::Result<Self> {
        let path = std::env::var("PATH").unwrap_or_default();
        let kubectl = process::find_program("kubectl", &path).context(
            "kubectl is not on PATH, and the server in the cluster is reached through it: install \
             it, or give --server https://HOST with --tls-ca, --tls-cert and --tls-key",
        )?;
        let secret = read_secret(&kubectl, &service.namespace)?;
        let (child, port) = forward(&kubectl, service)?;
        Ok(Self { child, port, secret })
    }

    /// Where the server is now.
    pub(crate) fn address(&self) -> ServerAddress {
        ServerAddress::Tls { host: "127.0.0.1".to_owned(), port: self.port }
    }

    /// The operator's certificate.
    pub(crate) fn files(&self) -> TlsFiles {
        let [ca, certificate, key] = self.secret.each_ref().map(Hidden::path);
        TlsFiles { ca, certificate, key }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        terminate(&mut self.child, GRACE);
    }
}

/// The three parts of the Secret. One question: `get` on Secrets is a right of its own.
fn read_secret(kubectl: &Path, namespace: &str) -> anyhow::Result<[Hidden; 3]> {
    let parts = KEYS.map(|key| format!("{{{{index .data {key:?} | base64decode}}}}"));
    let template = format!("go-template={}", parts.join(SEPARATOR));
    let program = kubectl.to_string_lossy();
    let arguments = [program.as_ref(), "-n", namespace, "get", "secret", SECRET, "-o", &template];
    let answer = command::run(&arguments, "", KUBECTL_WAIT).with_context(|| {
        format!(
            "read the operator's certificate from Secret {namespace}/{SECRET}: is Sekisho installed \
             in this cluster and namespace (--server kube://NAMESPACE/SERVICE), and may you read it?"
        )
    })?;
    let parts: Vec<&str> = answer.stdout.split(SEPARATOR).collect();
    let parts = <[&str; 3]>::try_from(parts).ok();
    let [ca, certificate, key] = parts.with_context(|| {
        format!("Secret {namespace}/{SECRET} does not hold {}", KEYS.join(", "))
    })?;
    Ok([Hidden::holding(ca)?, Hidden::holding(certificate)?, Hidden::holding(key)?])
}

/// Starts `kubectl port-forward` and waits until it listens.
fn forward(kubectl: &Path, service: &Service) -> anyhow::Result<(Child, u16)> {
    let (words, errors) = (Hidden::holding("")?, Hidden::holding("")?);
    let target = format!("service/{}", service.name);
    let mut command = process::prepare(kubectl);
    command.args(["-n", &service.namespace, "port-forward", "--address", "127.0.0.1"]);
    command.arg(target).arg(format!(":{PORT}"));
    command.stdin(Stdio::null()).stdout(words.copy()?).stderr(errors.copy()?);
    let mut child = command.spawn().context("start kubectl port-forward")?;
    let said = wait::until(KUBECTL_WAIT, || {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(Err(status));
        }
        forwarded_port(&words.text()).map(Ok)
    });
    match said {
        Some(Ok(port)) => Ok((child, port)),
        Some(Err(status)) => bail!(
            "kubectl port-forward to {}/{} ended with {status}: {}",
            service.namespace,
            service.name,
            errors.text().trim()
        ),
        None => {
            terminate(&mut child, GRACE);
            bail!(
                "kubectl port-forward to {}/{} did not get ready within {} s: {}",
                service.namespace,
                service.name,
                KUBECTL_WAIT.as_secs(),
                errors.text().trim()
            )
        }
    }
}

/// The port in `Forwarding from 127.0.0.1:40123 -> 7443`.
fn forwarded_port(words: &str) -> Option<u16> {
    let line =
        words.lines().find(|line| line.contains(" -> ") && line.starts_with("Forwarding"))?;
    line.split(" -> ").next()?.rsplit(':').next()?.parse().ok()
}

impl Hidden {
    fn holding(text: &str) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sekisho-{}-{number}", std::process::id()));
        let failed = || format!("make a file in `{}`", std::env::temp_dir().display());
        let mut options = File::options();
        let opened = options.read(true).append(true).create_new(true).mode(0o600).open(&path);
        let mut file = opened.with_context(failed)?;
        std::fs::remove_file(&path).with_context(failed)?;
        file.write_all(text.as_bytes()).with_context(failed)?;
        Ok(Self(file))
    }

    /// Opens the file as long as this process holds it (proc(5), `/proc/pid/fd`).
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    fn copy(&self) -> anyhow::Result<File> {
        self.0.try_clone().context("hand a file to kubectl")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap_or_default()
    }
}

/// Whether we were started as `kubectl sekisho`.
pub(crate) fn is_plugin() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    name.as_deref().and_then(Path::file_name).is_some_and(|name| name == "kubectl-sekisho")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_clusters_are_read_and_others_are_addresses() {
        let place: Place = "kube://a/b".parse().unwrap();
        let service = Service { namespace: "a".to_owned(), name: "b".to_owned() };
        assert_eq!(service.dns_name(), "b.a.svc");
        assert_eq!(place, Place::Cluster(service));
        for wrong in
            ["kube://", "kube://a", "kube://a/", "kube:///b", "kube://a/b/c", "kube://-n/b"]
        {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
        assert!(matches!("/run/x.sock".parse(), Ok(Place::Direct(_))));
    }

    #[test]
    fn the_port_is_read_from_the_words_of_kubectl() {
        let words =
            "Forwarding from 127.0.0.1:40123 -> 7443\nForwarding from [::1]:40123 -> 7443\n";
        assert_eq!(forwarded_port(words), Some(40_123));
        assert_eq!(forwarded_port("Handling connection for 1"), None);
    }

    #[test]
    fn a_hidden_file_is_read_by_its_path_and_has_no_name() {
        let hidden = Hidden::holding("secret").unwrap();
        assert_eq!(std::fs::read_to_string(hidden.path()).unwrap(), "secret");
        let target = std::fs::read_link(hidden.path()).unwrap();
        assert!(!target.exists() && target.to_string_lossy().contains("deleted"));
    }
}
