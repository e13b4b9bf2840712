//! How good stems are, by definitions that are never mixed.

pub mod aggregate;
pub mod bss_eval;
pub mod museval;
pub mod plain_sdr;
