//! Agents and commands that reach the server over the network, with certificates made by hand.

use std::path::Path;
use std::time::Duration;

use sekisho_api::{Client, TlsFiles};
use sekisho_system::wait;

use super::agent::Place;
use super::served::{Served, block_on};
use crate::run::{Answer, run};

const WAIT: Duration = Duration::from_secs(30);

/// A folder of certificates, as `sekisho certificates` makes it.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        Self::made(&[])
    }

    fn made(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls");
        let names = ["--server-name", "localhost", "--server-name", "127.0.0.1"];
        let make = ["certificates", "make", path.to_str().unwrap(), "--cluster", "test"];
        run(&[&make[..], &names, more].concat()).with_code(0);
        Self(folder)
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.0.path().join("tls")
    }

    /// The three flags of `who`.
    fn flags(&self, who: &str) -> Vec<String> {
        let file = |name: &str| self.path().join(who).join(name).to_str().unwrap().to_owned();
        [("--tls-ca", "ca.crt"), ("--tls-cert", "tls.crt"), ("--tls-key", "tls.key")]
            .iter()
            .flat_map(|(flag, name)| [(*flag).to_owned(), file(name)])
            .collect()
    }

    /// The keys of a server.
    fn keys(&self, address: &str) -> String {
        let file = |name: &str| self.path().join("server").join(name);
        format!(
            "listen = {address:?}\ntls.ca = {:?}\ntls.cert = {:?}\ntls.key = {:?}\n",
            file("ca.crt"),
            file("tls.crt"),
            file("tls.key")
        )
    }
}

/// A server on the network, and how to ask it.
struct Remote {
    certificates: Certificates,
    served: Served,
    url: String,
}

impl Remote {
    fn start() -> Self {
        Self::of("")
    }

    /// With further lines of configuration.
    fn of(keys: &str) -> Self {
        Self::with(Certificates::new(), keys)
    }

    fn with(certificates: Certificates, keys: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let served = Served::start(&(certificates.keys(&address.to_string()) + keys));
        Self { certificates, served, url: format!("https://localhost:{}", address.port()) }
    }

    fn ask(&self, who: &str, arguments: &[&str]) -> Answer {
        let flags = self.certificates.flags(who);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        run(&[arguments, &["--server", &self.url], &flags].concat())
    }
}

#[test]
fn commands_work_over_tls_as_over_the_socket_and_each_refusal_says_what_to_do() {
    let remote = Remote::start();
    let status = remote.ask("operator", &["status", "-o", "json"]).with_code(0).json();
    assert!(status["listener"]["accepted"].as_u64().unwrap() >= 1, "{status}");
    let table = remote.ask("operator", &["status"]).with_code(0).out;
    assert!(table.contains("certificate until"), "{table}");
    let refused = remote.ask("agent", &["status"]).with_code(2);
    assert!(refused.err.contains("is no operator"), "{}", refused.err);
    let bare = run(&["status", "--server", &remote.url]).with_code(2);
    assert!(bare.err.contains("--tls-ca"), "{}", bare.err);
    let half = ["status", "--server", &remote.url, "--tls-ca", "x"];
    assert!(run(&half).with_code(2).err.contains("--tls-cert and --tls-key missing"));
    let metrics = block_on(remote.served.client().metrics()).unwrap();
    assert!(metrics.contains("sekisho_certificate_expiry_timestamp_seconds"), "{metrics}");
}

#[test]
fn a_server_on_the_network_without_certificates_does_not_start() {
    let (code, log) = Served::prepared("listen = \"127.0.0.1:0\"").refused();
    assert!(code == 2 && log.contains("nothing is served on the network without TLS"), "{log}");
    let certificates = Certificates::new();
    let key = certificates.path().join("server/tls.key");
    std::fs::remove_file(&key).unwrap();
    let (code, log) = Served::prepared(&certificates.keys("127.0.0.1:0")).refused();
    assert!(code == 2 && log.contains(key.to_str().unwrap()), "{log}");
}

#[test]
fn an_agent_reports_over_tls_and_its_certificate_shows_in_status() {
    let remote = Remote::start();
    let mut place = Place::new();
    let flags = remote.certificates.flags("agent");
    place.start_with(&remote.served, "node-1", &remote.url, &flags);
    let heard = wait::until(WAIT, || {
        let status = remote.served.status();
        let agent = status.agents.iter().find(|agent| agent.node == "node-1")?;
        agent.report.certificate_until
    });
    assert!(heard.is_some(), "{:?}", remote.served.status());
    place.traffic(3);
    remote.served.await_status(|status| status.flows >= 3);
    assert!(remote.served.status().problems.is_empty());
    assert!(place.stop());
}

