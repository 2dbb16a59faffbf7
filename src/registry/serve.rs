//! The registry's child: so far it says that it is ready, answers its parent, and retires.
//!
//! Enters: heritage, control channel, listeners. Leaves: when it is told to.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::sync::mpsc::unbounded_channel;

use crate::child::serve::Inheritance;
use crate::child::service::{self, Order};
use crate::heritage::Heritage;
use crate::snapshot::{Reach, Snapshot};

/// Runs until the parent wants it no more.
///
/// # Errors
/// Those of the event loop.
#[expect(clippy::needless_pass_by_value, reason = "the listeners are held until the end")]
pub(crate) fn run(heritage: Heritage, control: UnixStream, inheritance: Inheritance) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (orders, mut obeyed) = unbounded_channel();
    let numbers = || Snapshot { reach: Reach::Up, ..Snapshot::default() };
    runtime.block_on(async {
        let control = tokio::spawn(service::serve(control, heritage.debug, numbers, orders));
        while let Some(Order::Hosts(_)) = obeyed.recv().await {}
        drop((obeyed, inheritance.listeners));
        control.await.map_err(io::Error::other)?
    })
}
