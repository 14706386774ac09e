//! A webhook of the cluster, as its people run one: a server with TLS that the API server asks about
//! NetworkPolicies of one namespace, and that answers as the test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sekisho_api::{Authority, Issued};
use sekisho_base::Clock;
use sekisho_model::Timestamp;
use sekisho_system::{command, wait};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::cluster::Cluster;
use crate::server::{WAIT, policies};

/// What it answers.
pub(crate) enum Verdict {
    Allow,
    /// No, with these words.
    Deny(String),
    /// Yes, with these changes (RFC 6902).
    Change(Value),
}

/// Looks at the request of an AdmissionReview (admission.k8s.io/v1).
pub(crate) type Judge = Box<dyn FnMut(&Value) -> Verdict + Send>;

/// A webhook; gone with the value.
pub(crate) struct Gate<'a> {
    cluster: &'a Cluster,
    kind: &'static str,
    name: String,
    judge: Arc<Mutex<Judge>>,
    _runtime: tokio::runtime::Runtime,
}

impl<'a> Gate<'a> {
    /// Makes one that rejects, of kind `validating`, or one that changes, of kind `mutating`; returns
    /// when the API server asks it.
    pub(crate) fn new(cluster: &'a Cluster, kind: &'static str, namespace: &str) -> Self {
        let now = Timestamp::from_nanos(sekisho_system::SystemClock.now());
        let authority = Authority::make("gate", now, 2).unwrap();
        let identity = "spiffe://gate/server".parse().unwrap();
        let issued = authority.issue(&identity, &["127.0.0.1".to_owned()], now, 1).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let judge: Arc<Mutex<Judge>> = Arc::new(Mutex::new(Box::new(|_request| Verdict::Allow)));
        runtime.spawn(serve(listener, acceptor(&issued), Arc::clone(&judge)));
        let name = namespace.to_owned();
        let gate = Self { cluster, kind, name, judge, _runtime: runtime };
        gate.install(address, authority.certificate());
        gate
    }

    fn install(&self, address: SocketAddr, authority: &str) {
        let bundle = command::run(&["base64", "--wrap=0"], authority, WAIT).unwrap().stdout;
        let configuration = match self.kind {
            "mutating" => "MutatingWebhookConfiguration",
            _ => "ValidatingWebhookConfiguration",
        };
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": configuration,
            "metadata": {"name": self.name},
            "webhooks": [{
                "name": "gate.example.com",
                "clientConfig": {"url": format!("https://{address}/"), "caBundle": bundle.trim()},
                "rules": [{
                    "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["networkpolicies"],
                }],
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": self.name},
                },
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
            }],
        });
        self.judge(|_request| Verdict::Deny("it is asked".to_owned()));
        self.cluster.apply(&configuration.to_string());
        // The API server uses a new webhook a moment later.
        let used = || {
            let words = ["create", "--dry-run=server", "-f", "-"];
            let probe = policies(&self.name, &["probe"], 1);
            let refused = self.cluster.try_kubectl(&words, &probe).err()?;
            refused.contains("it is asked").then_some(())
        };
        assert!(wait::until(WAIT, used).is_some(), "the API server does not ask the webhook");
        self.judge(|_request| Verdict::Allow);
    }

    /// Answers so from now on.
    pub(crate) fn judge(&self, judge: impl FnMut(&Value) -> Verdict + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        let kind = format!("{}webhookconfiguration", self.kind);
        self.cluster.kubectl(&["delete", &kind, &self.name]);
    }
}

fn acceptor(issued: &Issued) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, judge: Arc<Mutex<Judge>>) {
    while let Ok((stream, _from)) = listener.accept().await {
        let (acceptor, judge) = (acceptor.clone(), Arc::clone(&judge));
        tokio::spawn(async move {
            // A client that breaks off asks again.
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let Some(question) = body(&mut stream).await else { return };
            let review: Value = serde_json::from_slice(&question).unwrap();
            let answer = answer(&review, &mut judge.lock().unwrap()).to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + &answer).as_bytes()).await.ok();
            stream.shutdown().await.ok();
        });
    }
}

/// The body of the one request on a connection; None if it breaks off.
async fn body(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    let length: usize = length.trim().parse().ok()?;
    while read.len() < end + length {
        (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
    }
    Some(read.split_off(end))
}

fn answer(review: &Value, judge: &mut Judge) -> Value {
    let request = &review["request"];
    let mut response = json!({"uid": request["uid"], "allowed": true});
    match judge(request) {
        Verdict::Allow => {}
        Verdict::Deny(words) => {
            response["allowed"] = json!(false);
            response["status"] = json!({"code": 403, "message": words});
        }
        Verdict::Change(patch) => {
            let patch = command::run(&["base64", "--wrap=0"], &patch.to_string(), WAIT).unwrap();
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(patch.stdout.trim());
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}
