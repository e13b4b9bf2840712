//! Choosing one of the plugin's models, as a user and a host do it together.

use anyhow::{Context, Result, ensure};

use crate::plugin::{Parameter, Plugin, Setup};

/// The plugin's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// For playing; the default.
    Live,
    /// For mixing and bouncing.
    Studio,
}

impl Model {
    /// The parameter's value for it.
    pub fn value(self) -> f64 {
        match self {
            Model::Live => 0.0,
            Model::Studio => 1.0,
        }
    }
}

/// The parameter that chooses the model.
///
/// # Errors
/// There is none.
pub fn parameter(plugin: &dyn Plugin) -> Result<Parameter> {
    plugin.parameters()?.into_iter().find(|it| it.name == "Model").context("the plugin offers no models")
}

/// Makes a model the one that runs from the next activation on, through a running plugin: it is chosen, the
/// plugin asks for a restart if it needs one, and is switched off for it.
///
/// # Errors
/// The plugin refuses something, or asks for a restart when it should not, or the other way round.
pub fn choose(plugin: &mut dyn Plugin, setup: Setup, model: Model) -> Result<()> {
    plugin.activate(setup)?;
    let parameter = parameter(plugin)?;
    let is_new = plugin.value(&parameter)? != model.value();
    plugin.set(&parameter, model.value());
    // Without frames: parameters only.
    plugin.process(&vec![&[][..]; plugin.inputs()?.first().map_or(0, |bus| bus.channels)])?;
    ensure!(plugin.value(&parameter)? == model.value(), "the plugin does not take {model:?}");
    let asked = plugin.wants_restart();
    ensure!(asked == is_new, "{model:?} was chosen, and a restart asked for: {asked}; needed: {is_new}");
    plugin.deactivate();
    Ok(())
}
