//! What templates there are, and what each asks.

pub use super::entries::CATALOGUE;
use super::entries::LEAST_PRIVILEGE;
use super::settings::TemplateError;

/// A template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TemplateId {
    /// Per workload, only what was seen.
    #[default]
    LeastPrivilege,
    /// A fence around each application.
    Application,
    /// A fence around each namespace.
    Namespace,
    /// A fence around each environment.
    Environment,
    /// Tenants apart.
    Tenant,
    /// A datastore that only its clients reach.
    CrownJewel,
    /// A machine outside Kubernetes that only its clients reach.
    VmToCluster,
    /// What every workload needs, before fences.
    Infrastructure,
    /// Nothing but name resolution.
    DefaultDenyDns,
    /// Out of the cluster only to a list.
    EgressAllowList,
    /// Into the tier only through the gateway.
    InternetFacing,
    /// No credentials from the cloud's metadata service.
    CloudMetadata,
    /// No way to the ports of the control plane.
    ControlPlanePorts,
    /// No ports that ransomware spreads by.
    LateralMovement,
    /// Administration only from the jump host.
    Bastion,
    /// A third party's access that ends.
    VendorWindow,
    /// Cut off, but for forensics.
    Quarantine,
}

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Where to begin.
    Start,
    /// Parts of the system kept apart.
    Separate,
    /// Few things that matter most.
    Protect,
    /// Ways in and out.
    Border,
    /// What nobody may do.
    Forbid,
    /// Access of people, for a time.
    Access,
}

impl Purpose {
    /// One word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Separate => "separate",
            Self::Protect => "protect",
            Self::Border => "border",
            Self::Forbid => "forbid",
            Self::Access => "access",
        }
    }
}

/// What a value of a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Key of a label of pods.
    PodLabel,
    /// Key of a label of namespaces.
    NamespaceLabel,
    /// A value of the label that parameter `label` names.
    LabelValue,
    /// `namespace/name` or `namespace/name[Kind]`.
    Workload,
    /// The same, of a machine that is no pod.
    Machine,
    /// `22/TCP`, `8000-8100/UDP`; TCP if nothing is said.
    Port,
    /// Range of addresses, or one address.
    Network,
    /// DNS name.
    Name,
    /// RFC 3339 time.
    Time,
    /// One of these.
    Word(&'static [&'static str]),
}

impl Asks {
    /// One word, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PodLabel => "pod_label",
            Self::NamespaceLabel => "namespace_label",
            Self::LabelValue => "label_value",
            Self::Workload => "workload",
            Self::Machine => "machine",
            Self::Port => "port",
            Self::Network => "network",
            Self::Name => "name",
            Self::Time => "time",
            Self::Word(_) => "word",
        }
    }
}

/// What holds if nothing is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// It must be given.
    Needed,
    /// As if this had been given.
    Value(&'static str),
    /// The first of these that is there, else it must be given.
    FirstOf(&'static [&'static str]),
    /// What the template makes of it, in words.
    Otherwise(&'static str),
}

/// One thing that a template asks.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name, as in `--set NAME=VALUE`.
    pub name: &'static str,
    /// What a value is.
    pub asks: Asks,
    /// Whether there may be several values.
    pub many: bool,
    /// What holds without a value.
    pub preset: Preset,
    /// What it means.
    pub what: &'static str,
}

impl Parameter {
    /// Whether the template does without a value.
    #[must_use]
    pub fn may_lack(&self) -> bool {
        matches!(self.preset, Preset::Otherwise(_))
    }
}

/// A template, described.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which.
    pub id: TemplateId,
    /// Name, as in `--template NAME`.
    pub name: &'static str,
    /// What for.
    pub purpose: Purpose,
    /// What it does, in a sentence.
    pub what: &'static str,
    /// Kinds of policies that it makes.
    pub makes: &'static str,
    /// What it asks.
    pub parameters: &'static [Parameter],
    /// What NetworkPolicy cannot say of it, and what can; empty if it says all.
    pub not_native: &'static [(&'static str, &'static str)],
}

impl TemplateId {
    /// Its entry.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        // Each id has an entry: a test goes through them.
        CATALOGUE.iter().find(|entry| entry.id == self).unwrap_or(&LEAST_PRIVILEGE)
    }

    /// The template of this name.
    ///
    /// # Errors
    /// [`TemplateError::NoTemplate`], with the names that there are.
    pub fn named(name: &str) -> Result<Self, TemplateError> {
        let wanted = name.strip_prefix("ring-fence-").unwrap_or(name);
        let found = CATALOGUE.iter().find(|entry| entry.name == wanted);
        found.map(|entry| entry.id).ok_or_else(|| TemplateError::NoTemplate {
            name: name.to_owned(),
            names: CATALOGUE.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", "),
        })
    }
}
