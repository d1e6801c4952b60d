//! `vestibule restore`: puts a backup in the place of the database. What was used since it was made stays used.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CommandError, backup::file_of, out::Out};
use crate::{
    features::{
        audit::{self, Actor, EventKind, Happened},
        join, organizations, sessions,
    },
    platform::{
        config::Config,
        db::{self, DatabaseUrl, Db, Lock, NEWEST},
        keys::Keys,
        mail::outbox,
        tokens,
    },
    values::{Clock, Randomness},
};

#[derive(clap::Args)]
pub(super) struct Restore {
    /// The file that vestibule backup wrote
    #[arg(value_name = "FILE", required_unless_present = "in_place")]
    file: Option<PathBuf>,
    /// The database was put back by other means, such as `pg_restore` or a snapshot of the disk: only end what was open then
    #[arg(long, conflicts_with_all = ["file", "keep_open"], help = "The database was put back by other means, such as pg_restore or a snapshot of the disk: only end what was open then")]
    in_place: bool,
    /// Leave sessions, links, registrations and waiting mail as they were in the backup; without this they end, so
    /// that nothing that was used or taken back since works again
    #[arg(long)]
    keep_open: bool,
}

/// What was ended.
#[derive(Default)]
struct Ended {
    sessions: u64,
    tokens: u64,
    registrations: usize,
    messages: u64,
}

impl Ended {
    fn object(&self) -> serde_json::Value {
        json!({
            "sessions": self.sessions, "links": self.tokens, "registrations": self.registrations, "messages": self.messages,
        })
    }

    fn words(&self) -> String {
        format!(
            "{} sessions, {} one-time links, {} registrations, {} waiting messages",
            self.sessions, self.tokens, self.registrations, self.messages
        )
    }
}

pub(super) async fn run(asked: Restore, config: Config, out: Out) -> Result<(), CommandError> {
    let Some(file) = asked.file else { return end_in_place(config, out).await };
    put_back_from(&file, asked.keep_open, &config, out).await
}

/// Ends what was open in a database that is back already.
async fn end_in_place(config: Config, out: Out) -> Result<(), CommandError> {
    let _serving = super::lock_for_serving(&config)?;
    let restored = config.database.to_string();
    let app = super::open_existing(config).await?;
    let ended = end(&app.db, false).await?;
    app.db.close().await;
    let object = json!({ "restored": restored, "ended": ended.object() });
    Ok(out.facts(&[("Restored", &restored), ("Ended", &ended.words())], &object)?)
}

async fn put_back_from(file: &Path, keep_open: bool, config: &Config, out: Out) -> Result<(), CommandError> {
    let database = file_of(config, "restore FILE")?;
    must_suit(file, database, &config.key_file).await?;
    super::make_folder(&config.data_dir)?;
    let Some(_serving) = Lock::for_serving(database).map_err(|error| super::cannot_lock(database, &error))? else {
        return Err(CommandError::Refused(format!("a server works on {}. Stop it first", database.display())));
    };
    let mut new = database.as_os_str().to_owned();
    new.push(".restoring");
    let new = PathBuf::from(new);
    let outcome = put_back((file, keep_open), database, &new).await;
    if outcome.is_err() {
        // What was not put into place is not left lying about.
        for more in ["", "-wal", "-shm", ".migrating"] {
            let mut part = new.as_os_str().to_owned();
            part.push(more);
            drop(std::fs::remove_file(part));
        }
    }
    let (kept, ended) = outcome?;
    let kept = kept.map(|kept| kept.display().to_string());
    let object = json!({
        "restored": database.display().to_string(),
        "replaced": kept,
        "ended": ended.object(),
    });
    let restored = format!("{} from {}", database.display(), file.display());
    let words = if keep_open { "nothing: what was open in the backup is open again".to_owned() } else { ended.words() };
    let mut facts = vec![("Restored", restored.as_str()), ("Ended", words.as_str())];
    if let Some(kept) = &kept {
        facts.push(("Replaced", kept));
    }
    Ok(out.facts(&facts, &object)?)
}

/// Refuses what is no whole database, of a newer version or of another key, before anything is changed.
async fn must_suit(file: &Path, database: &Path, key_file: &Path) -> Result<(), CommandError> {
    let refused = |why: String| Err(CommandError::Refused(why));
    if let (Ok(one), Ok(other)) = (file.canonicalize(), database.canonicalize())
        && one == other
    {
        return refused(format!("{} is the database itself. Name a backup of it", file.display()));
    }
    db::check_whole(file).await?;
    let shown = file.display();
    let Some(looked) = db::look(&DatabaseUrl::Sqlite(file.to_owned())).await? else {
        return refused(format!("there is no file {shown}"));
    };
    let (Some(schema), Some(key_check)) = (looked.schema, &looked.key_check) else {
        return refused(format!("{shown} is no database of Vestibule. Name a file that vestibule backup wrote"));
    };
    if !looked.suits() {
        return refused(format!(
            "{shown} was made by a newer version of Vestibule (schema {schema}, this one knows {NEWEST}). Restore it with that version"
        ));
    }
    if !Keys::open_existing(key_file)?.made(key_check) {
        return refused(format!(
            "{shown} was made with another key than {}. Put the key file of its time back first, or name it with --key-file",
            key_file.display()
        ));
    }
    Ok(())
}

async fn put_back(
    (file, keep_open): (&Path, bool),
    database: &Path,
    new: &Path,
) -> Result<(Option<PathBuf>, Ended), CommandError> {
    db::write_copy(file, new, true).await?;
    let opened = Db::open(&DatabaseUrl::Sqlite(new.to_owned()), Clock::running(), Randomness::System).await?;
    let now = opened.now();
    let ended = end(&opened, keep_open).await?;
    opened.close().await;
    let kept = db::put_into_place(new, database, now).await?;
    let mut lock = new.as_os_str().to_owned();
    lock.push(".migrating");
    drop(std::fs::remove_file(lock));
    Ok((kept, ended))
}

/// Ends what was open then, and tells every organization.
async fn end(restored: &Db, keep_open: bool) -> Result<Ended, CommandError> {
    let mut tx = restored.write().await?;
    let mut ended = Ended::default();
    if !keep_open {
        ended.sessions = sessions::end_everybodys(&mut tx).await?;
        ended.tokens = tokens::end_everybodys(&mut tx).await?;
        ended.messages = outbox::drop_everybodys(&mut tx).await?;
    }
    let (actor, mut after) = (Actor::command_line(), None);
    loop {
        let page = organizations::list(&mut tx, after.as_ref(), 100).await?;
        for organization in &page {
            if !keep_open {
                ended.registrations +=
                    join::end_all_open(&mut tx, organization.id, join::EndedWhy::Restored, &actor).await?;
            }
            let happened =
                Happened { kind: EventKind::Restored, subject: None, parameters: json!({ "kept_open": keep_open }) };
            audit::record(&mut tx, organization.id, &actor, happened);
        }
        match page.into_iter().last() {
            Some(last) => after = Some(last.slug),
            None => break,
        }
    }
    tx.commit().await?;
    Ok(ended)
}
