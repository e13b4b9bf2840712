//! The learning rate of each step.

use std::f64::consts::PI;

use super::recipe::{self, Optimizer, Recipe};

/// A recipe's learning rates.
pub struct Schedule {
    config: Optimizer,
    steps: u64,
    steps_per_epoch: u64,
}

impl Schedule {
    /// Follows the recipe.
    pub fn new(recipe: &Recipe) -> Self {
        let (steps, steps_per_epoch) = (recipe.steps, recipe.steps_per_epoch);
        Self { config: recipe.optimizer.clone(), steps, steps_per_epoch }
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let c = &self.config;
        if step < c.warm_up {
            return c.rate * (step + 1) as f64 / c.warm_up as f64;
        }
        let progress = match c.schedule {
            recipe::Schedule::Constant => 0.0,
            recipe::Schedule::Cosine => {
                // The last step has the final rate itself.
                let length = self.steps.saturating_sub(c.warm_up + 1).max(1);
                ((step - c.warm_up) as f64 / length as f64).min(1.0)
            }
            recipe::Schedule::Cyclic => {
                // Epochs have whole cycles; what does not divide belongs to the last one.
                let cycle = (self.steps_per_epoch / c.cycles_per_epoch).max(1);
                let place = step % self.steps_per_epoch.max(1);
                let number = (place / cycle).min(c.cycles_per_epoch - 1);
                ((place - number * cycle) as f64 / cycle as f64).min(1.0)
            }
        };
        c.final_rate + (c.rate - c.final_rate) * 0.5 * (1.0 + (PI * progress).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(config: Optimizer, steps: u64, steps_per_epoch: u64) -> Schedule {
        Schedule { config, steps, steps_per_epoch }
    }

    #[test]
    fn a_cosine_warms_up_and_ends_at_its_final_rate() {
        let config = Optimizer { rate: 1.0, final_rate: 0.1, warm_up: 10, ..Optimizer::default() };
        let schedule = schedule(config, 100, 0);
        assert!((schedule.rate(0) - 0.1).abs() < 1e-9);
        assert!((schedule.rate(9) - 1.0).abs() < 1e-9 && (schedule.rate(10) - 1.0).abs() < 1e-9);
        assert!((schedule.rate(99) - 0.1).abs() < 1e-9);
        assert!((10..99).all(|s| schedule.rate(s + 1) <= schedule.rate(s)));
    }

    #[test]
    fn two_cycles_an_epoch_fall_along_a_cosine_and_start_again() {
        let config = Optimizer {
            rate: 1e-3,
            final_rate: 5e-6,
            schedule: recipe::Schedule::Cyclic,
            cycles_per_epoch: 2,
            ..Optimizer::default()
        };
        let schedule = schedule(config, 1_000, 100);
        for start in [0, 50, 100, 450] {
            assert!((schedule.rate(start) - 1e-3).abs() < 1e-12);
            assert!((schedule.rate(start + 25) - (5e-6 + 0.5 * (1e-3 - 5e-6))).abs() < 1e-9);
            assert!(schedule.rate(start + 49) < 7e-6);
            assert!((start..start + 49).all(|s| schedule.rate(s + 1) < schedule.rate(s)));
        }
    }

    #[test]
    fn a_constant_rate_is_constant() {
        let config = Optimizer { rate: 0.5, schedule: recipe::Schedule::Constant, ..Optimizer::default() };
        let schedule = schedule(config, 10, 0);
        assert!((0..10).all(|step| schedule.rate(step) == 0.5));
    }
}
