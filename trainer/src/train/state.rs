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

use super::optimizer::{AdamW, Named, weights};
use super::recipe::Recipe;

/// What is known about a run besides its weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Highest mean SDR in a validation.
    pub best: Option<f64>,
    /// Validations since then.
    pub since_best: u64,
    /// The recipe that the run follows.
    pub recipe: Recipe,
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
    optimizer: &AdamW,
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
/// # Errors
/// It cannot be read, is damaged, or belongs to another architecture.
pub fn read(
    path: &Path,
    parameters: &BTreeMap<String, Parameter>,
    optimizer: &mut AdamW,
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
    let weights = take("weight");
    let fits = |named: &Named, all: bool| {
        parameters.iter().filter(|(_, p)| all || p.trained).all(|(name, p)| {
            named.get(name).is_some_and(|values: &Vec<f32>| values.len() == p.var.elem_count())
        })
    };
    let (average, mean, square) = (take("average"), take("mean"), take("square"));
    ensure!(
        fits(&weights, true) && fits(&average, true) && fits(&mean, false) && fits(&square, false),
        "{name} belongs to another architecture than the recipe's"
    );
    for (name, parameter) in parameters {
        let values = weights.get(name).cloned().unwrap_or_default();
        parameter.var.set(&Tensor::from_vec(values, parameter.var.shape(), parameter.var.device())?)?;
    }
    (optimizer.average, optimizer.mean, optimizer.square) = (average, mean, square);
    Ok(progress)
}
