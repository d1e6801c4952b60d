//! How long a message that was not delivered waits for its next attempt.

use std::time::Duration;

use crate::values::MINUTE;

/// Half a minute, then twice as long each time, at most an hour.
pub(super) fn wait_after(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 8)).unwrap_or(8) - 1;
    (MINUTE / 2 * 2_u32.pow(doublings)).min(60 * MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_between_attempts_grows_to_an_hour() {
        assert_eq!(wait_after(1), MINUTE / 2);
        assert_eq!(wait_after(2), MINUTE);
        assert_eq!(wait_after(8), 60 * MINUTE);
        assert_eq!(wait_after(1_000), 60 * MINUTE);
    }
}
