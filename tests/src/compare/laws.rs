//! Owns what holds for every packet whatever became of it: the properties of DESIGN that can be
//! seen from outside, without knowing any flow.

use anyhow::{Context as _, Result, bail, ensure};

use super::{XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX};
use crate::model::{Carries, Model, Shape, Socket, checksums, shape};

/// Bytes of a packet that the answer to it quotes.
const QUOTED: usize = 68;

/// Holds the frame `left` by the program beside the one that was `sent`.
pub(super) fn check(model: &Model, sent: &[u8], action: u32, left: &[u8]) -> Result<()> {
    ensure!(
        [XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT].contains(&action),
        "the program returned {action}"
    );
    if action == XDP_DROP {
        return Ok(());
    }
    let was = shape(sent);
    let is_untouched = sent == left;
    ensure!(
        !is_untouched || !was.is_some_and(|was| is_to_vip(model, &was)),
        "a packet to a VIP was handed on as it came"
    );
    if is_untouched {
        ensure!(action == XDP_PASS, "action {action} on an untouched packet");
        return Ok(());
    }
    let was = was.context("what is no IP packet was rewritten")?;
    let is = shape(left).context("what is left is no IP packet")?;
    // Between equal ends a packet that went on looks like one that was turned; those leave elsewhere.
    let is_turned = (was.source, was.destination) == (is.destination, is.source)
        && (was.source != was.destination || action == XDP_TX);
    if is_turned && matches!(is.carries, Carries::Icmp(_)) {
        ensure!(action == XDP_TX, "an answer left with action {action}");
        return answered(model, (sent, &was), (left, &is));
    }
    if is_turned && sent.len() >= left.len() && was.carries != is.carries {
        ensure!(action == XDP_TX, "a RST left with action {action}");
        return reset(model, &was, left, &is);
    }
    ensure!(
        sent.len() == left.len(),
        "{} bytes became {}",
        sent.len(),
        left.len()
    );
    same_checksums(sent, left)?;
    rewritten(model, &was, &is)
}

fn is_to_vip(model: &Model, was: &Shape) -> bool {
    match was.carries {
        Carries::Ports(_, to) => model.dialled(&to).is_some(),
        Carries::Later => model.has_vips(was.destination),
        Carries::Icmp(_) | Carries::Other => false,
    }
}

fn same_checksums(sent: &[u8], left: &[u8]) -> Result<()> {
    ensure!(
        checksums(sent) == checksums(left),
        "checksums (IPv4 header, payload) were {:?} and are {:?}",
        checksums(sent),
        checksums(left)
    );
    Ok(())
}

/// One end has changed, and only in the one way that is right.
fn rewritten(model: &Model, was: &Shape, is: &Shape) -> Result<()> {
    let ends = (was.source != is.source, was.destination != is.destination);
    match (was.carries, is.carries) {
        (Carries::Ports(from, to), Carries::Ports(new_from, new_to)) => {
            ports(model, (from, to), (new_from, new_to))
        }
        (Carries::Later, Carries::Later) => match ends {
            (true, false) if model.has_vips(is.source) => Ok(()),
            (false, true) if model.has_vips(was.destination) => Ok(()),
            _ => bail!("a fragment from or to no VIP was rewritten"),
        },
        (Carries::Icmp(kind), Carries::Icmp(still)) if kind == still => match ends {
            (false, false) => Ok(()),
            (true, false) if model.has_vips(is.source) => Ok(()),
            (false, true) if model.has_vips(was.destination) => Ok(()),
            _ => bail!("an ICMP error from or to no VIP was rewritten"),
        },
        (was, is) => bail!("{was:?} became {is:?}"),
    }
}

fn ports(model: &Model, (from, to): (Socket, Socket), new: (Socket, Socket)) -> Result<()> {
    let (new_from, new_to) = new;
    match model.dialled(&to) {
        Some(vip) => {
            ensure!(from == new_from, "the source of a request was rewritten");
            ensure!(
                model.served_by(&vip, &new_to),
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

/// This host has ended a flow: a client's with a VIP, or a backend's with its client.
fn reset(model: &Model, was: &Shape, left: &[u8], is: &Shape) -> Result<()> {
    let (Carries::Ports(from, to), Carries::Ports(new_from, new_to)) = (was.carries, is.carries)
    else {
        bail!("{was:?} was answered by {is:?}");
    };
    ensure!((from, to) == (new_to, new_from), "a RST has other ends");
    ensure!(
        model.dialled(&to).is_some() || model.served(&from).is_some(),
        "a RST to nobody of ours"
    );
    let flags = left.get(is.l4 + 13).copied().unwrap_or_default();
    ensure!(flags & 0x04 != 0, "an answer that is no RST");
    ensure!(
        left.len() == is.l4 + 20 && checksums(left).1 == Some(true),
        "a RST of another form"
    );
    Ok(())
}

/// This host has answered: an echo, or what is too big.
fn answered(model: &Model, sent: (&[u8], &Shape), left: (&[u8], &Shape)) -> Result<()> {
    let ((sent, was), (left, is)) = (sent, left);
    match (was.carries, is.carries) {
        (Carries::Icmp(8 | 128), Carries::Icmp(0 | 129)) => {
            let is_vip = model.has_vips(was.destination);
            ensure!(is_vip, "an echo to no VIP was answered");
            ensure!(sent.len() == left.len(), "an echo has another length");
            same_checksums(sent, left)
        }
        (Carries::Ports(..) | Carries::Later, Carries::Icmp(2 | 3)) => {
            let quoted = left.get(is.l4 + 8..).unwrap_or_default();
            ensure!(
                sent.get(14..14 + QUOTED) == Some(quoted),
                "an answer does not quote the packet as it came"
            );
            let (of_header, of_message) = checksums(left);
            ensure!(
                of_header != Some(false) && of_message == Some(true),
                "an answer has wrong checksums"
            );
            Ok(())
        }
        (was, is) => bail!("{was:?} was answered by {is:?}"),
    }
}
