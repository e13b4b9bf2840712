//! The Live network: the improved transformer across bands and along time, causal.

mod config;
mod windows;

pub use config::BandDptConfig;
pub use windows::Windows;
