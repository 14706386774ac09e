//! `sekisho certificates`: an authority and what it signs, as files or as Kubernetes Secrets.
//!
//! Everything is in one folder: `ca.crt` and `ca.key`, and a folder for each holder with `ca.crt`,
//! `tls.crt` and `tls.key`: the names of a Kubernetes TLS Secret. Keys are for their owner only.
//! Nothing that is there is replaced unless asked; each file is replaced in one step.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use sekisho_api::{Authority, Identity, Lifetime, Role, TlsFiles};
use sekisho_model::{ClusterName, Timestamp};

use super::history::now;
use super::output;
use crate::exit::Exit;

/// Life of an authority, days: ten years.
const AUTHORITY_DAYS: u32 = 3_650;
/// The files of a holder, as in a Kubernetes TLS Secret.
const FILES: [&str; 3] = ["ca.crt", "tls.crt", "tls.key"];

#[derive(Debug, Subcommand)]
pub(crate) enum CertificatesCommand {
    /// Make an authority, and certificates for server, agents, an operator and a monitor.
    Make(MakeArgs),
    /// Make a certificate for one more holder.
    Add {
        /// The folder.
        folder: PathBuf,
        /// `agent`, `agent/NODE`, `operator/NAME`, `viewer/NAME`, `monitor` or `server`.
        holder: String,
        /// For an agent: its cluster, where the server has several. Absent: the one that the server
        /// is at home in, which its agents call `default`.
        #[arg(long, value_name = "NAME")]
        cluster: Option<ClusterName>,
        /// Folder for it inside the folder; the holder's name if absent, after its cluster's.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        terms: Terms,
    },
    /// Renew the certificates that end soon; exit code 1 if none was due.
    Renew {
        /// The folder.
        folder: PathBuf,
        /// All of them.
        #[arg(long)]
        all: bool,
        /// Days that they are valid.
        #[arg(long, default_value_t = 365, value_name = "DAYS")]
        days: u32,
    },
    /// Who the certificates are of, and until when they are good.
    List {
        /// The folder.
        folder: PathBuf,
    },
    /// Print Kubernetes Secrets, for `kubectl apply -f -`: server, agents and operator. The
    /// authority's key stays in the folder.
    Secrets {
        /// The folder.
        folder: PathBuf,
        /// Namespace of the Secrets.
        #[arg(short, long, default_value = "sekisho", value_name = "NS")]
        namespace: String,
        /// Only the agents' Secret, for this cluster of a server that has several (`add --cluster`).
        #[arg(long, value_name = "NAME")]
        cluster: Option<ClusterName>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MakeArgs {
    /// The folder; made if it is not there.
    folder: PathBuf,
    /// Name of the cluster, in every certificate.
    #[arg(long, default_value = "cluster.local", value_name = "NAME")]
    cluster: String,
    /// Name of the operator, which stands in the revisions that it makes.
    #[arg(long, default_value = "admin", value_name = "NAME")]
    operator: String,
    /// A host with an agent, may be given again: each gets a certificate that speaks for it alone,
    /// and none is made that agents share.
    #[arg(long, value_name = "NAME")]
    node: Vec<String>,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// DNS name or address under which the server is reached; may be given again. If absent: those
    /// of the Service `sekisho-server` in the namespace `sekisho`, localhost and 127.0.0.1.
    #[arg(long, value_name = "NAME")]
    server_name: Vec<String>,
    /// Days that the certificates are valid.
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    days: u32,
}

/// Runs `sekisho certificates ...`.
pub(crate) fn run(command: &CertificatesCommand) -> anyhow::Result<Exit> {
    match command {
        CertificatesCommand::Make(args) => make(args),
        CertificatesCommand::Add { folder, holder, cluster, name, terms } => {
            let who = (holder.as_str(), cluster.as_ref());
            add(&Folder::open(folder)?, who, name.as_deref(), terms)
        }
        CertificatesCommand::Renew { folder, all, days } => {
            renew(&Folder::open(folder)?, *all, *days)
        }
        CertificatesCommand::List { folder } => list(folder),
        CertificatesCommand::Secrets { folder, namespace, cluster } => {
            secrets(folder, namespace, cluster.as_ref())
        }
    }
}

/// An authority's folder.
struct Folder {
    path: PathBuf,
    authority: Authority,
}

impl Folder {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let file = path.join(name);
            std::fs::read_to_string(&file).with_context(|| format!("read `{}`", file.display()))
        };
        let authority = Authority::read(&read("ca.crt")?, &read("ca.key")?)
            .with_context(|| format!("authority in `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), authority })
    }

    /// Makes and writes the certificate of `identity` into its own folder.
    fn issue(
        &self,
        name: &str,
        identity: &Identity,
        names: &[String],
        days: u32,
    ) -> anyhow::Result<()> {
        let issued = self.authority.issue(identity, names, now(), days)?;
        let folder = self.path.join(name);
        make_folder(&folder)?;
        // The key last: a reader of a certificate with the old key keeps what it has.
        write(&folder.join("ca.crt"), self.authority.certificate(), 0o644)?;
        write(&folder.join("tls.crt"), &issued.certificate, 0o644)?;
        write(&folder.join("tls.key"), &issued.key, 0o600)?;
        output::note(&format!("{}: {identity}", folder.display()));
        Ok(())
    }
}

fn make(args: &MakeArgs) -> anyhow::Result<Exit> {
    let (path, terms) = (&args.folder, &args.terms);
    for name in ["ca.crt", "ca.key"] {
        ensure!(
            !path.join(name).exists(),
            "`{}` holds an authority already: `sekisho certificates renew` renews what it signed, \
             and a new one needs another folder",
            path.display()
        );
    }
    let mut holders = vec![
        ("server".to_owned(), Role::Server),
        ("operator".to_owned(), Role::Operator(args.operator.clone())),
        ("monitor".to_owned(), Role::Monitor),
    ];
    let of_node = |node: &String| (format!("agent-{node}"), Role::Agent(Some(node.clone())));
    holders.extend(args.node.iter().map(of_node));
    if args.node.is_empty() {
        holders.push(("agent".to_owned(), Role::Agent(None)));
    }
    // Names are checked before anything is written.
    let mut identities = Vec::new();
    for (name, role) in holders {
        let identity = Identity { cluster: args.cluster.clone(), role };
        identities.push((name, identity.to_string().parse::<Identity>()?));
    }
    let authority = Authority::make(&args.cluster, now(), AUTHORITY_DAYS)?;
    let folder = Folder { path: path.clone(), authority };
    let names = terms.server_names();
    for (_, identity) in &identities {
        folder.authority.issue(identity, names_for(identity, &names), now(), terms.days)?;
    }
    make_folder(path)?;
    write(&path.join("ca.key"), folder.authority.key(), 0o600)?;
    write(&path.join("ca.crt"), folder.authority.certificate(), 0o644)?;
    for (name, identity) in &identities {
        folder.issue(name, identity, names_for(identity, &names), terms.days)?;
    }
    output::note(&format!(
        "Keep `{}` where no attacker reads it: who has it is everybody.",
        path.join("ca.key").display()
    ));
    Ok(Exit::Done)
}

/// Only a server has names under which it is reached.
fn names_for<'a>(identity: &Identity, names: &'a [String]) -> &'a [String] {
    match identity.role {
        Role::Server => names,
        Role::Agent(_) | Role::Operator(_) | Role::Viewer(_) | Role::Monitor => &[],
    }
}

