//! Logging: to the journal where systemd gave us one, else to standard error.

use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, registry, util::SubscriberInitExt};

/// Starts logging at level `info`, or what `LUMEN_LOG` says (syntax of tracing's EnvFilter).
pub fn start() {
    let filter = EnvFilter::try_from_env("LUMEN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let sink = match journal {
        Some(journal) => journal.with_field_prefix(None).boxed(),
        None => fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false).boxed(),
    };
    // Fails only when logging was started before, which keeps the earlier one.
    let _ = registry().with(sink.with_filter(filter)).try_init();
}
