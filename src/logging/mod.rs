//! The log: events of `tracing` → lines on standard error or in a daily file.
//!
//! Enters: [`LogSettings`] and events. Leaves: one line per event that is important enough, of at most [`LONGEST`]
//! bytes, with the host's name in it. Promised: writing a line never waits for its reader (see `sink`); the level can
//! be changed while it runs; the last line of importance is remembered for the status.
//!
//! ```text
//! 2026-01-02T03:04:05.678Z  INFO cache: listening on /run/tieline/cache.sock
//! {"time":"2026-01-02T03:04:05.678Z","level":"INFO","pid":7,"host":"cache","message":"listening on …"}
//! ```
//!
//! The name is that of the host which a child serves; the parent's lines carry the name in the event's field `host`, or
//! `tieline` if they are about no host. Other fields follow the message as `key=value`. Under systemd (standard error
//! is the journal) a line starts with its priority as in sd-daemon(3) and has no time of its own.

mod line;
mod sink;

use std::fmt;
use std::panic::PanicHookInfo;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::config::{LogFormat, LogLevel, LogSettings};
use line::{Style, Words};
use sink::Sink;

/// Longest line in bytes; the rest is cut off. As much as a pipe takes in one piece (PIPE_BUF of pipe(7)).
pub const LONGEST: usize = 4096;

/// Longest text in bytes that is remembered for the status.
const LONGEST_REMEMBERED: usize = 256;

/// Why the log could not be opened.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be made or written.
    #[error(
        "cannot open the log file {path}: {reason}; see that its directory exists and is writable, or change [log] file"
    )]
    File {
        /// As configured.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// Something else got hold of the log before.
    #[error("the log was set up twice")]
    Twice,
}

static CONFIGURED: AtomicU8 = AtomicU8::new(rank(Level::INFO));
static EFFECTIVE: AtomicU8 = AtomicU8::new(rank(Level::INFO));
static LAST: Mutex<String> = Mutex::new(String::new());
static AT_PANIC: OnceLock<AtPanic> = OnceLock::new();

/// Who wants to know of a panic.
type AtPanic = Box<dyn Fn(&str) + Send + Sync>;

/// Sets up the log of this process, once. `host` is the host that this child serves; none in the parent.
///
/// # Errors
/// When the configured file cannot be opened, or the log was set up before.
pub fn init(settings: &LogSettings, host: Option<&str>) -> Result<(), LogError> {
    let sink = open_sink(settings)?;
    let name = host.unwrap_or_default().to_owned();
    let style = match settings.format {
        LogFormat::Json => Style::Json,
        LogFormat::Text if sink.is_journal() => Style::Journal,
        LogFormat::Text => Style::Text { colour: sink.wants_colour() },
    };
    CONFIGURED.store(rank(level_of(settings.level)), Ordering::Relaxed);
    EFFECTIVE.store(rank(level_of(settings.level)), Ordering::Relaxed);
    let subscriber = tracing_subscriber::registry().with(Lines { name, style, sink });
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    std::panic::set_hook(Box::new(at_panic));
    Ok(())
}

/// Turns debug logging on, or back to the configured level.
pub fn set_debug(on: bool) {
    let configured = CONFIGURED.load(Ordering::Relaxed);
    let wanted = if on { configured.max(rank(Level::DEBUG)) } else { configured };
    EFFECTIVE.store(wanted, Ordering::Relaxed);
    // Each place that logs remembers whether it is enabled, which makes a disabled one cost a single load.
    tracing::callsite::rebuild_interest_cache();
}

/// The last message at level info or above, without its time; empty if there was none.
#[must_use]
pub fn last_line() -> String {
    LAST.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Has `call` called with the text of a panic, after it was logged. The first call of this function wins.
pub fn on_panic(call: impl Fn(&str) + Send + Sync + 'static) {
    if AT_PANIC.set(Box::new(call)).is_err() {
        tracing::warn!("only the first one who asks is told of a panic");
    }
}

fn at_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(|place| format!("{place}: ")).unwrap_or_default();
    let text = format!("panicked at {place}{}", payload(info));
    tracing::error!("{text}");
    if let Some(call) = AT_PANIC.get() {
        call(&text);
    }
}

/// A panic's text is one of two types (`std::panic::PanicHookInfo::payload`).
fn payload<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

fn open_sink(settings: &LogSettings) -> Result<Sink, LogError> {
    match &settings.file {
        None => Ok(Sink::stderr()),
        Some(path) => {
            Sink::file(path).map_err(|reason| LogError::File { path: path.clone(), reason: reason.to_string() })
        }
    }
}

fn level_of(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

/// The less important, the higher.
const fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// As [`rank`], but what the client of NATS says of its attempts is for who looks for a fault: what matters of it, we say.
fn weight(metadata: &Metadata<'_>) -> u8 {
    let least = if metadata.target().starts_with("async_nats") { Level::DEBUG } else { Level::ERROR };
    rank(*metadata.level()).max(rank(least))
}

/// Makes a line of each event.
struct Lines {
    name: String,
    style: Style,
    sink: Sink,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        weight(metadata) <= EFFECTIVE.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match EFFECTIVE.load(Ordering::Relaxed) {
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut words = Words::default();
        event.record(&mut words);
        if weight(event.metadata()) <= rank(Level::INFO) {
            remember(&words.message);
        }
        let name = words.host.take().unwrap_or_else(|| self.name.clone());
        self.sink.write(&line::format(&self.style, level, &name, &words));
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("name", &self.name).finish_non_exhaustive()
    }
}

fn remember(message: &str) {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.clear();
    last.push_str(line::cut(message, LONGEST_REMEMBERED));
}

/// What opening a sink may fail with.
type SinkError = Box<dyn std::error::Error + Send + Sync>;
