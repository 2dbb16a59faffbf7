//! parent

pub(crate) mod table;
