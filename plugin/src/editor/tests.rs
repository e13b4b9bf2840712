//! The editor without a window.
