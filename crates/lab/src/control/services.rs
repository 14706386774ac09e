//! Services as nftables tables: pure text, one complete script per node.
//!
//! A packet to a Service's address and port is sent to one of its ready endpoints, chosen at
//! random; one without ready endpoints is refused, as kube-proxy does (Kubernetes v1.34,
//! pkg/proxy/nftables). The source stays the pod's, except where a pod reaches itself.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use sekisho_manifest::{PodSpec, PortRef, Service, ServicePort};
use sekisho_model::Protocol;

/// The table, in the families `ip` and `ip6`.
const TABLE: &str = "sekisho_lab_services";

/// A ready pod behind a Service.
#[derive(Clone, Debug)]
pub(super) struct Backend<'a> {
    pub(super) addresses: &'a [IpAddr],
    pub(super) spec: &'a PodSpec,
}

/// One port of one address of a Service with where it leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    /// Service address and port.
    pub(super) from: SocketAddr,
    pub(super) protocol: Protocol,
    /// Ready endpoints, sorted; empty = refused.
    pub(super) to: Vec<SocketAddr>,
}

/// The routes of a Service: per address and port the endpoints of the same family.
pub(super) fn routes(service: &Service, backends: &[Backend<'_>]) -> Vec<Route> {
    let mut routes = Vec::new();
    for ip in &service.cluster_ips {
        for port in &service.ports {
            let same_family = |backend: &Backend<'_>| {
                backend.addresses.iter().find(|it| it.is_ipv4() == ip.is_ipv4()).copied()
            };
            let mut to: Vec<SocketAddr> = backends
                .iter()
                .filter_map(|backend| {
                    Some(SocketAddr::new(same_family(backend)?, target(port, backend.spec)?))
                })
                .collect();
            to.sort();
            let from = SocketAddr::new(*ip, port.port);
            routes.push(Route { from, protocol: port.protocol, to });
        }
    }
    routes
}

/// The port number behind a Service port in one pod: named ports are the pod's own.
pub(super) fn target(port: &ServicePort, spec: &PodSpec) -> Option<u16> {
    match &port.target_port {
        PortRef::Number(number) => Some(*number),
        PortRef::Name(name) => spec
            .ports()
            .find(|it| it.name == *name && it.protocol == port.protocol)
            .map(|it| it.port),
    }
}

/// The complete script that replaces a node's tables by these routes. `own` are the node's
/// addresses, the source of packets of a pod to itself.
pub(super) fn script(routes: &[Route], own: &[IpAddr]) -> String {
    let mut script = String::new();
    for is_v6 in [false, true] {
        let family: Vec<&Route> = routes.iter().filter(|it| it.from.is_ipv6() == is_v6).collect();
        let source = own.iter().find(|address| address.is_ipv6() == is_v6);
        table(&mut script, is_v6, &family, source);
    }
    script
}

fn table(script: &mut String, is_v6: bool, routes: &[&Route], source: Option<&IpAddr>) {
    let (family, kind) = if is_v6 { ("ip6", "ipv6_addr") } else { ("ip", "ipv4_addr") };
    let mut chains = String::new();
    let mut services = Vec::new();
    let mut refused = Vec::new();
    let mut hairpins = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let Some(protocol) = protocol_name(route.protocol) else { continue };
        let key = format!("{} . {protocol} . {}", route.from.ip(), route.from.port());
        if route.to.is_empty() {
            refused.push(key);
            continue;
        }
        services.push(format!("{key} : goto service{index}"));
        let targets: Vec<String> = (0..)
            .zip(&route.to)
            .map(|(number, to): (u32, _)| format!("{number} : {} . {}", to.ip(), to.port()))
            .collect();
        let count = targets.len();
        let targets = targets.join(", ");
        line(&mut chains, &format!("  chain service{index} {{"));
        line(
            &mut chains,
            &format!(
                "    meta l4proto {protocol} dnat to numgen random mod {count} map {{ {targets} }}"
            ),
        );
        line(&mut chains, "  }");
        hairpins.extend(route.to.iter().map(|to| format!("{} . {}", to.ip(), to.ip())));
    }
    hairpins.sort();
    hairpins.dedup();
    // Declared, deleted and made anew in one transaction: there is never a moment without it.
    line(script, &format!("table {family} {TABLE}\ndelete table {family} {TABLE}"));
    line(script, &format!("table {family} {TABLE} {{"));
    let address_port = format!("{kind} . inet_proto . inet_service");
    line(script, &set("map services", &format!("{address_port} : verdict"), &services));
    line(script, &set("set refused", &address_port, &refused));
    line(script, &set("set hairpins", &format!("{kind} . {kind}"), &hairpins));
    script.push_str(&chains);
    let key = format!("{family} daddr . meta l4proto . th dport");
    let hairpin = source.map_or(String::new(), |source| {
        format!("{family} saddr . {family} daddr @hairpins snat to {source};")
    });
    line(
        script,
        &format!(
            "  chain prerouting {{ type nat hook prerouting priority dstnat; {key} vmap @services; }}
  chain output {{ type nat hook output priority -100; {key} vmap @services; }}
  chain postrouting {{ type nat hook postrouting priority srcnat - 1; {hairpin} }}
  chain refuse_forward {{ type filter hook forward priority filter - 10; {key} @refused reject; }}
  chain refuse_output {{ type filter hook output priority filter - 10; {key} @refused reject; }}
}}"
        ),
    );
}

