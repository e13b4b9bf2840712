//! How good stems are, by definitions that are never mixed.

pub mod plain_sdr;
