//! The command line: one file a command. Each fails with one clear line and a non-zero status.

mod serve;

use std::{io::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, Subcommand};

use crate::{
    platform::{
        App, Fault,
        config::{Config, ConfigError, Written},
        db::{Db, OpenError},
        hashing::{Hashing, Strength},
        keys::{KeyCheckError, KeyError, Keys},
        limits::Tallies,
        mail::{Mailer, smtp::Smtp},
    },
    values::{Clock, Randomness},
};

/// The front door of an organization: share one link, and the right people let themselves in.
#[derive(Parser)]
#[command(name = "vestibule", version, about)]
struct Arguments {
    /// The settings file [default: vestibule.toml in this folder, if there is one]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Written,
    /// Print one JSON object per line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve,
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

/// Runs the command that the arguments ask for.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match go(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = error.to_string().replace('\n', " ");
            // Standard error may be closed; there is nobody left to tell then.
            let _ = writeln!(std::io::stderr(), "vestibule: {line}");
            ExitCode::FAILURE
        }
    }
}

fn go(arguments: Arguments) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let config = read_config(arguments.config.as_deref(), arguments.settings)?;
        match arguments.command {
            Command::Serve => serve::serve(config).await,
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
async fn open(config: Config, hash_threads: usize) -> Result<App, CommandError> {
    let randomness = Randomness::System;
    make_folder(&config.data_dir)?;
    let keys = Keys::open(&config.key_file, &randomness)?;
    let db = Db::open(&config.database, Clock::System, randomness.clone()).await?;
    keys.check(&db, &config.key_file).await?;
    let mailer = match &config.smtp {
        None => Mailer::Portal,
        Some((url, from)) => Mailer::Smtp(Arc::new(
            Smtp::new(url, from.clone()).map_err(|error| CommandError::Refused(error.to_string()))?,
        )),
    };
    Ok(App {
        hashing: Hashing::start(hash_threads, Strength::standard(), randomness.clone()),
        db,
        keys: Arc::new(keys),
        config: Arc::new(config),
        mailer,
        tallies: Arc::new(Tallies::default()),
        randomness,
    })
}

/// The data folder belongs to the server's user alone.
fn make_folder(folder: &std::path::Path) -> Result<(), CommandError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = |error| CommandError::DataFolder(folder.to_owned(), error);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)
}
