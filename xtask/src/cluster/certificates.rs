//! The cluster's certificates and kubeconfigs, made by openssl as Kubernetes' "PKI certificates and
//! requirements" lists them: who is who is said by common name and organisation.
//!
//! They live for ten years, but the cluster for minutes; the keys are readable by root only.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::plan::{NODES, Plan};
use crate::run;

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authority {
    /// Servers and clients.
    Cluster,
    /// The API server towards the API servers that extend it.
    FrontProxy,
}

impl Authority {
    fn file(self) -> &'static str {
        match self {
            Self::Cluster => "ca",
            Self::FrontProxy => "front-proxy-ca",
        }
    }
}

/// A certificate to be made.
struct Wanted {
    /// File name without ending, in `pki/`.
    file: String,
    /// The subject as openssl takes it, e.g. `/O=system:masters/CN=admin`.
    subject: String,
    /// Names and addresses that a server answers for; empty for a client.
    names: Vec<String>,
    by: Authority,
}

/// Makes all certificates, and a kubeconfig for each component and for the administrator.
///
/// # Errors
/// If openssl fails or a file can't be written.
pub(crate) fn make(plan: &Plan, server: &str) -> Result<()> {
    let folder = plan.path("pki");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    for authority in [Authority::Cluster, Authority::FrontProxy] {
        let name = authority.file();
        let subject = format!("/CN={}-{name}", plan.name());
        openssl(&folder, &["req", "-x509", "-subj", &subject], &self_signed(name))?;
    }
    for wanted in wanted(plan) {
        leaf(&folder, &wanted)?;
    }
    service_accounts(&folder)?;
    for (user, certificate) in users() {
        kubeconfig(plan, server, &user, &certificate)?;
    }
    Ok(())
}

const KEY: [&str; 6] =
    ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days=3650"];

fn self_signed(name: &str) -> Vec<String> {
    let extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"];
    let mut arguments = vec!["-keyout".to_owned(), format!("{name}.key")];
    arguments.extend(["-out".to_owned(), format!("{name}.crt")]);
    for extension in extensions {
        arguments.extend(["-addext".to_owned(), extension.to_owned()]);
    }
    arguments
}

fn leaf(folder: &Path, wanted: &Wanted) -> Result<()> {
    let authority = wanted.by.file();
    let mut arguments = self_signed(&wanted.file);
    arguments.truncate(4);
    let mut extensions = vec![
        "basicConstraints=critical,CA:FALSE".to_owned(),
        "keyUsage=critical,digitalSignature".to_owned(),
    ];
    if wanted.names.is_empty() {
        extensions.push("extendedKeyUsage=clientAuth".to_owned());
    } else {
        // etcd's server is also its own client.
        extensions.push("extendedKeyUsage=serverAuth,clientAuth".to_owned());
        extensions.push(format!("subjectAltName={}", wanted.names.join(",")));
    }
    for extension in extensions {
        arguments.extend(["-addext".to_owned(), extension]);
    }
    arguments.extend(["-CA".to_owned(), format!("{authority}.crt")]);
    arguments.extend(["-CAkey".to_owned(), format!("{authority}.key")]);
    openssl(folder, &["req", "-x509", "-subj", &wanted.subject], &arguments)
}

fn openssl(folder: &Path, start: &[&str], rest: &[String]) -> Result<()> {
    let mut openssl = run::command("openssl");
    openssl.current_dir(folder).args(start);
    for argument in KEY {
        openssl.args(argument.split('='));
    }
    run::quietly(openssl.args(rest))
}

