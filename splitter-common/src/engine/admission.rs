//! Owns the cells of limits: what is asked of a new flow before it is decided.

use super::Env;
use crate::{
    address::Address,
    layout::{ClientKey, Left, ServiceRow},
};

/// Whether the limits of the service and of the client, `a` and `b` its address, let a new flow pass. A
/// function of its own, for its room on the stack.
#[inline(never)]
pub(super) fn is_admitted<E: Env>(env: &E, left: &Left, row: &ServiceRow, a: u64, b: u64) -> bool {
    let [all, each] = row.limits;
    let now_ns = env.now_ns();
    // The client first: one that asks for too much takes nothing from the others.
    if each.is_set() {
        let key = ClientKey {
            client: Address([a, b]).prefix(32, 64),
            service: left.service as u64,
        };
        let Some(due_ns) = each.admit(env.client_due(&key), now_ns) else {
            return false;
        };
        env.set_client_due(&key, due_ns);
    }
    if all.is_set() {
        let Some(due_ns) = all.admit(env.service_due(left.service), now_ns) else {
            return false;
        };
        env.set_service_due(left.service, due_ns);
    }
    true
}
