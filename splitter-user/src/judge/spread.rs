//! Owns the interval of a share whose events come in heaps: flows and bytes of one client all go to the
//! client's version, so that they say less than as many clients would.
//!
//! What is random is which version the hash gives a client. With `w_i` the client's part of all events
//! and `p` the version's weight, the share has the mean `p` and the variance `p (1 - p) sum(w_i^2)`: the
//! sum's inverse is the number of clients that would say as much (Kish, Survey Sampling, 1965). A few
//! clients may have most of all events, so that no normal law holds; Bernstein's inequality does
//! (Boucheron, Lugosi and Massart, Concentration Inequalities, 2013, section 2.8), whatever the parts.

use super::share::Share;

/// `ln (2 / alpha)` of a two-sided interval of 99 %.
const LOG_TWO_OVER_ALPHA: f64 = 5.298_317_366_548_036;

/// How events lie on clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The sum of the squares of the clients' parts, above 0, at most 1.
    pub squares: f64,
    /// The largest part.
    pub largest: f64,
}

/// What was seen of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Flows of it that were answered.
    pub answered: u64,
    /// Flows of it that were not.
    pub unanswered: u64,
    /// Bytes of its flows between two looks.
    pub bytes: u64,
}

impl Spread {
    /// Of so many events of so many clients, if all but one had a single one: no other way of them has
    /// larger squares. `None` of nothing.
    pub fn at_worst(events: u64, clients: u64) -> Option<Self> {
        let clients = clients.min(events);
        if clients == 0 {
            return None;
        }
        let (all, others) = (events as f64, (clients - 1) as f64);
        let largest = (all - others) / all;
        Some(Self {
            squares: largest * largest + others / all / all,
            largest,
        })
    }

    /// Of flows, by a sample of them; `answered` is the part of all that was answered, 0 ..= 1. A kind
    /// of which nothing was seen counts as one client's. A sample makes the squares larger than they
    /// are, never smaller, by one over its size. `None` where nothing was seen.
    pub fn of_flows<'a>(
        seen: impl Iterator<Item = &'a Seen> + Clone,
        answered: f64,
    ) -> Option<Self> {
        let parts = Parts::of(seen.clone(), answered)?;
        let mut spread = parts.unseen;
        for each in seen {
            spread.add(parts.flows(each));
        }
        Some(spread)
    }

    /// Of bytes, by those of a sample of the flows that were open at two looks, of `part` of the table,
    /// while `all` came of all flows. What they do not explain came of flows that were open at one look
    /// or none, and is taken to lie on clients as flows do. `None` where nothing was seen.
    pub fn of_bytes<'a>(
        seen: impl Iterator<Item = &'a Seen> + Clone,
        answered: f64,
        part: f64,
        all: u64,
    ) -> Option<Self> {
        let parts = Parts::of(seen.clone(), answered)?;
        let met = seen.clone().map(|each| each.bytes).sum::<u64>();
        let all = all.max(met) as f64;
        if all <= 0.0 {
            return None;
        }
        // A flow that was met stands for others too: of parts of a table that are looked at in turn, the
        // mean of what one such flow adds is never less than what it adds to the whole.
        let scale = 1.0 / part.clamp(f64::MIN_POSITIVE, 1.0) / all;
        let rest = (1.0 - met as f64 * scale).max(0.0);
        let mut spread = Self {
            squares: rest * rest * parts.unseen.squares,
            largest: rest * parts.unseen.largest,
        };
        for each in seen {
            spread.add(each.bytes as f64 * scale + rest * parts.flows(each));
        }
        Some(spread)
    }

    fn add(&mut self, part: f64) {
        self.squares += part * part;
        self.largest = self.largest.max(part);
    }

    /// The smaller of two bounds.
    #[must_use]
    pub fn least(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.squares < self.squares => other,
            Some(_) | None => self,
        }
    }

    /// The number of clients with one event each that would say as much.
    pub fn clients(&self) -> f64 {
        1.0 / self.squares.clamp(f64::MIN_POSITIVE, 1.0)
    }
}

/// Means over time, by what came in it: of parts that are sums over times they bound the squares from
/// above, squares being convex.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    squares: f64,
    largest: f64,
    weight: f64,
}

impl Mean {
    /// Adds what was found while so much came.
    pub fn add(&mut self, spread: Spread, weight: u64) {
        let weight = weight as f64;
        self.squares += spread.squares * weight;
        self.largest += spread.largest * weight;
        self.weight += weight;
    }

    /// The mean; `None` of nothing.
    pub fn spread(&self) -> Option<Spread> {
        (self.weight > 0.0).then(|| Spread {
            squares: self.squares / self.weight,
            largest: self.largest / self.weight,
        })
    }
}

/// What each flow that was seen stands for.
struct Parts {
    answered: f64,
    unanswered: f64,
    unseen: Spread,
}

impl Parts {
    fn of<'a>(seen: impl Iterator<Item = &'a Seen>, answered: f64) -> Option<Self> {
        let (mut with, mut without) = (0u64, 0u64);
        for each in seen {
            with += each.answered;
            without += each.unanswered;
        }
        if with == 0 && without == 0 {
            return None;
        }
        let answered = answered.clamp(0.0, 1.0);
        let part = |of: f64, flows: u64| if flows == 0 { 0.0 } else { of / flows as f64 };
        let missing = |of: f64, flows: u64| if flows == 0 { of } else { 0.0 };
        let largest = missing(answered, with) + missing(1.0 - answered, without);
        Some(Self {
            answered: part(answered, with),
            unanswered: part(1.0 - answered, without),
            unseen: Spread {
                squares: largest * largest,
                largest,
            },
        })
    }

    fn flows(&self, seen: &Seen) -> f64 {
        seen.answered as f64 * self.answered + seen.unanswered as f64 * self.unanswered
    }
}

/// The interval of a share of `own` of `all` events: every weight that would not be surprised by it.
/// `None` of nothing.
pub fn interval(own: u64, all: u64, spread: Spread) -> Option<Share> {
    if all == 0 {
        return None;
    }
    let share = own.min(all) as f64 / all as f64;
    Some(Share {
        share,
        low: low(share, spread),
        high: 1.0 - low(1.0 - share, spread),
    })
}

/// The least `p` with `(share - p)^2 <= 2 L (p (1 - p) squares + largest (share - p) / 3)`.
fn low(share: f64, spread: Spread) -> f64 {
    let variance = 2.0 * LOG_TWO_OVER_ALPHA * spread.squares.clamp(0.0, 1.0);
    let linear = 2.0 / 3.0 * LOG_TWO_OVER_ALPHA * spread.largest.clamp(0.0, 1.0);
    let constant = share * (share - linear);
    if constant <= 0.0 {
        return 0.0;
    }
    let (square, middle) = (1.0 + variance, 2.0 * share + variance - linear);
    let root = (middle * middle - 4.0 * square * constant).max(0.0).sqrt();
    ((middle - root) / (2.0 * square)).clamp(0.0, share)
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;
