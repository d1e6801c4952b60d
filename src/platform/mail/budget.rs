//! The anonymous mail budget of an address, over all organizations: nobody is bombed, and nobody is shut out.
//!
//! A slot comes free every three hours and three may be used together, so that never more than three messages
//! leave in an hour and ten in a day (`docs/decisions/0006-mail-budget.md`). Beyond that one message of each
//! organization and kind waits for a slot of its own; a newer one takes its place, which says the same.

use std::time::Duration;

use super::{Kind, State};
use crate::{
    platform::{
        App, Fault,
        db::{CLEANED_AT_ONCE, FromRow, Tx, query},
        keys::Purpose,
    },
    values::{DAY, EmailAddress, MessageId, OrganizationId, Timestamp},
};

/// A slot comes free this often.
const SLOT: Duration = Duration::from_hours(3);
/// So many may be used together.
const BURST: u32 = 3;
/// No message waits longer: who would have to is told the truth by the messages that left.
const LONGEST: Duration = DAY;

/// What an anonymous request would send.
pub(super) struct Asked<'a> {
    /// To whom. A plus tag does not make another budget.
    pub address: &'a EmailAddress,
    /// In whose name.
    pub organization: OrganizationId,
    /// Saying what.
    pub kind: Kind,
}

/// What becomes of a message that an anonymous request causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// It leaves now.
    Now(Timestamp),
    /// It waits for a slot.
    Later(Timestamp),
    /// It waits in the place of an older message that says the same.
    InPlaceOf(MessageId, Timestamp),
    /// It does not leave: the message that waits is the better one, or the wait would be too long.
    Never(Timestamp),
}

impl Slot {
    /// From when on it may leave, and whether it ever does.
    pub(super) const fn due_and_state(self) -> (Timestamp, State) {
        match self {
            Self::Now(at) | Self::Later(at) | Self::InPlaceOf(_, at) => (at, State::Waiting),
            Self::Never(at) => (at, State::Dropped),
        }
    }

