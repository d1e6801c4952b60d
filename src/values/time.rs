use std::{
    ops::{Add, Sub},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

/// One minute, for lifetimes that read as sentences.
pub const MINUTE: Duration = Duration::from_mins(1);
/// One hour.
pub const HOUR: Duration = Duration::from_hours(1);
/// One day of 24 hours.
pub const DAY: Duration = Duration::from_hours(24);

/// A moment in microseconds since 1970, the precision that both databases keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// How long until `later`; zero when it has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC to the second, for `<time datetime>` and for programs.
    pub fn rfc3339(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    /// From RFC 3339, as [`Timestamp::rfc3339`] writes it.
    pub fn from_rfc3339(typed: &str) -> Option<Self> {
        typed.trim().parse::<jiff::Timestamp>().ok().map(|moment| Self(moment.as_microsecond()))
    }

    /// For people without scripts: the day and the minute, and that it is UTC.
    pub fn readable(self) -> String {
        self.format("%Y-%m-%d %H:%M UTC")
    }

    /// The day in UTC, as `2026-11-22`.
    pub fn day(self) -> String {
        self.format("%Y-%m-%d")
    }

    /// The first moment of a day in UTC, written as `2026-11-22`.
    pub fn from_day(typed: &str) -> Option<Self> {
        let day: jiff::civil::Date = typed.trim().parse().ok()?;
        let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self(midnight.timestamp().as_microsecond()))
    }

    /// The beginning of this moment's hour: what is counted by hour is counted under it.
    #[must_use]
    pub fn hour(self) -> Self {
        let hour = 3_600_000_000;
        Self(self.0.div_euclid(hour) * hour)
    }

    fn format(self, pattern: &str) -> String {
        jiff::Timestamp::from_microsecond(self.0).map(|t| t.strftime(pattern).to_string()).unwrap_or_default()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// Tells the time. Tests hold one that stands still until it is told to move.
#[derive(Debug, Clone)]
pub enum Clock {
    /// Runs by itself, and is set from time to time.
    Running(Arc<Running>),
    /// Stands still; moved by [`Clock::advance`].
    Still(Arc<AtomicI64>),
}

/// A clock that goes with the machine's steady one, whatever happens to its calendar, and never goes back: what has
/// expired stays expired.
#[derive(Debug)]
pub struct Running {
    start: Instant,
    /// The time is this many microseconds more than have passed since `start`.
    offset: AtomicI64,
    /// The latest time that was told.
    told: AtomicI64,
}

/// A clock that is ahead is held back by so much each time it is set: that is a drift of 500 parts in a million, more
/// than clocks have. A calendar that was set back by hours is not followed: a restart does.
const HELD_BACK: i64 = 5_000;

impl Running {
    fn starting_at(now: Timestamp) -> Self {
        Self { start: Instant::now(), offset: AtomicI64::new(now.0), told: AtomicI64::new(now.0) }
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    fn now_after(&self, elapsed: i64) -> Timestamp {
        let now = self.offset.load(Ordering::SeqCst).saturating_add(elapsed);
        Timestamp(self.told.fetch_max(now, Ordering::SeqCst).max(now))
    }

    fn start_after(&self, elapsed: i64, told: Timestamp) {
        self.offset.store(told.0.saturating_sub(elapsed), Ordering::SeqCst);
        self.told.store(told.0, Ordering::SeqCst);
    }

    fn set_after(&self, elapsed: i64, told: Timestamp) {
        let offset = self.offset.load(Ordering::SeqCst);
        let wanted = told.0.saturating_sub(elapsed);
        self.offset.store(wanted.max(offset - HELD_BACK), Ordering::SeqCst);
    }
}

impl Clock {
    /// A clock that runs, set by the machine's.
    pub fn running() -> Self {
        Self::Running(Arc::new(Running::starting_at(Self::of_this_machine())))
    }

    /// A clock that stands at `start`.
    pub fn still_at(start: Timestamp) -> Self {
        Self::Still(Arc::new(AtomicI64::new(start.0)))
    }

    /// What the machine's calendar says.
    pub fn of_this_machine() -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_microsecond())
    }

    /// Starts a running clock that nobody has asked yet: another one says what time it is, earlier or later.
    pub fn start(&self, told: Timestamp) {
        if let Self::Running(running) = self {
            running.start_after(running.elapsed(), told);
        }
    }

    /// Sets a running clock by another one: at once when it is behind, little by little when it is ahead.
    pub fn set(&self, told: Timestamp) {
        if let Self::Running(running) = self {
            running.set_after(running.elapsed(), told);
        }
    }

    /// Moves a still clock forward; a running one moves by itself.
    pub fn advance(&self, span: Duration) {
        if let Self::Still(now) = self {
            now.fetch_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Running(running) => running.now_after(running.elapsed()),
            Self::Still(now) => Timestamp(now.load(Ordering::SeqCst)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_as_rfc_3339_and_as_words() {
        let moment = Timestamp::from_micros(1_795_356_123_456_789);
        assert_eq!(moment.rfc3339(), "2026-11-22T14:02:03Z");
        assert_eq!(Timestamp::from_rfc3339("2026-11-22T14:02:03Z").unwrap().rfc3339(), moment.rfc3339());
        assert_eq!(moment.readable(), "2026-11-22 14:02 UTC");
        assert_eq!(moment.hour().rfc3339(), "2026-11-22T14:00:00Z");
    }

    #[test]
    fn a_day_begins_at_midnight_and_nothing_else_is_a_day() {
        assert_eq!(Timestamp::from_day(" 2026-11-22 ").unwrap().rfc3339(), "2026-11-22T00:00:00Z");
        for wrong in ["", "22.11.2026", "2026-02-30", "yesterday", "99999-01-01"] {
            assert_eq!(Timestamp::from_day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_has_passed_is_zero_away() {
        let now = Timestamp::from_micros(5_000_000);
        assert_eq!(now.until(Timestamp::from_micros(4_000_000)), Duration::ZERO);
        assert_eq!(now.until(now + MINUTE), MINUTE);
    }

    #[test]
    fn a_still_clock_moves_only_when_told() {
        let clock = Clock::still_at(Timestamp::from_micros(0));
        assert_eq!(clock.now(), clock.now());
        clock.advance(DAY);
        assert_eq!(clock.now(), Timestamp::from_micros(0) + DAY);
    }

    #[test]
    fn a_clock_that_nobody_has_asked_yet_starts_where_another_one_is() {
        for told in [0, 1_000_000, 7_200_000_000].map(Timestamp::from_micros) {
            let clock = Running::starting_at(Timestamp::from_micros(3_600_000_000));
            clock.start_after(10, told);
            assert_eq!(clock.now_after(10), told);
            assert_eq!(clock.now_after(30), told + Duration::from_micros(20));
        }
    }

    #[test]
    fn a_running_clock_follows_another_forward_at_once_and_never_goes_back() {
        let clock = Running::starting_at(Timestamp::from_micros(1_000_000));
        assert_eq!(clock.now_after(10), Timestamp::from_micros(1_000_010));
        clock.set_after(10, Timestamp::from_micros(0) + HOUR);
        assert_eq!(clock.now_after(10), Timestamp::from_micros(0) + HOUR, "it was behind");
        clock.set_after(10, Timestamp::from_micros(0));
        assert_eq!(clock.now_after(10), Timestamp::from_micros(0) + HOUR, "told to go back by an hour, it stands");
        let later = clock.now_after(10_000_010);
        assert_eq!(
            later,
            Timestamp::from_micros(0) + HOUR + Duration::from_millis(9_995),
            "and goes on, a little late"
        );
    }
}