/// The key with which tokens of service accounts are signed, and what checks them.
fn service_accounts(folder: &Path) -> Result<()> {
    let key = ["genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    run::quietly(run::command("openssl").current_dir(folder).args(key).args(["-out", "sa.key"]))?;
    let public = ["pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub"];
    run::quietly(run::command("openssl").current_dir(folder).args(public))
}

fn wanted(plan: &Plan) -> Vec<Wanted> {
    let client = |file: &str, subject: &str| Wanted {
        file: file.to_owned(),
        subject: subject.to_owned(),
        names: Vec::new(),
        by: Authority::Cluster,
    };
    let mut list = vec![
        server("apiserver", "/CN=kube-apiserver", api_names(plan)),
        server("etcd", "/CN=etcd", vec!["DNS:localhost".to_owned(), "IP:127.0.0.1".to_owned()]),
        client("apiserver-etcd-client", "/CN=kube-apiserver-etcd-client"),
        client("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        client("admin", "/O=system:masters/CN=admin"),
        client("kube-controller-manager", "/CN=system:kube-controller-manager"),
        client("kube-scheduler", "/CN=system:kube-scheduler"),
        client("kube-proxy", "/CN=system:kube-proxy"),
        Wanted {
            by: Authority::FrontProxy,
            ..client("front-proxy-client", "/CN=front-proxy-client")
        },
    ];
    for node in 1..=NODES {
        let names = vec![format!("DNS:node{node}"), format!("IP:{}", plan.node(node))];
        let subject = format!("/O=system:nodes/CN=system:node:node{node}");
        list.push(server(&format!("node{node}"), &subject, names));
    }
    list
}

fn server(file: &str, subject: &str, names: Vec<String>) -> Wanted {
    let (file, subject) = (file.to_owned(), subject.to_owned());
    Wanted { file, subject, names, by: Authority::Cluster }
}

fn api_names(plan: &Plan) -> Vec<String> {
    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    ];
    let addresses = ["127.0.0.1".to_owned(), plan.host().to_string()];
    let service = plan.api_service().to_string();
    let dns = names.iter().map(|name| format!("DNS:{name}"));
    dns.chain(addresses.into_iter().chain([service]).map(|ip| format!("IP:{ip}"))).collect()
}

/// Users with a kubeconfig, and the certificate that each shows.
fn users() -> Vec<(String, String)> {
    let plain = ["admin", "kube-controller-manager", "kube-scheduler", "kube-proxy"];
    let nodes = (1..=NODES).map(|node| (format!("kubelet{node}"), format!("node{node}")));
    plain.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).chain(nodes).collect()
}

fn kubeconfig(plan: &Plan, server: &str, user: &str, certificate: &str) -> Result<()> {
    let name = plan.name();
    // Only the administrator's is taken elsewhere (into a pod, to another machine), so its
    // certificates are inside.
    let inside = user == "admin";
    let pem = |file: String| -> Result<serde_json::Value> {
        let path = plan.path("pki").join(file);
        if !inside {
            return Ok(json!(path));
        }
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(json!(base64(&text)))
    };
    let key = |plain: &str| if inside { format!("{plain}-data") } else { plain.to_owned() };
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": {
            "server": server, key("certificate-authority"): pem("ca.crt".to_owned())? } }],
        "users": [{ "name": user, "user": {
            key("client-certificate"): pem(format!("{certificate}.crt"))?,
            key("client-key"): pem(format!("{certificate}.key"))? } }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": user } }],
        "current-context": name,
    });
    let path = plan.path(format!("{user}.kubeconfig"));
    fs::write(&path, serde_json::to_string_pretty(&config)?)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(fs::set_permissions(&path, Permissions::from_mode(0o600))?)
}

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_usize, |group, at| {
            group << 8 | chunk.get(at).map_or(0, |byte| usize::from(*byte))
        });
        for place in 0..4 {
            let letter = ALPHABET.get(group >> (18 - 6 * place) & 63).copied().unwrap_or(b'=');
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648 §10.
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in vectors {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn the_api_server_answers_for_its_service_and_for_the_fabric() {
        let plan = Plan { index: 3, state: "/s".into() };
        let names = api_names(&plan);
        for name in ["IP:10.163.0.1", "IP:172.30.3.1", "DNS:kubernetes.default.svc"] {
            assert!(names.iter().any(|known| known == name), "{names:?}");
        }
    }
}
