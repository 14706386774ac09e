//! What a person chose for a template, read against what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use sekisho_manifest::{PolicyPort, PortRef, TierPort};
use sekisho_model::{Protocol, Timestamp, WorkloadRef};

use super::catalogue::{Asks, Entry, Parameter, TemplateId};
use super::choices::Choices;

/// Choices named in an error; the rest is counted.
const NAMED_MAX: usize = 12;
/// Values of one parameter.
const VALUES_MAX: usize = 1_000;

/// A template and its settings, all of them read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    id: TemplateId,
    values: BTreeMap<&'static str, Vec<Value>>,
}

/// One value of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Workload(WorkloadRef),
    Port(PortSpan),
    Network(IpNet),
    Time(Timestamp),
}

/// Ports of one protocol, both ends included; the first is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PortSpan {
    pub(crate) protocol: Protocol,
    pub(crate) first: u16,
    pub(crate) last: u16,
}

/// A template that cannot be had as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No template of this name.
    #[error("`{name}` is no template; there are {names}")]
    NoTemplate {
        /// What was asked.
        name: String,
        /// What there is.
        names: String,
    },
    /// No parameter of this name.
    #[error("template `{template}` has no parameter `{name}`; {names}")]
    NoParameter {
        /// Template.
        template: &'static str,
        /// What was given.
        name: String,
        /// What there is, in words.
        names: String,
    },
    /// A window that is over.
    #[error("parameter `until` of template `{template}`: {until} is over")]
    Over {
        /// Template.
        template: &'static str,
        /// When it ended.
        until: Timestamp,
    },
    /// A parameter must be given.
    #[error("template `{template}` needs `{name}`: {what}{choices}")]
    Missing {
        /// Template.
        template: &'static str,
        /// Parameter.
        name: &'static str,
        /// What it means.
        what: &'static str,
        /// What was seen, in words; empty if nothing.
        choices: String,
    },
    /// A value is none of the parameter's.
    #[error("parameter `{name}` of template `{template}`: `{value}` {why}{choices}")]
    Wrong {
        /// Template.
        template: &'static str,
        /// Parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        why: String,
        /// What was seen, in words; empty if nothing.
        choices: String,
    },
}

impl PortSpan {
    /// Whether it holds the port.
    pub(crate) fn holds(self, protocol: Protocol, port: u16) -> bool {
        self.protocol == protocol && (self.first..=self.last).contains(&port)
    }

    pub(crate) fn policy_port(self) -> PolicyPort {
        PolicyPort {
            protocol: self.protocol,
            port: Some(PortRef::Number(self.first)),
            end_port: (self.last > self.first).then_some(self.last),
        }
    }

    pub(crate) fn tier_port(self) -> TierPort {
        TierPort::Range { protocol: self.protocol, first: self.first, last: self.last }
    }
}

/// `22`, `22/TCP`, `5985-5986/TCP`.
fn port_span(text: &str) -> Result<PortSpan, String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
    let protocol: Protocol =
        protocol.to_ascii_uppercase().parse().map_err(|why| format!("is no port: {why}"))?;
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (number(first), number(last), protocol) {
        (_, _, Protocol::Icmp) => Err("is no port: ICMP has none".to_owned()),
        (Some(first), Some(last), _) if first <= last => Ok(PortSpan { protocol, first, last }),
        _ => Err("is no port such as 5432, 53/UDP or 8000-8100/TCP".to_owned()),
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let net = net.ok_or_else(|| "is no address or range such as 203.0.113.0/24".to_owned())?;
    Ok(net.trunc())
}

/// A name as DNS has it (RFC 1123 §2.1), with the dot of the root taken off.
fn dns_name(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
    };
    if name.len() <= 253 && name.split('.').all(fits) {
        return Ok(name);
    }
    Err("is no DNS name (patterns with `*` have no addresses of their own)".to_owned())
}

