//! The Live network: the improved transformer across bands and along time, causal.

mod blocks;
mod config;
mod network;
mod plain;
mod spectra;
mod windows;

pub use config::BandDptConfig;
pub(crate) use config::inputs_of;
pub use network::{BandDpt, BandDptState};
pub(crate) use spectra::{FLOOR, QUIET, seen_level};
pub use windows::Windows;