#[test]
fn hosts_with_certificates_of_their_own_share_none_and_speak_for_themselves() {
    let remote = Remote::with(Certificates::made(&["--node", "web1", "--node", "db1"]), "");
    let path = remote.certificates.path();
    let listed = run(&["certificates", "list", path.to_str().unwrap()]).with_code(0).out;
    assert!(listed.contains("spiffe://test/agent/web1"), "{listed}");
    assert!(!listed.contains("spiffe://test/agent "), "{listed}");
    let file = |name: &str| path.join("agent-web1").join(name);
    let files = TlsFiles { ca: file("ca.crt"), certificate: file("tls.crt"), key: file("tls.key") };
    let client = Client::at(remote.url.parse().unwrap(), Some(files), None).unwrap();
    block_on(client.report("web1", &Default::default())).unwrap();
    let refused = block_on(client.report("db1", &Default::default())).unwrap_err().to_string();
    assert!(refused.contains("`web1`") && refused.contains("`db1`"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let make = ["certificates", "make", folder.path().to_str().unwrap(), "--node", "a/b"];
    assert!(run(&make).with_code(2).err.contains("agent/a/b"));
}

#[test]
fn an_agent_of_another_cluster_needs_a_certificate_that_says_so_and_no_other_cluster_has_its_flows()
{
    let remote = Remote::of("[server.clusters.east]\n");
    let path = remote.certificates.path();
    let add = ["certificates", "add", path.to_str().unwrap(), "agent", "--cluster", "east"];
    run(&add).with_code(0);
    let listed = run(&["certificates", "list", path.to_str().unwrap()]).with_code(0).out;
    assert!(listed.contains("spiffe://east/agent") && listed.contains("spiffe://test/agent"));
    let secrets = ["certificates", "secrets", path.to_str().unwrap(), "--cluster", "east"];
    let secrets = run(&secrets).with_code(0).out;
    assert_eq!(secrets.matches("kind: Secret").count(), 1);
    assert!(secrets.contains("sekisho-agent-tls"), "{secrets}");
    let of_operator =
        ["certificates", "add", path.to_str().unwrap(), "operator/a", "--cluster", "x"];
    assert!(run(&of_operator).with_code(2).err.contains("only agents"));
    let flags = |holder: &str| {
        let mut flags = remote.certificates.flags(holder);
        flags.extend(["--cluster".to_owned(), "east".to_owned()]);
        flags
    };
    let mut place = Place::new();
    place.start_with(&remote.served, "node-1", &remote.url, &flags("agent"));
    place.await_log(&remote.served, "is of an agent of the cluster `test`");
    place.await_log(&remote.served, "--cluster east");
    assert!(remote.served.status().all().all(|of| of.agents.is_empty()));
    place.stop();
    place.start_with(&remote.served, "node-1", &remote.url, &flags("east-agent"));
    remote.served.await_status(|status| {
        !status.others.is_empty() && {
            let of_east = status.others.first();
            of_east.is_some_and(|east| !east.agents.is_empty())
        }
    });
    place.traffic(3);
    let status = remote
        .served
        .await_status(|status| status.others.first().is_some_and(|east| east.flows >= 3));
    assert_eq!((status.cluster_name.as_str(), status.flows), ("default", 0));
    assert_eq!(status.others.first().map(|east| east.cluster_name.as_str()), Some("east"));
    assert!(place.stop());
}

#[test]
fn renewed_certificates_keep_the_old_ones_good_and_come_into_use_without_a_restart() {
    let remote = Remote::start();
    let path = remote.certificates.path();
    let before = std::fs::read(path.join("server/tls.crt")).unwrap();
    let old = tempfile::tempdir().unwrap();
    copy(&path.join("operator"), old.path());
    run(&["certificates", "renew", path.to_str().unwrap(), "--all"]).with_code(0);
    assert_ne!(std::fs::read(path.join("server/tls.crt")).unwrap(), before);
    remote.ask("operator", &["status"]).with_code(0);
    let file = |name: &str| old.path().join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("ca.crt"), file("tls.crt"), file("tls.key"));
    let flags = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
    run(&[&["status", "--server", &remote.url], &flags[..]].concat()).with_code(0);
    let renewed =
        wait::until(WAIT, || remote.served.log().contains("new certificate in use").then_some(()));
    assert!(renewed.is_some(), "{}", remote.served.log());
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
