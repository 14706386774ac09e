//! The codes of findings: stable, so that CI and comments can name them.

use super::finding::Severity;

/// A kind of mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// Stable id, e.g. `SK101`.
    pub id: &'static str,
    /// Name in words, e.g. `selects-nothing`.
    pub name: &'static str,
    /// How bad it is, unless the finding knows better.
    pub severity: Severity,
    /// What it is, in a phrase.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// Manifests with the mistake, as YAML.
    pub bad: &'static str,
    /// The same without it.
    pub good: &'static str,
}

/// The code of this id or name.
#[must_use]
pub fn find(text: &str) -> Option<&'static Code> {
    CODES.iter().copied().find(|code| code.id.eq_ignore_ascii_case(text) || code.name == text)
}

macro_rules! codes {
    ($($ident:ident: $id:literal $name:literal $severity:ident $title:literal, $why:literal;)*) => {
        $(
            pub(crate) static $ident: Code = Code {
                id: $id,
                name: $name,
                severity: Severity::$severity,
                title: $title,
                why: $why,
                bad: include_str!(concat!("cases/", $id, ".bad.yaml")),
                good: include_str!(concat!("cases/", $id, ".good.yaml")),
            };
        )*

        /// All codes, sorted.
        pub static CODES: &[&Code] = &[$(&$ident,)*];
    };
}

