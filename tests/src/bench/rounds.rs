//! Owns the order of the bench: programs take turns within a round, so that what disturbs the
//! machine disturbs all of them, and a figure is the median over rounds.

use anyhow::Result;
use splitter_common::address::Family;

use super::{
    cases::{Case, family_name},
    lab::{Drive, Lab, PROGRAMS, Program},
    layout::MAX_FLOWS,
    report::{self, Row},
};
use crate::supervise::StopFlag;

/// How much is measured.
pub(super) struct Plan {
    flows: Vec<u32>,
    /// Per run; a multiple of three, for handshakes.
    packets: u32,
    rounds: usize,
}

impl Plan {
    /// The whole, or what fits a minute.
    pub(super) fn new(quick: bool) -> Self {
        if quick {
            Self {
                flows: vec![1, 65_536],
                packets: 196_608,
                rounds: 3,
            }
        } else {
            Self {
                flows: vec![1, 1_024, 65_536, 524_288],
                packets: 786_432,
                rounds: 7,
            }
        }
    }

    /// The same with so many flows alone, if they are said.
    pub(super) fn of_flows(self, flows: Option<u32>) -> Self {
        match flows {
            Some(flows) => Self {
                flows: vec![flows],
                ..self
            },
            None => self,
        }
    }
}

/// What one case measured, by program and round.
struct Samples {
    case: &'static str,
    family: Family,
    flows: u32,
    cpus: u32,
    /// Nanoseconds by program, in the order of [`Program::ALL`]; `None` where it was not run.
    rounds: Vec<[Option<f64>; PROGRAMS]>,
}

/// Measures everything and prints it as it goes.
pub(super) fn run(lab: &mut Lab, plan: &Plan, stop: &StopFlag, rows: &mut Vec<Row>) -> Result<()> {
    report::print_head();
    for family in [Family::V4, Family::V6] {
        establish(lab, family)?;
        for case in [Case::Established, Case::Reply, Case::NonVip] {
            each(lab, plan, stop, (family, case), rows)?;
        }
        both_ways(lab, plan, stop, family, rows)?;
        for case in [Case::New, Case::Handshake] {
            // What is established would be in the way.
            lab.begin(family)?;
            each(lab, plan, stop, (family, case), rows)?;
        }
    }
    Ok(())
}

/// Measures one case alone.
pub(super) fn run_one(
    lab: &mut Lab,
    plan: &Plan,
    case: Case,
    stop: &StopFlag,
    rows: &mut Vec<Row>,
) -> Result<()> {
    report::print_head();
    for family in [Family::V4, Family::V6] {
        match case {
            Case::New | Case::Handshake => lab.begin(family)?,
            _ => establish(lab, family)?,
        }
        each(lab, plan, stop, (family, case), rows)?;
    }
    Ok(())
}

/// All flows of a family, established.
fn establish(lab: &mut Lab, family: Family) -> Result<()> {
    lab.begin(family)?;
    let all = Drive {
        case: Case::Establish,
        flows: MAX_FLOWS,
        packets: 3 * MAX_FLOWS,
    };
    for program in [
        Program::FloorLru,
        Program::FloorTables,
        Program::Splitter,
        Program::Bare,
    ] {
        lab.run(program, &all)?;
    }
    Ok(())
}

/// Each case once, without a look at the time.
pub(super) fn walk(lab: &mut Lab) -> Result<()> {
    for family in [Family::V4, Family::V6] {
        lab.begin(family)?;
        for case in [
            Case::New,
            Case::Handshake,
            Case::Establish,
            Case::Established,
            Case::Reply,
            Case::NonVip,
        ] {
            let flows = 1_024;
            let packets = flows * case.steps().len() as u32;
            let drive = Drive {
                case,
                flows,
                packets,
            };
            for program in Program::ALL {
                lab.run(program, &drive)?;
            }
        }
    }
    Ok(())
}

fn each(
    lab: &mut Lab,
    plan: &Plan,
    stop: &StopFlag,
    (family, case): (Family, Case),
    rows: &mut Vec<Row>,
) -> Result<()> {
    for &flows in &plan.flows {
        let drive = Drive {
            case,
            flows,
            packets: plan.packets,
        };
        let mut samples = Samples {
            case: case.name(),
            family,
            flows,
            cpus: 1,
            rounds: Vec::new(),
        };
        // The first round warms caches and tables up.
        for round in 0..=plan.rounds {
            stop.check()?;
            let mut of_round = [None; PROGRAMS];
            for (sample, program) in of_round.iter_mut().zip(Program::ALL) {
                if case != Case::NonVip || !program.is_floor() {
                    *sample = Some(lab.run(program, &drive)? * case.steps().len() as f64);
                }
            }
            if round > 0 {
                samples.rounds.push(of_round);
            }
        }
        samples.tell(rows);
    }
    Ok(())
}

/// Requests on one CPU and replies of the same flows on the other, at once.
fn both_ways(
    lab: &mut Lab,
    plan: &Plan,
    stop: &StopFlag,
    family: Family,
    rows: &mut Vec<Row>,
) -> Result<()> {
    for &flows in &plan.flows {
        let cases = [Case::Established, Case::Reply];
        let drives = cases.map(|case| Drive {
            case,
            flows,
            packets: plan.packets,
        });
        let mut samples = cases.map(|case| Samples {
            case: case.name(),
            family,
            flows,
            cpus: 2,
            rounds: Vec::new(),
        });
        for round in 0..=plan.rounds {
            stop.check()?;
            let mut of_round = [[None; PROGRAMS]; 2];
            for (index, program) in Program::ALL.into_iter().enumerate() {
                let ns = lab.run_both(program, drives)?;
                of_round[0][index] = Some(ns[0]);
                of_round[1][index] = Some(ns[1]);
            }
            if round > 0 {
                for (samples, of_round) in samples.iter_mut().zip(of_round) {
                    samples.rounds.push(of_round);
                }
            }
        }
        for samples in samples {
            samples.tell(rows);
        }
    }
    Ok(())
}

impl Samples {
    /// Prints the case and adds a row per program.
    fn tell(&self, rows: &mut Vec<Row>) {
        let own: Vec<Row> = Program::ALL
            .into_iter()
            .enumerate()
            .filter_map(|(index, program)| self.row(index, program))
            .collect();
        let ratios = [Program::FloorLru, Program::FloorTables].map(|floor| self.ratio(floor));
        report::print_case(&own, ratios);
        rows.extend(own);
    }

    fn row(&self, index: usize, program: Program) -> Option<Row> {
        let ns: Vec<f64> = self.rounds.iter().filter_map(|ns| ns[index]).collect();
        let net = self
            .rounds
            .iter()
            .filter_map(|ns| Some(ns[index]? - ns[0]?))
            .collect();
        Some(Row {
            program: program.name(),
            case: self.case,
            method: "nat",
            family: family_name(self.family),
            flows: self.flows,
            cpus: self.cpus,
            median_ns: report::median(ns)?,
            net_ns: report::median(net)?,
        })
    }

    /// How much splitter costs of what a floor costs, net: the median over rounds.
    fn ratio(&self, floor: Program) -> Option<f64> {
        let ratios = self.rounds.iter().filter_map(|ns| {
            let of = |program| ns[Program::ALL.iter().position(|each| *each == program)?];
            let (tx, floor, splitter) = (of(Program::Tx)?, of(floor)?, of(Program::Splitter)?);
            Some((splitter - tx) / (floor - tx).max(1.0))
        });
        report::median(ratios.collect())
    }
}
