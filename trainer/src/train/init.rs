//! What training starts from, and what it leaves alone: weights of a checkpoint, frozen parameters.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use engine::checkpoint::Checkpoint;
use engine::model::Parameter;

use super::optimizer::{Adam, weights};
use crate::exit::WrongUse;
use crate::pattern::matches;

/// What was taken from a checkpoint.
#[derive(Debug)]
pub struct Taken {
    /// Parameters that now have the checkpoint's values.
    pub loaded: Vec<String>,
    /// Parameters that the checkpoint does not have in this shape: they start fresh.
    pub fresh: Vec<String>,
    /// Tensors of the checkpoint that the network has no place for.
    pub unused: Vec<String>,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} tensors loaded", self.loaded.len(), self.loaded.len() + self.fresh.len())?;
        for (names, what) in [(&self.fresh, "start fresh"), (&self.unused, "of the checkpoint are unused")] {
            if let Some(first) = names.first() {
                write!(
                    f,
                    "; {} {what} ({first}{})",
                    names.len(),
                    if names.len() > 1 { ", ..." } else { "" }
                )?;
            }
        }
        Ok(())
    }
}

/// Takes the weights of `checkpoint`, `name` for errors, and starts the average from them.
///
/// # Errors
/// It is of another architecture, and not `partial`; or nothing in it fits.
pub fn load(
    parameters: &BTreeMap<String, Parameter>,
    optimizer: &mut Adam,
    checkpoint: &Checkpoint,
    name: &str,
    partial: bool,
) -> anyhow::Result<Taken> {
    let tensors = checkpoint.tensors();
    let fits = |name: &str, parameter: &Parameter| {
        tensors.get(name).is_some_and(|tensor| tensor.dims() == parameter.var.dims())
    };
    let (loaded, fresh): (Vec<_>, Vec<_>) =
        parameters.iter().partition(|(name, parameter)| fits(name, parameter));
    let names = |list: Vec<(&String, &Parameter)>| list.into_iter().map(|(name, _)| name.clone()).collect();
    let unused = tensors.keys().filter(|name| !parameters.get(*name).is_some_and(|p| fits(name, p)));
    let taken = Taken { unused: unused.cloned().collect(), loaded: names(loaded), fresh: names(fresh) };

    let kind = checkpoint.header().architecture.name();
    ensure!(
        !taken.loaded.is_empty(),
        WrongUse(format!("no tensor of {name}, a {kind}, fits into the recipe's network"))
    );
    if !(partial || taken.fresh.is_empty() && taken.unused.is_empty()) {
        let differing = taken.fresh.first().or(taken.unused.first()).cloned().unwrap_or_default();
        let shape = |dims: Option<&[usize]>| dims.map_or("not there".into(), |dims| format!("{dims:?}"));
        bail!(WrongUse(format!(
            "{name} is a {kind} of another architecture than the recipe's network: {} tensors differ, such as \
             {differing}: {} in the checkpoint, {} in the network; --partial takes those that fit",
            taken.fresh.len().max(taken.unused.len()),
            shape(tensors.get(&differing).map(|t| t.dims())),
            shape(parameters.get(&differing).map(|p| p.var.dims())),
        )));
    }
    for name in &taken.loaded {
        if let (Some(parameter), Some(tensor)) = (parameters.get(name), tensors.get(name)) {
            parameter.var.set(&tensor.to_device(parameter.var.device())?)?;
        }
    }
    optimizer.average = weights(parameters)?;
    Ok(taken)
}

/// Marks the parameters whose names match a pattern as not trained.
///
/// # Errors
/// A pattern that matches none: it names the nearest parameter.
pub fn freeze(parameters: &mut BTreeMap<String, Parameter>, patterns: &[String]) -> anyhow::Result<()> {
    for pattern in patterns {
        let mut found = false;
        for (_, parameter) in parameters.iter_mut().filter(|(name, _)| matches(pattern, name)) {
            parameter.trained = false;
            found = true;
        }
        if !found {
            let likeness = |name: &str| strsim::jaro_winkler(pattern, name);
            let nearest = parameters.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            bail!(WrongUse(format!(
                "`optimizer.freeze` has {pattern:?}, which is no parameter; there is {:?}, for one",
                nearest.map_or("", String::as_str)
            )));
        }
    }
    ensure!(
        parameters.values().any(|parameter| parameter.trained),
        WrongUse("`optimizer.freeze` leaves nothing to train".into())
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};

    use super::*;

    fn parameters() -> BTreeMap<String, Parameter> {
        let parameter = || {
            let var = Var::from_tensor(&Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap());
            Parameter { var: var.unwrap(), trained: true }
        };
        ["encoder.0.weight", "encoder.1.weight", "output.weight"].map(|n| (n.to_owned(), parameter())).into()
    }

    #[test]
    fn frozen_parameters_are_not_trained_and_wrong_patterns_are_wrong_use() {
        let mut all = parameters();
        freeze(&mut all, &["encoder.*".into()]).unwrap();
        let trained: Vec<_> = all.iter().filter(|(_, p)| p.trained).map(|(n, _)| n.as_str()).collect();
        assert_eq!(trained, ["output.weight"]);
        let error = freeze(&mut parameters(), &["encodr.0.weight".into()]).unwrap_err();
        assert!(error.is::<WrongUse>() && error.to_string().contains("encoder.0.weight"), "{error}");
        assert!(
            freeze(&mut parameters(), &["*".into()]).unwrap_err().to_string().contains("nothing to train")
        );
    }
}