fn set(name: &str, kind: &str, elements: &[String]) -> String {
    if elements.is_empty() {
        return format!("  {name} {{ type {kind}; }}");
    }
    format!("  {name} {{ type {kind}; elements = {{ {} }}; }}", elements.join(", "))
}

fn line(script: &mut String, text: &str) {
    // Writing to a String can't fail.
    let _infallible: Result<(), std::fmt::Error> = writeln!(script, "{text}");
}

fn protocol_name(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Tcp => Some("tcp"),
        Protocol::Udp => Some("udp"),
        Protocol::Sctp => Some("sctp"),
        Protocol::Icmp => None,
    }
}

#[cfg(test)]
mod tests {
    use sekisho_manifest::{Container, ContainerPort};

    use super::*;

    fn service() -> Service {
        Service {
            cluster_ips: vec!["10.96.0.7".parse().unwrap(), "fd00:10:96::7".parse().unwrap()],
            ports: vec![ServicePort {
                name: String::new(),
                protocol: Protocol::Tcp,
                port: 80,
                target_port: PortRef::Name("http".to_owned()),
                node_port: None,
            }],
            ..Service::default()
        }
    }

    fn spec(port: u16) -> PodSpec {
        let http = ContainerPort {
            name: "http".to_owned(),
            port,
            protocol: Protocol::Tcp,
            host_port: None,
        };
        let container = Container { ports: vec![http], ..Container::default() };
        PodSpec { containers: vec![container], ..PodSpec::default() }
    }

    #[test]
    fn a_named_port_is_resolved_in_each_pod() {
        let addresses: [Vec<IpAddr>; 2] = [
            vec!["10.244.1.2".parse().unwrap(), "fd00:10:244:1::2".parse().unwrap()],
            vec!["10.244.2.2".parse().unwrap(), "fd00:10:244:2::2".parse().unwrap()],
        ];
        let specs = [spec(8080), spec(9090)];
        let backends: Vec<Backend<'_>> = addresses
            .iter()
            .zip(&specs)
            .map(|(addresses, spec)| Backend { addresses, spec })
            .collect();
        let routes = routes(&service(), &backends);
        let targets: Vec<String> =
            routes.iter().flat_map(|route| &route.to).map(ToString::to_string).collect();
        assert_eq!(
            targets,
            [
                "10.244.1.2:8080",
                "10.244.2.2:9090",
                "[fd00:10:244:1::2]:8080",
                "[fd00:10:244:2::2]:9090"
            ]
        );
    }

    #[test]
    fn a_service_without_ready_pods_is_refused_and_one_with_is_not() {
        let routes_empty = routes(&service(), &[]);
        assert!(routes_empty.iter().all(|route| route.to.is_empty()));
        let text = script(&routes_empty, &[]);
        assert!(text.contains("set refused { type ipv4_addr . inet_proto . inet_service; elements = { 10.96.0.7 . tcp . 80 }; }"));
        let addresses = ["10.244.1.2".parse().unwrap()];
        let spec = spec(8080);
        let backend = Backend { addresses: &addresses, spec: &spec };
        let text = script(&routes(&service(), &[backend]), &["172.18.0.11".parse().unwrap()]);
        assert!(text.contains("map { 0 : 10.244.1.2 . 8080 }"));
        assert!(text.contains("@hairpins snat to 172.18.0.11"));
    }
}
