//! Owns what holds for every packet whatever became of it: the properties of DESIGN that can be
//! seen from outside, without knowing any flow.

use anyhow::{Context as _, Result, ensure};

use super::{XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX};
use crate::model::{Model, checksums, sockets};

/// Holds the frame `left` by the program beside the one that was `sent`.
pub(super) fn check(model: &Model, sent: &[u8], action: u32, left: &[u8]) -> Result<()> {
    ensure!(
        [XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT].contains(&action),
        "the program returned {action}"
    );
    if action == XDP_DROP {
        return Ok(());
    }
    let to_vip = sockets(sent).and_then(|(_, to)| model.dialled(&to));
    let is_untouched = sent == left;
    ensure!(
        to_vip.is_none() || !is_untouched,
        "a packet to a VIP was handed on as it came"
    );
    if is_untouched {
        ensure!(action == XDP_PASS, "action {action} on an untouched packet");
        return Ok(());
    }
    ensure!(
        sent.len() == left.len(),
        "{} bytes became {}",
        sent.len(),
        left.len()
    );
    ensure!(
        checksums(sent) == checksums(left),
        "checksums (IPv4 header, TCP or UDP) were {:?} and are {:?}",
        checksums(sent),
        checksums(left)
    );
    let (from, to) = sockets(sent).context("a packet without ports was rewritten")?;
    let (new_from, new_to) = sockets(left).context("the rewritten packet has no ports")?;
    match to_vip {
        Some(vip) => {
            ensure!(from == new_from, "the source of a request was rewritten");
            ensure!(
                model.served(&new_to) == Some(vip),
                "{to:?} went to {new_to:?}, which is none of its backends"
            );
        }
        None => {
            ensure!(to == new_to, "the destination of a reply was rewritten");
            let vip = model
                .served(&from)
                .context("a packet that is not ours was rewritten")?;
            ensure!(
                vip == new_from,
                "{from:?} speaks as {new_from:?}, which is not its VIP"
            );
        }
    }
    Ok(())
}