/// `; seen: a, b and 3 more`.
fn seen(choices: &[String]) -> String {
    let named: Vec<&str> = choices.iter().take(NAMED_MAX).map(String::as_str).collect();
    match (named.as_slice(), choices.len().saturating_sub(NAMED_MAX)) {
        ([], _) => String::new(),
        (named, 0) => format!("; there are {}", named.join(", ")),
        (named, more) => format!("; there are {} and {more} more", named.join(", ")),
    }
}

struct Reader<'a> {
    entry: &'static Entry,
    choices: &'a Choices,
    label: String,
}

impl Template {
    /// Reads `given` pairs of parameter and value; several values come in several pairs, or in one
    /// with commas between them.
    ///
    /// # Errors
    /// [`TemplateError`] if a parameter or value is not known, or one is missing that must be there.
    pub fn read(
        id: TemplateId,
        given: &[(String, String)],
        choices: &Choices,
    ) -> Result<Self, TemplateError> {
        let entry = id.entry();
        let known = |name: &String| entry.parameters.iter().any(|own| own.name == name);
        if let Some((name, _)) = given.iter().find(|(name, _)| !known(name)) {
            let names: Vec<&str> = entry.parameters.iter().map(|own| own.name).collect();
            let names = match names.as_slice() {
                [] => "it has none".to_owned(),
                names => format!("it has {}", names.join(", ")),
            };
            return Err(TemplateError::NoParameter {
                template: entry.name,
                name: name.clone(),
                names,
            });
        }
        let mut reader = Reader { entry, choices, label: String::new() };
        let mut values = BTreeMap::new();
        for parameter in entry.parameters {
            let read = reader.parameter(parameter, given)?;
            if let ("label", [Value::Text(label)]) = (parameter.name, read.as_slice()) {
                reader.label.clone_from(label);
            }
            values.insert(parameter.name, read);
        }
        let template = Self { id, values };
        match template.lacks() {
            None => Ok(template),
            Some((name, what)) => Err(reader.missing(name, what)),
        }
    }

    /// What the parameters lack together.
    fn lacks(&self) -> Option<(&'static str, &'static str)> {
        let none = |names: &[&str]| {
            names.iter().all(|name| self.values.get(name).is_none_or(Vec::is_empty))
        };
        match self.id {
            TemplateId::Bastion if none(&["bastion", "networks"]) => {
                Some(("bastion", "the jump host (or `networks`, if it is outside)"))
            }
            TemplateId::EgressAllowList if none(&["networks", "names"]) => {
                Some(("networks", "where it may go (or `names`)"))
            }
            TemplateId::VmToCluster if none(&["vm", "address"]) => {
                Some(("vm", "the machine (or its `address`)"))
            }
            TemplateId::LeastPrivilege
            | TemplateId::Application
            | TemplateId::Namespace
            | TemplateId::Environment
            | TemplateId::Tenant
            | TemplateId::CrownJewel
            | TemplateId::VmToCluster
            | TemplateId::Infrastructure
            | TemplateId::DefaultDenyDns
            | TemplateId::EgressAllowList
            | TemplateId::InternetFacing
            | TemplateId::CloudMetadata
            | TemplateId::ControlPlanePorts
            | TemplateId::LateralMovement
            | TemplateId::Bastion
            | TemplateId::VendorWindow
            | TemplateId::Quarantine => None,
        }
    }

    /// Refuses a window that is over at `now`.
    ///
    /// # Errors
    /// [`TemplateError::Over`].
    pub fn still_open(self, now: Timestamp) -> Result<Self, TemplateError> {
        match self.time("until") {
            Some(until) if until <= now => {
                Err(TemplateError::Over { template: self.id.entry().name, until })
            }
            _open => Ok(self),
        }
    }

    /// Which template.
    #[must_use]
    pub fn id(&self) -> TemplateId {
        self.id
    }

    fn each<'a, T: 'a>(&'a self, name: &str, pick: fn(&Value) -> Option<T>) -> Vec<T> {
        self.values.get(name).into_iter().flatten().filter_map(pick).collect()
    }

    /// The text of a parameter of one value; empty if none was given.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.values.get(name).and_then(|values| values.first()) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether a word was chosen.
    pub(crate) fn is(&self, name: &str, word: &str) -> bool {
        self.text(name) == word
    }

