//! Owns what a site says of open flows, and who is served.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use splitter_user::model::Service;

use super::{Client, Site, Vip};

/// DESIGN, "Fate of open flows": what a service's open flows are looked at for.
#[derive(Clone, Default)]
pub(super) struct Fates {
    /// The commit that last changed who is served.
    listed: u64,
    /// Commits that end flows, each at a time in seconds.
    endings: Vec<(u64, u64)>,
}

/// As many endings are kept apart.
const ENDINGS: usize = 3;

impl Fates {
    /// A new ending takes in those that would end no sooner; of those that are over the newest stands
    /// for all; with no room left the last of the sooner ones joins it.
    fn end(&mut self, commit: u64, at_s: u64, now_s: u64) {
        self.endings.retain(|(_, sooner_s)| *sooner_s < at_s);
        let newest_over = self
            .endings
            .iter()
            .rev()
            .find(|(_, over_s)| *over_s <= now_s);
        let newest_over = newest_over.copied();
        self.endings
            .retain(|ending| ending.1 > now_s || Some(*ending) == newest_over);
        self.endings.truncate(ENDINGS - 1);
        self.endings.push((commit, at_s));
    }
}

/// What becomes of a flow that is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::model) enum Fate {
    /// It is decided as it was.
    Same,
    /// Otherwise, but its time is not up.
    Later,
    /// It ends.
    Ends,
}

impl Site {
    /// What this commit says of a service's flows.
    pub(super) fn fate(
        &mut self,
        service: &Service,
        before: &Self,
        ends_at_s: Option<u64>,
        now_s: u64,
    ) {
        let set = |prefixes: &[IpNet]| prefixes.iter().copied().collect();
        let lists = [set(&service.deny), set(&service.allow)];
        let mut fates = Fates::default();
        if let Some(old) = before.fates.get(&service.name) {
            fates = old.clone();
            if before.lists.get(&service.name) != Some(&lists) {
                fates.listed = self.commit;
            }
            if let Some(at_s) = ends_at_s {
                fates.end(self.commit, at_s, now_s);
            }
        }
        self.lists.insert(service.name.clone(), lists);
        self.fates.insert(service.name.clone(), fates);
    }

    /// Whether a flow to a VIP that was looked at by `commit` must be looked at again.
    pub(in crate::model) fn must_look(&self, vip: u64, commit: u64) -> bool {
        let service = self.vips.get(&vip).map(|vip| &vip.service);
        let fates = service.and_then(|service| self.fates.get(service));
        fates.is_some_and(|fates| {
            fates.listed > commit || fates.endings.iter().any(|(from, _)| *from > commit)
        })
    }

    /// Whether the service of a VIP does not serve a client: deny goes before allow.
    pub(in crate::model) fn is_denied(&self, vip: u64, client: IpAddr) -> bool {
        let service = self.vips.get(&vip).map(|vip| &vip.service);
        let lists = service.and_then(|service| self.lists.get(service));
        lists.is_some_and(|[deny, allow]| {
            let has = |list: &BTreeSet<IpNet>| list.iter().any(|prefix| prefix.contains(&client));
            has(deny) || !allow.is_empty() && !has(allow)
        })
    }

    /// What becomes of an open flow of `server` that was looked at by `commit`.
    pub(in crate::model) fn look(
        &self,
        vip: u64,
        (client, dialled): (&Client, u16),
        server: u64,
        commit: u64,
        now_s: u64,
    ) -> Fate {
        let Some(Vip { socket, service }) = self.vips.get(&vip) else {
            return Fate::Same;
        };
        if self.is_denied(vip, client.address) {
            return Fate::Ends;
        }
        let law = self.laws.get(service);
        let version = law.map(|law| law.version(client, dialled, socket.2).name.as_str());
        let its = self
            .servers
            .get(&server)
            .map(|(server, ..)| server.version.as_str());
        if version == its && !self.leaving.contains(&server) {
            return Fate::Same;
        }
        let fates = self.fates.get(service).cloned().unwrap_or_default();
        let is_due = |(from, at_s): &(u64, u64)| *from > commit && *at_s <= now_s;
        if fates.endings.iter().any(is_due) {
            Fate::Ends
        } else {
            Fate::Later
        }
    }
}
