//! `trainer evaluate`.
pub mod stem_files;