    /// The message that is not sent any more.
    pub(super) const fn instead_of(self) -> Option<MessageId> {
        match self {
            Self::InPlaceOf(older, _) => Some(older),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, FromRow)]
struct Waiting {
    message_id: MessageId,
    tagged: bool,
    due_at: Timestamp,
}

/// Takes a slot for `message`, or its place among those that wait.
pub(super) async fn take(app: &App, tx: &mut Tx, asked: &Asked<'_>, message: MessageId) -> Result<Slot, Fault> {
    let now = tx.now;
    let key = app.keys.mac(Purpose::Counting, &[b"mail/address", asked.address.counting_key().as_bytes()]);
    let spent_until = locked(tx, key.clone()).await?.max(now);
    let waiting: Option<Waiting> = query(
        "select message_id, tagged, due_at from mail_waiting
          where key_hash = $1 and organization_id = $2 and kind = $3 and due_at > $4",
    )
    .bind(key.clone())
    .bind(asked.organization)
    .bind(asked.kind)
    .bind(now)
    .optional(&mut *tx)
    .await?;
    let tagged = asked.address.local().contains('+');
    let slot = decide(spent_until, waiting.as_ref(), tagged, now);
    if let Slot::Now(_) | Slot::Later(_) = slot {
        spend(tx, key.clone(), spent_until + SLOT);
    }
    if let Slot::Later(due_at) | Slot::InPlaceOf(_, due_at) = slot {
        wait(tx, key, asked, &Waiting { message_id: message, tagged, due_at });
    }
    Ok(slot)
}

/// Until when the budget is spent. Nobody else takes of it until the end of this write.
async fn locked(tx: &mut Tx, key: Vec<u8>) -> Result<Timestamp, Fault> {
    let now = tx.now;
    let (until,): (Timestamp,) = query(
        "insert into mail_budgets (key_hash, spent_until) values ($1, $2)
         on conflict (key_hash) do update set spent_until = mail_budgets.spent_until returning spent_until",
    )
    .bind(key)
    .bind(now)
    .one(tx)
    .await?;
    Ok(until)
}

/// A message to the address itself may take the place of any; one to a tagged spelling of it only of another
/// tagged one, so that inventing tags keeps nobody's message away.
fn decide(spent_until: Timestamp, waiting: Option<&Waiting>, tagged: bool, now: Timestamp) -> Slot {
    if let Some(older) = waiting {
        let may_replace = !tagged || older.tagged;
        return if may_replace { Slot::InPlaceOf(older.message_id, older.due_at) } else { Slot::Never(older.due_at) };
    }
    let free_at = spent_until + SLOT - SLOT * BURST;
    if free_at <= now {
        Slot::Now(now)
    } else if free_at <= now + LONGEST {
        Slot::Later(free_at)
    } else {
        Slot::Never(free_at)
    }
}

fn spend(tx: &mut Tx, key: Vec<u8>, until: Timestamp) {
    query("update mail_budgets set spent_until = $1 where key_hash = $2").bind(until).bind(key).later(tx);
}

fn wait(tx: &mut Tx, key: Vec<u8>, asked: &Asked<'_>, waiting: &Waiting) {
    query(
        "insert into mail_waiting (key_hash, organization_id, kind, message_id, tagged, due_at) values ($1, $2, $3, $4, $5, $6)
         on conflict (key_hash, organization_id, kind) do update set message_id = $4, tagged = $5, due_at = $6",
    )
    .bind(key)
    .bind(asked.organization)
    .bind(asked.kind)
    .bind(waiting.message_id)
    .bind(waiting.tagged)
    .bind(waiting.due_at)
    .later(tx);
}

/// Forgets budgets that are whole again.
pub(super) async fn clean_up(tx: &mut Tx) -> Result<u64, Fault> {
    let yesterday = tx.now - DAY;
    let whole = query(
        "delete from mail_budgets where key_hash in (select key_hash from mail_budgets where spent_until < $1 limit $2)",
    )
    .bind(yesterday)
    .bind(CLEANED_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    let waited = query(
        "delete from mail_waiting where (key_hash, organization_id, kind) in
           (select key_hash, organization_id, kind from mail_waiting where due_at < $1 limit $2)",
    )
    .bind(yesterday)
    .bind(CLEANED_AT_ONCE)
    .execute(tx)
    .await?;
    Ok(whole.max(waited))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{HOUR, MINUTE};

    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn message(n: u8) -> MessageId {
        MessageId::new(START, [n; 10])
    }

    /// Two kinds are asked for every minute of two days; the moments at which messages leave.
    fn leaving_under_attack() -> Vec<Timestamp> {
        let (mut spent_until, mut waiting) = (START, [None::<Waiting>; 2]);
        let mut leaving: Vec<Timestamp> = Vec::new();
        for minute in 0..2 * 24 * 60_u32 {
            let now = START + MINUTE * minute;
            for older in &mut waiting {
                spent_until = spent_until.max(now);
                let slot = decide(spent_until, older.as_ref().filter(|older| older.due_at > now), false, now);
                if let Slot::Now(at) | Slot::Later(at) = slot {
                    spent_until = spent_until + SLOT;
                    leaving.push(at);
                    *older = Some(Waiting { message_id: message(1), tagged: false, due_at: at });
                }
            }
        }
        leaving.sort();
        leaving
    }

    #[test]
    fn never_more_than_three_in_an_hour_and_ten_in_a_day() {
        let leaving = leaving_under_attack();
        assert!(leaving.len() > 15);
        for start in &leaving {
            let within = |span: Duration| leaving.iter().filter(|at| **at >= *start && **at < *start + span).count();
            assert!(within(HOUR) <= 3, "{}", within(HOUR));
            assert!(within(DAY) <= 10, "{}", within(DAY));
        }
    }

    #[test]
    fn during_an_attack_a_message_leaves_every_three_hours() {
        let leaving = leaving_under_attack();
        assert!(leaving.windows(2).all(|pair| pair[0].until(pair[1]) <= SLOT));
    }

    #[test]
    fn three_leave_at_once_and_the_fourth_waits_for_a_slot() {
        let spent = |slots: u32| START + SLOT * slots;
        for slots in 0..BURST {
            assert_eq!(decide(spent(slots), None, false, START), Slot::Now(START));
        }
        assert_eq!(decide(spent(3), None, false, START), Slot::Later(START + SLOT));
        assert_eq!(decide(spent(30), None, false, START), Slot::Never(START + SLOT * 28));
    }

    #[test]
    fn the_newest_takes_the_place_of_the_one_that_waits_unless_only_a_tag_was_invented() {
        let older = |tagged| Waiting { message_id: message(4), tagged, due_at: START + SLOT };
        let place = Slot::InPlaceOf(message(4), START + SLOT);
        assert_eq!(decide(START, Some(&older(false)), false, START), place);
        assert_eq!(decide(START, Some(&older(true)), false, START), place);
        assert_eq!(decide(START, Some(&older(true)), true, START), place);
        assert_eq!(decide(START, Some(&older(false)), true, START), Slot::Never(START + SLOT));
    }
}
