//! How a meter moves: up at once, down slowly, with a mark that stays on the last peak for a while.

/// What counts as silence, dB.
pub const FLOOR_DB: f32 = -90.0;
/// How fast bar and mark fall, dB a second.
const FALL: f32 = 26.0;
/// How long the mark stays, seconds.
const HOLD: f32 = 1.2;

/// One channel's meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ballistics {
    /// The bar, dB relative to full scale.
    pub level_db: f32,
    /// The mark, dB relative to full scale.
    pub held_db: f32,
    /// Seconds until the mark falls.
    hold: f32,
}

impl Default for Ballistics {
    fn default() -> Self {
        Self { level_db: FLOOR_DB, held_db: FLOOR_DB, hold: 0.0 }
    }
}

impl Ballistics {
    /// Moves on by `seconds`, during which the highest magnitude was `peak`.
    pub fn advance(&mut self, peak: f32, seconds: f32) {
        let peak_db = (20.0 * peak.log10()).max(FLOOR_DB);
        self.level_db = peak_db.max(self.level_db - FALL * seconds);
        self.hold -= seconds;
        if self.hold <= 0.0 {
            self.held_db = (self.held_db - FALL * seconds).max(FLOOR_DB);
        }
        if peak_db >= self.held_db {
            self.held_db = peak_db;
            self.hold = HOLD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_jumps_up_and_falls_steadily_while_the_mark_waits() {
        let mut meter = Ballistics::default();
        meter.advance(1.0, 0.01);
        assert_eq!((meter.level_db, meter.held_db), (0.0, 0.0));
        for _ in 0..10 {
            meter.advance(0.0, 0.1);
        }
        assert!((meter.level_db + FALL).abs() < 1e-3);
        assert_eq!(meter.held_db, 0.0);
        for _ in 0..10 {
            meter.advance(0.0, 0.1);
        }
        assert!(meter.held_db < -10.0);
    }

    #[test]
    fn silence_and_nonsense_rest_on_the_floor() {
        let mut meter = Ballistics::default();
        for peak in [0.0, f32::NAN, -1.0] {
            meter.advance(peak, 10.0);
            assert_eq!((meter.level_db, meter.held_db), (FLOOR_DB, FLOOR_DB));
        }
    }
}