impl Terms {
    fn server_names(&self) -> Vec<String> {
        if !self.server_name.is_empty() {
            return self.server_name.clone();
        }
        let service = "sekisho-server";
        let names = [
            service.to_owned(),
            format!("{service}.sekisho"),
            format!("{service}.sekisho.svc"),
            format!("{service}.sekisho.svc.cluster.local"),
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
        ];
        names.into()
    }
}

fn add(
    folder: &Folder,
    (holder, cluster): (&str, Option<&ClusterName>),
    name: Option<&str>,
    terms: &Terms,
) -> anyhow::Result<Exit> {
    let place = match cluster {
        Some(cluster) => cluster.to_string(),
        None => home(&folder.path)?,
    };
    let identity: Identity = format!("spiffe://{place}/{holder}").parse()?;
    ensure!(
        cluster.is_none() || matches!(identity.role, Role::Agent(_)),
        "only agents are of a cluster with a name: everybody else is let in where the server is at \
         home, so leave --cluster out"
    );
    let mut own = holder.replace('/', "-");
    if let Some(cluster) = cluster {
        own = format!("{cluster}-{own}");
    }
    let name = name.unwrap_or(&own);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    ensure!(
        !name.is_empty() && name.bytes().all(plain) && !name.starts_with('.'),
        "`{name}` is no name for a folder: letters, digits, . - _"
    );
    let place = folder.path.join(name);
    ensure!(
        !place.exists(),
        "`{}` is there already: renew it, or give another --name",
        place.display()
    );
    folder.issue(name, &identity, names_for(&identity, &terms.server_names()), terms.days)?;
    Ok(Exit::Done)
}

/// The name in the server's certificate, or in any where there is none of a server.
fn home(folder: &Path) -> anyhow::Result<String> {
    let known: Vec<Identity> =
        holders(folder)?.into_iter().filter_map(|holder| holder.identity.ok()).collect();
    let server = known.iter().find(|identity| identity.role == Role::Server);
    let found = server.or(known.first()).map(|identity| identity.cluster.clone());
    found.context("no certificate in the folder tells the cluster's name")
}

