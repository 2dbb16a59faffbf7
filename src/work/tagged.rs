//! A deferred request with its tag.

/// A request as its requester has framed it, and the tag by which a far end knows it again ([`crate::spool::once`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The same for the first try and every replay; empty if the host does not remember what it has executed.
    pub tag: Box<str>,
    /// The request, as it is framed.
    pub body: Box<[u8]>,
}