    pub(crate) fn texts(&self, name: &str) -> BTreeSet<String> {
        let text = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            Value::Workload(_) | Value::Port(_) | Value::Network(_) | Value::Time(_) => None,
        };
        self.each(name, text).into_iter().collect()
    }

    pub(crate) fn workloads(&self, name: &str) -> Vec<WorkloadRef> {
        self.each(name, |value| match value {
            Value::Workload(workload) => Some(workload.clone()),
            Value::Text(_) | Value::Port(_) | Value::Network(_) | Value::Time(_) => None,
        })
    }

    pub(crate) fn ports(&self, name: &str) -> BTreeSet<PortSpan> {
        let port = |value: &Value| match value {
            Value::Port(port) => Some(*port),
            Value::Text(_) | Value::Workload(_) | Value::Network(_) | Value::Time(_) => None,
        };
        self.each(name, port).into_iter().collect()
    }

    pub(crate) fn networks(&self, name: &str) -> BTreeSet<IpNet> {
        let net = |value: &Value| match value {
            Value::Network(net) => Some(*net),
            Value::Text(_) | Value::Workload(_) | Value::Port(_) | Value::Time(_) => None,
        };
        self.each(name, net).into_iter().collect()
    }

    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        let times = self.each(name, |value| match value {
            Value::Time(time) => Some(*time),
            Value::Text(_) | Value::Workload(_) | Value::Port(_) | Value::Network(_) => None,
        });
        times.first().copied()
    }
}

