//! Structured logs on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging; `SEKISHO_LOG` overrides the level.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let level = std::env::var("SEKISHO_LOG").unwrap_or_else(|_unset| config.level.clone());
    let filter = EnvFilter::try_new(&level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => {
            let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(color).with_target(false).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
