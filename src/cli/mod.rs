//! The command line: one file a command. Each fails with one clear line and a non-zero status.

mod admit;
mod arguments;
mod backup;
mod config;
mod copy;
mod key;
mod link;
mod migrate;
mod org;
mod out;
mod reason;
mod restore;
mod serve;
mod user;

use std::{
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Parser, Subcommand};

use crate::{
    features::organizations::{self, Organization},
    platform::{
        App, Fault,
        config::{Config, ConfigError, Written},
        db::{self, CopyError, Db, KeepError, Lock, OpenError},
        hashing::{Hashing, Strength},
        keys::{KeyCheckError, KeyError, Keys},
        limits::Tallies,
        mail::{Mailer, smtp::Smtp},
        traces::TracesError,
    },
    values::{Clock, Randomness, ServerId, Slug},
};
use out::Out;

const AFTER_HELP: &str = "The mail server is VESTIBULE_SMTP_URL in the environment or smtp_url in the settings file; it holds a password, \
                          so there is no flag for it. Settings come from the file, then the environment, then flags.";

/// The front door of an organization: share one link, and the right people let themselves in.
#[derive(Parser)]
#[command(name = "vestibule", version, about, after_help = AFTER_HELP)]
struct Arguments {
    /// The settings file [default: vestibule.toml in this folder, if there is one]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten, next_help_heading = "Settings")]
    settings: Written,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve,
    /// Make an organization, or list those there are
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// Show or replace an organization's invite link
    #[command(subcommand)]
    Link(link::LinkCommand),
    /// List, make, deactivate, delete users, or let one back in
    #[command(subcommand)]
    User(user::UserCommand),
    /// Say whether addresses may join by link, and which rule decided
    Admit(admit::Admit),
    /// Check or show the settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Write everything into a file, while the server serves
    Backup(backup::Backup),
    /// Put a backup in the place of the database, while no server serves
    Restore(restore::Restore),
    /// Copy everything into another database, between `SQLite` and `PostgreSQL` either way
    #[command(about = "Copy everything into another database, between SQLite and PostgreSQL either way")]
    Copy(copy::Copy),
    /// Bring the schema of the database up to date, as the server does when it starts
    Migrate(migrate::Migrate),
    /// Give the server a new key
    #[command(subcommand)]
    Key(key::KeyCommand),
}