impl Reader<'_> {
    fn parameter(
        &self,
        parameter: &Parameter,
        given: &[(String, String)],
    ) -> Result<Vec<Value>, TemplateError> {
        let given = given.iter().filter(|(name, _)| name == parameter.name);
        let mut texts: Vec<String> = given
            .flat_map(|(_, text)| text.split(','))
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
            .collect();
        if texts.is_empty() {
            match self.choices.preset(self.entry, parameter) {
                Some(preset) => texts = preset.split(',').map(str::to_owned).collect(),
                None if parameter.may_lack() => return Ok(Vec::new()),
                None => return Err(self.missing(parameter.name, parameter.what)),
            }
        }
        if (!parameter.many && texts.len() > 1) || texts.len() > VALUES_MAX {
            let why = if parameter.many {
                "and the others are too many"
            } else {
                "is one of several, and one is asked"
            };
            return Err(self.wrong(
                parameter,
                texts.first().map_or("", String::as_str),
                why.to_owned(),
            ));
        }
        let mut values = Vec::new();
        for text in &texts {
            match self.value(parameter, text) {
                Ok(value) => values.push(value),
                Err(why) => return Err(self.wrong(parameter, text, why)),
            }
        }
        Ok(values)
    }

    fn value(&self, parameter: &Parameter, text: &str) -> Result<Value, String> {
        match parameter.asks {
            Asks::PodLabel | Asks::NamespaceLabel | Asks::LabelValue | Asks::Word(_) => {
                let there = self.choices.of(self.entry, parameter, &self.label);
                let whose = match parameter.asks {
                    Asks::PodLabel => "is no label of a pod",
                    Asks::NamespaceLabel => "is no label of a namespace",
                    _value_or_word => "is not one of its values",
                };
                let found = there.iter().any(|own| own == text);
                found.then(|| Value::Text(text.to_owned())).ok_or_else(|| whose.to_owned())
            }
            Asks::Workload | Asks::Machine => {
                let machine = parameter.asks == Asks::Machine;
                let mut found = self.choices.workloads(text);
                found.retain(|one| !machine || one.kind == "Host");
                match found.as_slice() {
                    [one] => Ok(Value::Workload((*one).clone())),
                    [] => Err("is no workload that was seen".to_owned()),
                    several => {
                        let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
                        Err(format!("may be {}: say which", ids.join(" or ")))
                    }
                }
            }
            Asks::Port => port_span(text).map(Value::Port),
            Asks::Network => network(text).map(Value::Network),
            Asks::Name => dns_name(text).map(Value::Text),
            Asks::Time => {
                text.parse().map(Value::Time).map_err(|_why: sekisho_model::TimestampError| {
                    "is no time such as 2026-12-24T18:00:00Z".to_owned()
                })
            }
        }
    }

    fn missing(&self, name: &'static str, what: &'static str) -> TemplateError {
        let parameter = self.entry.parameters.iter().find(|own| own.name == name);
        let there = parameter.map(|own| self.choices.of(self.entry, own, &self.label));
        TemplateError::Missing {
            template: self.entry.name,
            name,
            what,
            choices: seen(&there.unwrap_or_default()),
        }
    }

    fn wrong(&self, parameter: &Parameter, value: &str, why: String) -> TemplateError {
        TemplateError::Wrong {
            template: self.entry.name,
            name: parameter.name,
            value: value.to_owned(),
            why,
            choices: seen(&self.choices.of(self.entry, parameter, &self.label)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::catalogue::CATALOGUE;

    #[test]
    fn each_template_has_an_entry_of_its_own_and_a_name_that_finds_it() {
        assert_eq!(CATALOGUE.len(), 17, "least privilege and sixteen");
        for entry in CATALOGUE {
            assert_eq!(entry.id.entry().name, entry.name);
            assert_eq!(TemplateId::named(entry.name).unwrap(), entry.id);
        }
        assert_eq!(TemplateId::named("ring-fence-namespace").unwrap(), TemplateId::Namespace);
        assert!(TemplateId::named("bastions").unwrap_err().to_string().contains("bastion, "));
    }

    #[test]
    fn presets_are_values_of_their_parameters() {
        for entry in CATALOGUE {
            for parameter in entry.parameters {
                if let super::super::catalogue::Preset::Value(text) = parameter.preset {
                    let choices = Choices::default();
                    let reader = Reader { entry, choices: &choices, label: String::new() };
                    for text in text.split(',') {
                        assert!(reader.value(parameter, text).is_ok(), "{} {text}", entry.name);
                    }
                }
            }
        }
    }

    #[test]
    fn ports_are_numbers_ranges_and_protocols_and_nothing_else() {
        let span = |protocol, first, last| PortSpan { protocol, first, last };
        assert_eq!(port_span("22"), Ok(span(Protocol::Tcp, 22, 22)));
        assert_eq!(port_span("53/udp"), Ok(span(Protocol::Udp, 53, 53)));
        assert_eq!(port_span("5985-5986/TCP"), Ok(span(Protocol::Tcp, 5985, 5986)));
        for wrong in ["0", "65536", "9-8", "x", "22/ICMP", "22/FOO", "", "-", "1-"] {
            assert!(port_span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_ranges_of_one_and_names_are_names() {
        assert_eq!(network("203.0.113.7").unwrap().to_string(), "203.0.113.7/32");
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert!(network("10.0.0.0/33").is_err());
        assert_eq!(dns_name("API.example.").unwrap(), "api.example");
        for wrong in ["*.example", "a..b", "a b", ""] {
            assert!(dns_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let choices = Choices::default();
        let read = |id, given: &[(&str, &str)]| {
            let given: Vec<(String, String)> =
                given.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            Template::read(id, &given, &choices).map_err(|error| error.to_string())
        };
        let error = read(TemplateId::CrownJewel, &[]).unwrap_err();
        assert_eq!(error, "template `crown-jewel` needs `workload`: what is protected");
        let error = read(TemplateId::Namespace, &[("x", "y")]).unwrap_err();
        assert_eq!(error, "template `namespace` has no parameter `x`; it has none");
        let error = read(TemplateId::CloudMetadata, &[("form", "x")]).unwrap_err();
        assert!(
            error.ends_with("`x` is not one of its values; there are cluster, native"),
            "{error}"
        );
        let error = read(TemplateId::Bastion, &[]).unwrap_err();
        assert!(error.contains("needs `bastion`"), "{error}");
        assert!(read(TemplateId::CloudMetadata, &[]).is_ok());
    }
}
