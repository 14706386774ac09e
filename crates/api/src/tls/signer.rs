//! Certificates for single nodes, which a server makes for the agents that report to it.
//!
//! The authority is of this process: its key is in memory only, and nobody but this process's
//! listener believes what it signs. So there is no file to steal, whoever takes the server over can
//! sign nothing that others believe, and an agent asks anew after the server's restart.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sekisho_model::Timestamp;

use super::{Authority, AuthorityError, Identity, Role};

/// How long a certificate of a node is good, seconds: a day. It is renewed after half of that, so an
/// API server that attests nothing may be away for the other half.
pub(crate) const NODE_LIFE_S: u64 = 86_400;
/// Life of the authority, days: longer than any process.
const AUTHORITY_DAYS: u32 = 3_650;

/// Signs certificates of the agents of single nodes.
#[derive(Debug)]
pub(crate) struct Signer {
    authority: Authority,
    root: CertificateDer<'static>,
    pub(crate) life_s: u64,
}

impl Signer {
    /// Makes a new authority.
    pub(crate) fn make(now: Timestamp) -> Result<Self, AuthorityError> {
        let name = format!("sekisho nodes since {now}");
        let authority = Authority::named(&name, now, AUTHORITY_DAYS)?;
        let root = CertificateDer::from_pem_slice(authority.certificate().as_bytes())
            .map_err(|error| AuthorityError::Unreadable(error.to_string()))?;
        Ok(Self { authority, root, life_s: NODE_LIFE_S })
    }

    /// What the listener has to believe.
    pub(crate) fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// Signs `request` (PKCS #10 in PEM) for the agent on `node` of `cluster`, as certificates name
    /// it; gives the certificate in PEM. That it is the agent there has to be known before.
    pub(crate) fn sign(
        &self,
        cluster: &str,
        node: &str,
        request: &str,
        now: Timestamp,
    ) -> Result<String, AuthorityError> {
        let identity = of_node(cluster, node)?;
        self.authority.sign(&identity, request, now, self.life_s)
    }
}

/// The identity of the agent on `node`, if that is a name.
pub(crate) fn of_node(cluster: &str, node: &str) -> Result<Identity, AuthorityError> {
    let role = Role::Agent(Some(node.to_owned()));
    let identity = Identity { cluster: cluster.to_owned(), role };
    match identity.to_string().parse::<Identity>() {
        Ok(read) if read == identity => Ok(identity),
        Ok(_) | Err(_) => Err(AuthorityError::Request(format!(
            "`{}` is no name of a node: letters, digits, . - _",
            sekisho_base::harmless(node)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::authority::request;
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_800_000_000)
    }

    fn asked(node: &str) -> String {
        request(&of_node("a", node).unwrap()).unwrap().1
    }

    #[test]
    fn a_request_gets_a_certificate_of_its_node_for_as_long_as_is_said() {
        let signer = Signer::make(now()).unwrap();
        let pem = signer.sign("a", "node-1", &asked("node-1"), now()).unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let identity = Identity::of_certificate(&der).unwrap();
        assert_eq!(identity.to_string(), "spiffe://a/agent/node-1");
        let (_from, until) = super::super::identity::validity(&der).unwrap();
        assert_eq!(until, now().plus_seconds(NODE_LIFE_S));
    }

    #[test]
    fn a_request_for_another_name_or_for_more_than_one_is_refused() {
        let signer = Signer::make(now()).unwrap();
        let refused = |cluster: &str, node: &str, request: &str| {
            let refused = signer.sign(cluster, node, request, now());
            matches!(refused, Err(AuthorityError::Request(_)))
        };
        assert!(!refused("a", "node-1", &asked("node-1")));
        // What one node asked for is of no use to another.
        assert!(refused("a", "node-2", &asked("node-1")));
        assert!(refused("b", "node-1", &asked("node-1")));
        let operator: Identity = "spiffe://a/operator/node-1".parse().unwrap();
        assert!(refused("a", "node-1", &request(&operator).unwrap().1));
        let shared: Identity = "spiffe://a/agent".parse().unwrap();
        assert!(refused("a", "node-1", &request(&shared).unwrap().1));
        for node in ["", ".", "../x", "a/b", "node 1"] {
            assert!(refused("a", node, &asked("node-1")), "{node}");
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let mut two = rcgen::CertificateParams::new(["server".to_owned()]).unwrap();
        two.subject_alt_names
            .push(rcgen::SanType::URI("spiffe://a/agent/node-1".to_owned().try_into().unwrap()));
        assert!(refused("a", "node-1", &two.serialize_request(&key).unwrap().pem().unwrap()));
    }

    #[test]
    fn a_request_that_was_changed_or_is_none_is_refused() {
        let signer = Signer::make(now()).unwrap();
        let good = asked("node-1");
        let der = pem(&good);
        // Of the name, of the key (SEC 1 §2.3.3: a point begins with 4), and of the signature.
        let name = place(&der, b"spiffe://a/agent/node-1");
        let key = place(&der, &[0x03, 0x42, 0x00, 0x04]);
        for at in name..name + 23 {
            assert!(!accepted(&signer, &der, at), "byte {at} of the name");
        }
        for at in (key + 4..key + 68).chain(der.len() - 24..der.len()) {
            assert!(!accepted(&signer, &der, at), "byte {at} of the key or the signature");
        }
        for text in ["", "x", "-----BEGIN CERTIFICATE REQUEST-----", &armoured(b"x")] {
            assert!(signer.sign("a", "node-1", text, now()).is_err(), "{text}");
        }
        assert!(signer.sign("a", "node-1", &armoured(&der), now()).is_ok());
    }

    /// Whether the request is accepted with a bit of the byte `at` changed.
    fn accepted(signer: &Signer, der: &[u8], at: usize) -> bool {
        let mut bytes = der.to_vec();
        bytes[at] ^= 1;
        signer.sign("a", "node-1", &armoured(&bytes), now()).is_ok()
    }

    fn place(all: &[u8], part: &[u8]) -> usize {
        all.windows(part.len()).position(|window| window == part).unwrap()
    }

    fn pem(text: &str) -> Vec<u8> {
        let request =
            rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(text.as_bytes());
        request.unwrap().to_vec()
    }

    /// PEM is base64 (RFC 7468), which nothing here brings for other things than certificates.
    fn armoured(bytes: &[u8]) -> String {
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for part in bytes.chunks(3) {
            let all = part.iter().chain([&0, &0]).take(3);
            let bits = all.fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
            for at in 0..4 {
                let letter = letters[(bits >> (18 - 6 * at)) & 63] as char;
                text.push(if at <= part.len() { letter } else { '=' });
            }
        }
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    }
}