/// A folder with a certificate in it.
struct Holder {
    name: String,
    files: TlsFiles,
    lifetime: anyhow::Result<Lifetime>,
    identity: anyhow::Result<Identity>,
    names: Vec<String>,
}

/// The holders in `folder`, by name.
fn holders(folder: &Path) -> anyhow::Result<Vec<Holder>> {
    let listed =
        std::fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))?;
    let mut found = Vec::new();
    for entry in listed {
        let path = entry.with_context(|| format!("list `{}`", folder.display()))?.path();
        let [ca, certificate, key] = FILES.map(|name| path.join(name));
        if !certificate.is_file() {
            continue;
        }
        let files = TlsFiles { ca, certificate, key };
        let subject = files.subject();
        let names = subject.as_ref().map_or_else(|_| Vec::new(), |(_, names)| names.clone());
        found.push(Holder {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            lifetime: files.lifetime().map_err(Into::into),
            identity: subject.map(|(identity, _)| identity).map_err(Into::into),
            names,
            files,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn renew(folder: &Folder, all: bool, days: u32) -> anyhow::Result<Exit> {
    let mut renewed = 0;
    for holder in holders(&folder.path)? {
        let what = || format!("certificate `{}`", holder.files.certificate.display());
        let lifetime = holder.lifetime.with_context(what)?;
        if !all && !lifetime.is_old(now()) {
            continue;
        }
        let identity = holder.identity.with_context(what)?;
        folder.issue(&holder.name, &identity, &holder.names, days)?;
        renewed += 1;
    }
    if renewed == 0 {
        output::note("no certificate ends soon; --all renews them nevertheless");
        return Ok(Exit::Found);
    }
    Ok(Exit::Done)
}

fn list(folder: &Path) -> anyhow::Result<Exit> {
    let mut rows = vec![["name", "holder", "valid until", "state"].map(str::to_owned).to_vec()];
    let mut exit = Exit::Done;
    for holder in holders(folder)? {
        let (until, state) = match &holder.lifetime {
            Ok(lifetime) => (lifetime.not_after.to_string(), state(lifetime, now())),
            Err(error) => (String::new(), format!("{error:#}")),
        };
        if state != "good" {
            exit = Exit::Found;
        }
        let identity =
            holder.identity.map_or_else(|error| format!("{error:#}"), |who| who.to_string());
        rows.push(vec![holder.name, identity, until, state]);
    }
    output::print(&output::columns(&rows, &[false; 4]))?;
    Ok(exit)
}

fn state(lifetime: &Lifetime, now: Timestamp) -> String {
    let state = if lifetime.not_after <= now {
        "ended: renew it"
    } else if lifetime.is_old(now) {
        "ends soon: renew it"
    } else {
        "good"
    };
    state.to_owned()
}

/// Secrets as the manifests mount them.
fn secrets(folder: &Path, namespace: &str, cluster: Option<&ClusterName>) -> anyhow::Result<Exit> {
    let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        !namespace.is_empty() && namespace.bytes().all(label),
        "`{namespace}` is no name of a namespace"
    );
    let mut text = String::new();
    let found = holders(folder)?;
    let wanted = match cluster {
        Some(cluster) => vec![("agent", format!("{cluster}-agent"))],
        None => ["server", "agent", "operator", "monitor"].map(|of| (of, of.to_owned())).into(),
    };
    for (name, place) in wanted {
        let Some(holder) = found.iter().find(|holder| holder.name == place) else {
            bail!(
                "no certificate of `{place}` in `{}`: `sekisho certificates add`",
                folder.display()
            )
        };
        text.push_str(&format!(
            "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata:\n  name: sekisho-{name}-tls\n  \
             namespace: {namespace}\n  labels:\n    app.kubernetes.io/name: sekisho\nstringData:\n"
        ));
        for (key, path) in
            FILES.into_iter().zip([&holder.files.ca, &holder.files.certificate, &holder.files.key])
        {
            let pem = std::fs::read_to_string(path)
                .with_context(|| format!("read `{}`", path.display()))?;
            text.push_str(&format!("  {key}: |\n"));
            for line in pem.lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
    }
    output::print(&text)?;
    Ok(Exit::Done)
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("make folder `{}`", path.display()))
}

/// Replaces a file in one step, with these rights from the first byte on.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let failed = || format!("write `{}`", path.display());
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let part = PathBuf::from(name);
    // What an earlier, killed run left may have other rights.
    if part.exists() {
        std::fs::remove_file(&part).with_context(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(mode).open(&part).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode)).with_context(failed)?;
    file.sync_all().with_context(failed)?;
    std::fs::rename(&part, path).with_context(failed)
}
