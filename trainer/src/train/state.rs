//! A run's whole state in one file, from which it goes on as if it had never stopped.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use candle_core::Tensor;
use engine::files::write_atomically;
use engine::model::Parameter;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use super::optimizer::{Adam, Named, weights};
use super::recipe::{Monitor, Recipe};
use crate::exit::WrongUse;

/// What is known about a run besides its weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Best value of what validation monitors.
    pub best: Option<f64>,
    /// Validations since then.
    pub since_best: u64,
    /// Validations in all.
    pub validations: u64,
    /// The checkpoint that the first weights came from.
    pub initialised_from: Option<String>,
    /// The recipe that the run follows, as it was written: a later version may have other keys.
    pub recipe: serde_json::Value,
}

impl Progress {
    /// Before the first step.
    pub fn new(recipe: &Recipe) -> anyhow::Result<Self> {
        let recipe = serde_json::to_value(recipe)?;
        Ok(Self { step: 0, best: None, since_best: 0, validations: 0, initialised_from: None, recipe })
    }

    /// Counts a validation; says whether it is the best so far.
    pub fn judge(&mut self, monitor: Monitor, value: f64) -> bool {
        self.validations += 1;
        let best = self.best.is_none_or(|best| monitor.better(value, best));
        if best {
            self.best = value.is_finite().then_some(value);
            self.since_best = 0;
        } else {
            self.since_best += 1;
        }
        best
    }

    /// Goes on with a recipe that may have changed since the run was saved; says whether it has.
    pub fn follow(&mut self, recipe: &Recipe) -> anyhow::Result<bool> {
        let new = serde_json::to_value(recipe)?;
        if new["validation"]["monitor"] != self.recipe["validation"]["monitor"] {
            // What is best by one measure says nothing about the other.
            (self.best, self.since_best) = (None, 0);
        }
        let changed = new != self.recipe;
        self.recipe = new;
        Ok(changed)
    }
}

/// The metadata's key.
const KEY: &str = "run";

/// Writes everything to one file, so that its parts always belong together.
///
/// # Errors
/// The disk is full or not writable; the previous state is then still there.
pub fn write(
    path: &Path,
    progress: &Progress,
    parameters: &BTreeMap<String, Parameter>,
    optimizer: &Adam,
) -> anyhow::Result<()> {
    let weights = weights(parameters)?;
    let groups = [
        ("weight", &weights),
        ("average", &optimizer.average),
        ("mean", &optimizer.mean),
        ("square", &optimizer.square),
    ];
    let mut bytes: Vec<(String, Vec<u8>)> = Vec::new();
    for (group, named) in groups {
        for (name, values) in named {
            bytes.push((format!("{group}/{name}"), values.iter().flat_map(|x| x.to_le_bytes()).collect()));
        }
    }
    let views = bytes
        .iter()
        .map(|(name, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(progress)?)]);
    let file = safetensors::serialize(views, Some(metadata))?;
    write_atomically(path, |w| w.write_all(&file))?;
    Ok(())
}

/// Reads a state into the parameters and the optimiser.
///
/// Moments of parameters that were frozen until now start at 0.
///
/// # Errors
/// It cannot be read, is damaged, or belongs to another architecture.
pub fn read(
    path: &Path,
    parameters: &BTreeMap<String, Parameter>,
    optimizer: &mut Adam,
) -> anyhow::Result<Progress> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let damaged = || format!("{name} is damaged: delete it to start this run again");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).with_context(damaged)?;
    let tensors = SafeTensors::deserialize(&bytes).with_context(damaged)?;
    let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).with_context(damaged)?;
    let progress: Progress = serde_json::from_str(json).with_context(damaged)?;
    let mut groups: BTreeMap<&str, Named> = BTreeMap::new();
    for (key, view) in tensors.iter() {
        let Some((group, parameter)) = key.split_once('/') else { bail!("{}", damaged()) };
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        groups.entry(group).or_default().insert(parameter.to_owned(), values);
    }
    let mut take = |group: &str| groups.remove(group).unwrap_or_default();
    let (weights, average) = (take("weight"), take("average"));
    for (parameter_name, parameter) in parameters {
        let expected = parameter.var.elem_count();
        let fits = |named: &Named| named.get(parameter_name).is_some_and(|values| values.len() == expected);
        ensure!(
            fits(&weights) && fits(&average) && weights.len() == parameters.len(),
            WrongUse(format!(
                "{name} belongs to another architecture than the recipe's: it has {} tensors of a {}, and {} of {} \
                 weights is not among them; go on with the run's own recipe, or start another run with \
                 --init-from and its last.safetensors",
                weights.len(),
                progress.recipe["architecture"]["name"].as_str().unwrap_or("network"),
                parameter_name,
                expected
            ))
        );
    }
    for (name, parameter) in parameters {
        let values = weights.get(name).cloned().unwrap_or_default();
        parameter.var.set(&Tensor::from_vec(values, parameter.var.shape(), parameter.var.device())?)?;
    }
    optimizer.average = average;
    for (group, moments) in [("mean", &mut optimizer.mean), ("square", &mut optimizer.square)] {
        let mut saved = take(group);
        for (name, values) in moments {
            match saved.remove(name) {
                Some(saved) if saved.len() == values.len() => *values = saved,
                _ => values.fill(0.0),
            }
        }
    }
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            step: 0,
            best: None,
            since_best: 0,
            validations: 0,
            initialised_from: None,
            recipe: serde_json::Value::Null,
        }
    }

    #[test]
    fn the_best_validation_is_the_highest_sdr_or_the_lowest_loss() {
        let judge = |monitor, values: [f64; 4]| {
            let mut progress = progress();
            let best = values.map(|value| progress.judge(monitor, value));
            (best, progress.since_best, progress.best)
        };
        let values = [2.0, 3.0, 1.0, 1.5];
        assert_eq!(judge(Monitor::Sdr, values), ([true, true, false, false], 2, Some(3.0)));
        assert_eq!(judge(Monitor::Loss, values), ([true, false, true, false], 1, Some(1.0)));
        // A validation without a result must not stand in the way of the next.
        assert_eq!(
            judge(Monitor::Sdr, [f64::NAN, 1.0, f64::NAN, 0.5]),
            ([true, true, false, false], 2, Some(1.0))
        );
    }
}
