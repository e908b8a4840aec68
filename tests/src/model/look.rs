//! Owns the look at an open flow whose service may decide otherwise by now.

use super::{
    Model, TCP,
    flow::RST,
    flows::{Key, Known},
    site::Fate,
    wire::Ports,
};

/// What a look at a client's packet's flow comes to.
pub(super) enum Looked {
    /// It goes on, or there is none.
    GoesOn(Option<Known>),
    /// It was ended.
    Ended,
}

impl Model {
    /// DESIGN, "Fate of open flows": a flow that is older than what its service says of open flows
    /// goes once more through the decision. A RST goes on as on any flow: it is never answered.
    pub(super) fn look(&mut self, key: &Key, ports: &Ports, known: Option<Known>) -> Looked {
        let (client, vip, dialled) = *key;
        let now_s = self.flows.now_s;
        let Some(known) = known else {
            return Looked::GoesOn(None);
        };
        let goes_on = Looked::GoesOn(Some(known));
        let is_tcp = self.site.vip(vip).is_some_and(|vip| vip.socket.2 == TCP);
        let is_reset = ports.flags & RST != 0;
        if is_tcp && (is_reset || !matches!(known, Known::Established(_))) {
            return goes_on;
        }
        let Some(flow) = self.flows.looked_at(key, &known) else {
            return goes_on;
        };
        if flow.is_cut {
            return Looked::Ended;
        }
        if !self.site.must_look(vip, flow.commit) {
            return goes_on;
        }
        let (server, commit) = (flow.server, flow.commit);
        match self
            .site
            .look(vip, (&client, dialled), server, commit, now_s)
        {
            Fate::Same => {
                flow.commit = self.site.commit;
                Looked::GoesOn(Some(known))
            }
            Fate::Later => Looked::GoesOn(Some(known)),
            Fate::Ends => {
                flow.is_cut = true;
                self.counts.of(server).cut += 1;
                Looked::Ended
            }
        }
    }
}
