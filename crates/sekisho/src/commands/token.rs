//! `sekisho token`: who may use the console and the HTTP API.

use std::collections::BTreeSet;

use anyhow::bail;
use clap::{Args, Subcommand};
use sekisho_api::{Access, CreatedToken, NewToken, TokenInfo};
use sekisho_model::{Timestamp, When};

use super::apply::operator;
use super::connect::ServerArg;
use super::{history, output};
use crate::cli::TableOrJson;
use crate::exit::Exit;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make one; its secret is printed once, and kept nowhere.
    Create(CreateArgs),
    /// All of them.
    List {
        #[command(flatten)]
        server: ServerArg,
        /// Form of the answer.
        #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
        output: TableOrJson,
    },
    /// End one, and the sessions that were had for it.
    Revoke {
        /// Its name.
        name: String,
        #[command(flatten)]
        server: ServerArg,
    },
}

/// A token to be made.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`.
    name: String,
    /// viewer: look; author: also recommend, ask what-if and stage; operator: also apply, go back, make
    /// tokens and read the audit log.
    #[arg(long, default_value_t = Access::Viewer)]
    role: Access,
    /// Only of this namespace; may be given again. Without any, of all.
    #[arg(short, long, value_name = "NS")]
    namespace: Vec<String>,
    /// When it ends: a duration from now (8h, 30d) or an RFC 3339 time; never if absent.
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
    #[command(flatten)]
    server: ServerArg,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    output: TableOrJson,
}

impl TokenCommand {
    /// The server that it asks.
    pub(crate) fn server_mut(&mut self) -> &mut ServerArg {
        match self {
            Self::Create(args) => &mut args.server,
            Self::List { server, .. } | Self::Revoke { server, .. } => server,
        }
    }
}

/// Makes, lists or ends tokens.
pub(crate) fn run(command: &TokenCommand) -> anyhow::Result<Exit> {
    match command {
        TokenCommand::Create(args) => create(args)?,
        TokenCommand::List { server, output } => {
            let tokens = history::call(server.connect()?.tokens())?;
            match output {
                TableOrJson::Table => output::print(&table(&tokens))?,
                TableOrJson::Json => output::print_json(&tokens)?,
            }
        }
        TokenCommand::Revoke { name, server } => {
            history::call(server.connect()?.revoke_token(name, &operator()))?;
            output::note(&format!("the token `{name}` opens nothing any more"));
        }
    }
    Ok(Exit::Done)
}

fn create(args: &CreateArgs) -> anyhow::Result<()> {
    let now = history::now();
    let expires = match args.expires {
        None => None,
        Some(When::Ago(seconds)) => Some(now.plus_seconds(seconds)),
        Some(When::At(time)) if time <= now => bail!("--expires: {time} is over already"),
        Some(When::At(time)) => Some(time),
    };
    let namespaces: BTreeSet<String> = args.namespace.iter().cloned().collect();
    let wanted = NewToken {
        name: args.name.clone(),
        role: args.role,
        namespaces: (!namespaces.is_empty()).then_some(namespaces),
        expires,
    };
    let client = args.server.connect()?;
    let CreatedToken { info, token } = history::call(client.create_token(&wanted, &operator()))?;
    match args.output {
        TableOrJson::Json => return output::print_json(&CreatedToken { info, token }),
        // Alone on standard output, so that it can be kept in a file or a variable.
        TableOrJson::Table => output::print(&format!("{}\n", token.reveal()))?,
    }
    let url = history::call(client.status())?.console;
    let place = url.map_or_else(
        || "the server serves no console yet: start it with --web-listen 127.0.0.1:8484".to_owned(),
        |url| format!("sign in with it at {url}"),
    );
    output::note(&format!("the token `{}` is {}; {place}", args.name, args.role));
    Ok(())
}

fn table(tokens: &[TokenInfo]) -> String {
    let head = ["NAME", "ROLE", "NAMESPACES", "CREATED", "BY", "EXPIRES"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    let time =
        |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |at| at.to_string());
    rows.extend(tokens.iter().map(|token| {
        let namespaces = token.namespaces.as_ref().map_or_else(
            || "all".to_owned(),
            |own| own.iter().cloned().collect::<Vec<_>>().join(","),
        );
        vec![
            token.name.clone(),
            token.role.to_string(),
            namespaces,
            token.created.to_string(),
            token.created_by.clone(),
            time(token.expires),
        ]
    }));
    output::columns(&rows, &[])
}
