//! Carries out the tasks of the accounts of clients, and sees to their sessions and
//! QR logins.

use super::Openwx;

/// Looks after every client until the host ends.
pub(super) async fn drive(openwx: Openwx) {
    let _ = openwx.service();
}
