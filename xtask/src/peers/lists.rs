//! What network-config-analyzer prints, in the words of np-guard, in which ours is compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const ALL: &str = "All connections";

/// Translates lines such as `a/b => a/c : {protocols:TCP, UDP,dst_ports:80,90-95}`, of which a pair
/// can have several. A line that is not understood stays as it is, so that it differs.
pub(super) fn from_network_config_analyzer(text: &str) -> String {
    let mut pairs: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let Some((source, rest)) = line.split_once(" => ") else { continue };
        let Some((destination, words)) = rest.split_once(" : ") else { continue };
        pairs.entry((end(source), end(destination))).or_default().extend(connections(words));
    }
    let mut list = String::new();
    for ((source, destination), mut words) in pairs {
        words.sort_unstable();
        let words = words.join(",");
        let _infallible = writeln!(list, "{source} => {destination} : {words}");
    }
    list
}

/// A pod stands there without its kind, and a single address without its end.
fn end(text: &str) -> String {
    let text = text.trim();
    if text.parse::<Ipv4Addr>().is_ok() {
        return format!("{text}-{text}");
    }
    let bare = text.contains('/') && !text.ends_with(']');
    if bare { format!("{text}[Pod]") } else { text.to_owned() }
}

fn connections(words: &str) -> Vec<String> {
    let words = words.trim();
    if words == ALL {
        return PROTOCOLS.iter().map(|name| format!("{name} 1-65535")).collect();
    }
    let inner = words.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let Some(inner) = inner.and_then(|inner| inner.strip_prefix("protocols:")) else {
        return vec![words.to_owned()];
    };
    let (protocols, ports) = inner.split_once(",dst_ports:").unwrap_or((inner, "1-65535"));
    protocols.split(',').map(|protocol| format!("{} {ports}", protocol.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::from_network_config_analyzer as translated;

    #[test]
    fn lines_of_one_pair_become_one() {
        let text = "note\na/b => a/c[StatefulSet] : {protocols:UDP,dst_ports:53}\n\
                    a/b => a/c[StatefulSet] : {protocols:SCTP, TCP,dst_ports:80,90-95}\n";
        let words = "SCTP 80,90-95,TCP 80,90-95,UDP 53";
        assert_eq!(translated(text), format!("a/b[Pod] => a/c[StatefulSet] : {words}\n"));
    }

    #[test]
    fn all_ports_are_written_out_and_an_address_is_a_range_of_one() {
        let text = "0.0.0.0-9.255.255.255 => a/b : All connections\n\
                    a/b => 10.0.0.9 : {protocols:TCP}\n";
        let all = "SCTP 1-65535,TCP 1-65535,UDP 1-65535";
        assert_eq!(
            translated(text),
            format!(
                "0.0.0.0-9.255.255.255 => a/b[Pod] : {all}\n\
                 a/b[Pod] => 10.0.0.9-10.0.0.9 : TCP 1-65535\n"
            )
        );
    }

    #[test]
    fn a_form_that_is_not_known_is_kept_so_that_it_differs() {
        assert_eq!(translated("a/b => a/c : {hosts:x}\n"), "a/b[Pod] => a/c[Pod] : {hosts:x}\n");
    }
}
