//! The registry: names → sockets and addresses. This is the place where it will be: so far its child accepts nobody.
//!
//! - [`serve`] — the child's entry

pub(crate) mod serve;