/// Why a command failed: one line for people.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder cannot be made.
    #[error("cannot make the data folder {0}: {1}")]
    DataFolder(PathBuf, std::io::Error),
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is another one.
    #[error(transparent)]
    KeyCheck(#[from] KeyCheckError),
    /// The address is taken or not ours.
    #[error("cannot listen on {0}: {1}. Choose another address with --listen")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// The address for the metrics is taken or not ours.
    #[error("cannot listen on {0} for the metrics: {1}. Choose another address with --metrics-listen")]
    ListenMetrics(std::net::SocketAddr, std::io::Error),
    /// Traces are asked for and cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// There is no database to work on.
    #[error("there is no database at {0} yet. Start the server first, or say where it is with --data-dir")]
    NoDatabase(PathBuf),
    /// A file cannot be kept or put back.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Nothing was copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Something broke.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// What was asked for cannot be done; why, and what to do.
    #[error("{0}")]
    Refused(String),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Said wherever the public URL is plain http and not this machine.
const PLAIN_HTTP: &str = "THE PUBLIC URL IS PLAIN HTTP: passwords and sessions cross the network readable, and cookies are not Secure. \
     Put a TLS proxy in front and set VESTIBULE_PUBLIC_URL to its https address";

/// Runs the command that the arguments ask for.
pub fn run() -> ExitCode {
    if let Some(why) = arguments::password_in(std::env::args_os()) {
        complain(&why);
        return ExitCode::from(2);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match go(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(CommandError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Help and version go to standard output; a wrong argument is one line like every other failure.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !error.use_stderr() {
        // A closed output has nobody to tell.
        let _ = write!(std::io::stdout(), "{text}");
        return ExitCode::SUCCESS;
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = write!(std::io::stderr(), "{text}");
    } else {
        let first = text.split("\n\n").next().unwrap_or_default();
        complain(&format!("{}. See --help", first.trim_start_matches("error: ")));
    }
    ExitCode::from(2)
}

fn complain(why: &str) {
    let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
    // Standard error may be closed; there is nobody left to tell then.
    let _ = writeln!(std::io::stderr(), "vestibule: {line}");
}

fn go(arguments: Arguments) -> Result<(), CommandError> {
    let out = Out::new(arguments.json);
    if let Command::Admit(asked) = &arguments.command
        && let Some(answered) = admit::alone(asked, out)
    {
        return answered;
    }
    let config = read_config(arguments.config.as_deref(), arguments.settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        match arguments.command {
            Command::Serve => serve::serve(config).await,
            Command::Org(command) => org::run(command, config, out).await,
            Command::Link(command) => link::run(command, config, out).await,
            Command::User(command) => user::run(command, config, out).await,
            Command::Admit(asked) => admit::run(asked, config, out).await,
            Command::Config(command) => self::config::run(&command, &config, out),
            Command::Backup(asked) => backup::run(asked, config, out).await,
            Command::Restore(asked) => restore::run(asked, config, out).await,
            Command::Copy(asked) => copy::run(asked, config, out).await,
            Command::Migrate(asked) => migrate::run(asked, config, out).await,
            Command::Key(command) => key::run(command, config, out).await,
        }
    })
}

fn read_config(file: Option<&std::path::Path>, flags_and_environment: Written) -> Result<Config, CommandError> {
    let names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    Written::check_names(names.iter().map(String::as_str))?;
    let written = match file {
        Some(path) => Written::from_file(path, false)?,
        None => Written::from_file(std::path::Path::new("vestibule.toml"), true)?,
    };
    let mut above = flags_and_environment;
    above.smtp_url = std::env::var("VESTIBULE_SMTP_URL").ok().filter(|url| !url.is_empty());
    Ok(above.over(written).parse()?)
}

/// Opens the data folder, the key and the database.
async fn open(config: Config, mailer: Mailer, hash_threads: usize) -> Result<App, CommandError> {
    let randomness = Randomness::System;
    let key_file = &config.key_file;
    let known = db::look(&config.database).await?.is_some_and(|looked| looked.key_check.is_some());
    let keys = match key_file.exists() {
        true => Some(Keys::open(key_file, &randomness)?),
        // A new key would be a wrong one.
        false if known => return Err(KeyError::Other(key_file.clone()).into()),
        false => None,
    };
    if config.database.file().is_some() {
        make_folder(&config.data_dir)?;
    }
    let db = Db::open(&config.database, Clock::running(), randomness.clone()).await?;
    // Only now: a database that cannot be used leaves no folder and no key behind.
    let keys = if let Some(keys) = keys {
        keys
    } else {
        make_folder(&config.data_dir)?;
        Keys::open(key_file, &randomness)?
    };
    keys.check(&db, key_file).await?;
    Ok(App {
        server: ServerId::new(db.now(), randomness.bytes()),
        hashing: Hashing::start(hash_threads, Strength::standard(), randomness.clone()),
        db,
        keys: Arc::new(keys),
        config: Arc::new(config),
        mailer,
        tallies: Arc::new(Tallies::default()),
        trying: Arc::default(),
        watched: Arc::default(),
        randomness,
    })
}

/// Only one process serves a `SQLite` file, or replaces it: the lock is held as long as what this returns.
fn lock_for_serving(config: &Config) -> Result<Option<Lock>, CommandError> {
    let Some(file) = config.database.file() else { return Ok(None) };
    make_folder(&config.data_dir)?;
    match Lock::for_serving(file).map_err(|error| cannot_lock(file, &error))? {
        None => Err(CommandError::Refused(format!(
            "another server works on {}. Stop it first; for several servers use PostgreSQL (docs/operating.md)",
            file.display()
        ))),
        held => Ok(held),
    }
}

/// A lock is a file beside what is locked.
fn cannot_lock(file: &std::path::Path, error: &std::io::Error) -> CommandError {
    OpenError::File { path: file.display().to_string(), why: error.to_string() }.into()
}

/// How mail leaves, by the settings.
fn mailer(config: &Config) -> Result<Mailer, CommandError> {
    match &config.smtp {
        None => Ok(Mailer::Portal),
        Some((url, from)) => match Smtp::new(url, from.clone()) {
            Ok(smtp) => Ok(Mailer::Smtp(Arc::new(smtp))),
            Err(error) => Err(CommandError::Refused(error.to_string())),
        },
    }
}

/// For a command: it writes mail into the outbox and leaves sending to the server; it hashes nothing.
async fn open_for_command(config: Config) -> Result<App, CommandError> {
    open(config, Mailer::Portal, 0).await
}

/// For a command that works on what is there: a mistyped folder makes no new database.
async fn open_existing(config: Config) -> Result<App, CommandError> {
    if let Some(file) = config.database.file()
        && !file.exists()
    {
        return Err(CommandError::NoDatabase(file.to_owned()));
    }
    open_for_command(config).await
}

/// The organization that `--org` names.
async fn organization(app: &App, typed: &str) -> Result<Organization, CommandError> {
    let found = match typed.parse::<Slug>() {
        Ok(slug) => organizations::by_slug(&app.db, &slug).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| {
        let typed = out::shown(typed);
        CommandError::Refused(format!("there is no organization {typed}. vestibule org list shows those there are"))
    })
}

/// The data folder belongs to the server's user alone.
fn make_folder(folder: &std::path::Path) -> Result<(), CommandError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |error| CommandError::DataFolder(folder.to_owned(), error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)
}