codes! {
    UNUSED_SUPPRESSION: "SK001" "unused-suppression" Note "a comment that silences nothing",
        "A `sekisho:ignore` comment without a finding stays behind when the mistake is \
         gone, and would hide the next one.";
    NO_REASON: "SK002" "suppression-without-reason" Warning "a silenced finding without a reason",
        "Whoever reads the comment in a year must know why the finding was accepted.";
    SELECTS_NOTHING: "SK101" "selects-nothing" Warning "a policy that selects no pod",
        "The policy has no effect, and the pods that it was meant for stay open.";
    PEER_MATCHES_NOTHING: "SK102" "peer-matches-nothing" Warning "a peer that matches no pod",
        "The rule does nothing for this peer: what was to be allowed is denied. A \
         podSelector without namespaceSelector searches the policy's own namespace only.";
    DUPLICATE_NAME: "SK103" "duplicate-name" Error "two policies of one name",
        "A second object of the same kind, namespace and name replaces the first when \
         both are applied.";
    HOST_NETWORK_POD: "SK104" "host-network-pod" Warning "a policy that selects pods on the host's network",
        "Plugins see such pods as their node and apply no NetworkPolicy to them.";
    NAMESPACE_WITHOUT_POLICY: "SK105" "namespace-without-policy" Note "a namespace without policies",
        "Pods that no policy selects accept connections from everywhere.";
    WORKLOAD_NOT_ISOLATED: "SK106" "workload-not-isolated" Note "a workload that no policy isolates",
        "Policies protect others in the namespace, and not this workload.";
    SHADOWED_RULE: "SK201" "shadowed-rule" Warning "a rule that another one of its policy holds",
        "Allowing twice is allowing once. Often the wider rule is the mistake: it was \
         meant to be narrower.";
    REDUNDANT_RULE: "SK202" "redundant-rule" Warning "a rule that another policy holds",
        "Another policy that selects the same pods allows all of it already.";
    REDUNDANT_POLICY: "SK203" "redundant-policy" Warning "a policy that changes nothing",
        "Without the policy every connection is decided as before.";
    UNREACHABLE_RULE: "SK204" "unreachable-rule" Warning "a rule that never decides",
        "Rules that come before it in the order of tiers and priorities, or the default \
         denial at the end of an earlier tier, decide all that it would match.";
    UNMATCHED_NAMED_PORT: "SK301" "unmatched-named-port" Warning "a named port that no pod has",
        "A name is looked up in the containers of the destination pod; where it is \
         missing the rule matches nothing, it does not match everything.";
    NAMED_PORT_DIFFERS: "SK302" "named-port-differs" Note "a named port with several numbers",
        "Each destination pod opens the number that it gives the name.";
    NAMED_PORT_WITH_IP_BLOCK: "SK303" "named-port-with-ip-block" Warning "a named port of an ipBlock",
        "Addresses outside the cluster have no named ports, so the rule never matches \
         them.";
    SERVICE_PORT: "SK304" "service-port" Warning "the port of a Service in place of the pod's",
        "Policy is decided after the Service's address and port were replaced by those of \
         a pod: it sees targetPort.";
    PORT_NOT_DECLARED: "SK305" "port-not-declared" Note "a port that no pod declares",
        "Containers may listen on ports that they do not declare, but most often the \
         number is outdated.";
    IP_BLOCK_FOR_PODS: "SK401" "ip-block-for-pods" Warning "an ipBlock with addresses of pods",
        "Pod addresses change with every restart, and plugins disagree on whether a range \
         matches pods at all.";
    SERVICE_ADDRESS: "SK402" "service-address" Warning "an ipBlock with the address of a Service",
        "The address of a Service is replaced by that of a pod before policy is asked.";
    EXCEPT_ADDS_NOTHING: "SK403" "except-adds-nothing" Warning "an exception without effect",
        "`except` takes away from its own cidr only; another rule that holds the \
         addresses allows them all the same.";
    IPV4_ONLY: "SK404" "ipv4-only" Warning "IPv4 ranges in a cluster with both families",
        "0.0.0.0/0 does not hold IPv6: over IPv6 the same peers are denied.";
    CIDR_HOST_BITS: "SK405" "cidr-host-bits" Note "a range with bits that count for nothing",
        "10.0.0.5/8 is all of 10.0.0.0/8; perhaps 10.0.0.5/32 was meant.";
    ALLOWS_WORLD: "SK501" "allows-world" Warning "a rule for the whole world",
        "Everybody, or every address, may connect. A note where a Service shows the port \
         to the world anyway, and for calls to the outside on certain ports.";
    ALLOWS_ALL: "SK502" "allows-all" Warning "a rule that allows everything",
        "`[{}]` is a rule for everyone on every port; the policy restricts nothing in \
         this direction.";
    DNS_CUT_OFF: "SK503" "dns-cut-off" Warning "pods that can't ask for names",
        "Egress is isolated and the cluster's DNS is not allowed over UDP and TCP 53: \
         connections by name fail. A note where all that is allowed is reached by \
         address.";
    EXPOSED_PORT_DENIED: "SK504" "exposed-port-denied" Warning "a Service whose port no rule allows",
        "The Service, or an Ingress or route in front of it, leads to a port that \
         policies keep shut.";
    IGNORED_RULES: "SK505" "ignored-rules" Error "rules of a direction that policyTypes leaves out",
        "The rules are ignored, and the direction stays open.";
    IMPLICIT_INGRESS_DENY: "SK506" "implicit-ingress-deny" Warning "egress rules that deny all ingress",
        "Without policyTypes a policy always isolates ingress, even if it has egress \
         rules only.";
    EMPTY_LIST_MEANS_ALL: "SK507" "empty-list-means-all" Warning "an empty list that means everybody",
        "`from: []`, `to: []` and `ports: []` are the same as leaving the field out: any \
         peer, any port.";
    NAME_CONTRADICTS: "SK508" "name-contradicts" Warning "a policy that does the opposite of its name",
        "`ingress: []` denies all and `ingress: [{}]` allows all; they are easily mixed \
         up.";
    ICMP_UNDEFINED: "SK509" "icmp-undefined" Note "ICMP, which NetworkPolicy does not define",
        "Plugins differ on whether ping and path MTU discovery pass a rule without ports.";
    PROBE_PORT_DENIED: "SK510" "probe-port-denied" Note "a probed port that no rule allows",
        "The kubelet of the pod's own node is always let in; checks from elsewhere are \
         not.";
    METRICS_DENIED: "SK511" "metrics-denied" Note "metrics that nobody may scrape",
        "The pod's annotations ask Prometheus to come, and no rule lets anyone reach the \
         port.";
    NOTHING_ISOLATED: "SK512" "nothing-isolated" Warning "an empty egress that denies nothing",
        "`egress: []` without policyTypes is the same as no egress at all: only ingress \
         is isolated.";
    EQUAL_PRIORITIES: "SK601" "equal-priorities" Warning "policies of equal priority that disagree",
        "Which of them is asked first is undefined, and the answer depends on it.";
    FAILS_CLOSED: "SK602" "fails-closed" Error "a rule with an unknown peer or port",
        "Implementations must fail closed: an Accept matches nothing, a Deny or Pass \
         denies everything.";
    NOT_EVALUATED: "SK603" "not-evaluated" Note "a policy of a kind that is not read",
        "Answers leave it out.";
    PLUGINS_DIFFER: "SK701" "plugins-differ" Warning "a rule that plugins read differently",
        "The same manifest allows on one network plugin what it denies on another. A note where the rule is for the whole world.";
    CILIUM_EMPTY_RULE: "SK801" "cilium-empty-rule" Warning "an empty rule or list in a Cilium policy",
        "Empty means nobody in CiliumNetworkPolicy and everybody in NetworkPolicy.";
}
