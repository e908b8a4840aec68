//! Owns the programs at the kernel's tracepoints that count frames lost after the verdict, and what
//! they must know of the running kernel.
//!
//! Invariants: no packet depends on them, so that whatever is missing is told and nothing fails; the
//! counters are pinned, and so are the links, which count on when the daemon is gone. A start replaces
//! the links one after the other: for a moment a tracepoint has no program, or two.

use std::{fs, io, os::unix::fs::MetadataExt as _};

use aya::programs::{RawTracePoint, links::FdLink};
use btf_rs::{Btf, Struct, Type};
use splitter_common::layout::LossPlaces;

use super::{DataPlane, load, pins, pod::Raw};

/// The types of the running kernel.
const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";
/// The network namespace of this process.
const OWN_NAMESPACE: &str = "/proc/self/ns/net";

/// What a tracepoint hands over, as far as it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Argument {
    /// A `struct net_device`.
    Device,
    /// Some other address.
    Address,
    /// A number.
    Number,
}
use Argument::{Address, Device, Number};

/// A program and its tracepoint.
struct Trace {
    program: &'static str,
    tracepoint: &'static str,
    /// include/trace/events/xdp.h
    arguments: &'static [Argument],
    /// What is not counted without it.
    counts: &'static str,
}

const TRACES: [Trace; 4] = [
    Trace {
        program: "loss_refused",
        tracepoint: "xdp_redirect_err",
        arguments: &[Device, Address, Address, Number, Number, Number, Number],
        counts: "frames that an interface refuses",
    },
    Trace {
        program: "loss_unsent",
        tracepoint: "xdp_devmap_xmit",
        arguments: &[Device, Device, Number, Number, Number],
        counts: "frames that a driver does not take from another interface",
    },
    Trace {
        program: "loss_returned",
        tracepoint: "xdp_bulk_tx",
        arguments: &[Device, Number, Number, Number],
        counts: "frames that a driver does not take back",
    },
    Trace {
        program: "loss_failed",
        tracepoint: "xdp_exception",
        arguments: &[Device, Address, Number],
        counts: "verdicts that a driver cannot carry out",
    },
];

/// The types of the running kernel, or why they cannot be told.
pub struct KernelTypes(Result<Btf, String>);

impl KernelTypes {
    /// Reads them, which takes a tenth of a second and depends on nothing.
    pub fn read() -> Self {
        let types = Btf::from_file(KERNEL_TYPES);
        types.map_or_else(|error| Self::untold(&error), |types| Self(Ok(types)))
    }

    /// They cannot be told, for that reason.
    pub fn untold(why: &dyn std::error::Error) -> Self {
        Self(Err(format!("{KERNEL_TYPES}: {why}")))
    }
}

impl DataPlane {
    /// Begins to count frames lost after the verdict in this network namespace. Returns a sentence for
    /// each kind that cannot be counted here.
    pub fn count_losses(&mut self, types: &KernelTypes) -> Vec<String> {
        let not_counted = |what: &str, why: &str| format!("{what} are not counted: {why}");
        let types = match self.tell_places(types) {
            Ok(types) => types,
            Err(why) => return vec![not_counted("frames lost after the verdict", &why)],
        };
        let mut told = Vec::new();
        for trace in &TRACES {
            let begun = fits(types, trace).and_then(|()| self.trace(trace));
            if let Err(why) = begun {
                told.push(not_counted(trace.counts, &why));
            }
        }
        told
    }

    /// Writes where things stand in the kernel's structures.
    fn tell_places<'t>(&mut self, types: &'t KernelTypes) -> Result<&'t Btf, String> {
        let types = types.0.as_ref().map_err(Clone::clone)?;
        let namespace = fs::metadata(OWN_NAMESPACE);
        let namespace = namespace.map_err(|error| format!("{OWN_NAMESPACE}: {error}"))?;
        let place = |path: &[&str]| {
            place(types, path).ok_or_else(|| format!("this kernel has no {}", path.join(".")))
        };
        let places = LossPlaces {
            device_ifindex: place(&["net_device", "ifindex"])?,
            device_namespace: place(&["net_device", "nd_net", "net"])?,
            namespace_number: place(&["net", "ns", "inum"])?,
            own_namespace: namespace.ino() as u32,
        };
        let written = self.maps.loss_places.set(0, Raw(places), 0);
        written.map_err(|error| load::chain(&error))?;
        Ok(types)
    }

    /// Loads a program and puts it at its tracepoint, in the place of an earlier process's.
    fn trace(&mut self, trace: &Trace) -> Result<(), String> {
        let pin = self.pin_dir.as_ref();
        let pin = pin.map(|dir| pins::trace_path(dir, trace.tracepoint));
        let program = self.ebpf.program_mut(trace.program);
        let program = program.ok_or_else(|| format!("the object has no {}", trace.program))?;
        let program: &mut RawTracePoint =
            program.try_into().map_err(|error| load::chain(&error))?;
        program
            .load()
            .map_err(|error| load::explain(trace.program, &error))?;
        if let Some(pin) = &pin
            && let Err(error) = fs::remove_file(pin)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(format!("{}: {error}", pin.display()));
        }
        let failed = |error: &dyn std::error::Error| {
            format!("tracepoint {}: {}", trace.tracepoint, load::chain(error))
        };
        let id = program
            .attach(trace.tracepoint)
            .map_err(|error| failed(&error))?;
        let Some(pin) = pin else { return Ok(()) };
        let link = program.take_link(id).map_err(|error| failed(&error))?;
        // The pin holds the link; this process need not.
        FdLink::from(link)
            .pin(&pin)
            .map(drop)
            .map_err(|error| failed(&error))
    }
}

/// Whether the kernel's tracepoint hands over what the program reads.
fn fits(types: &Btf, trace: &Trace) -> Result<(), String> {
    let name = trace.tracepoint;
    let found = arguments(types, name);
    let found = found.ok_or_else(|| format!("this kernel has no tracepoint {name}"))?;
    if found != trace.arguments {
        return Err(format!(
            "this kernel's tracepoint {name} hands over {found:?} instead of {:?}",
            trace.arguments
        ));
    }
    Ok(())
}

/// What a tracepoint hands over: the kernel has a type `btf_trace_<name>` for each, a pointer to a
/// function whose first argument is the tracepoint's own.
fn arguments(types: &Btf, name: &str) -> Option<Vec<Argument>> {
    let found = types
        .resolve_types_by_name(&format!("btf_trace_{name}"))
        .ok()?;
    let typedef = found.iter().find_map(|found| match found {
        Type::Typedef(typedef) => Some(typedef),
        // The enum is the library's and may grow.
        _ => None,
    })?;
    let function = types
        .chained_type_iter(typedef)
        .find_map(|next| match next {
            Type::FuncProto(function) => Some(function),
            _ => None,
        })?;
    let arguments = function.parameters.iter().skip(1);
    Some(
        arguments
            .map(|parameter| {
                let mut chain = types.chained_type_iter(parameter).peekable();
                if !chain.any(|next| matches!(next, Type::Ptr(_))) {
                    return Number;
                }
                let is_device = chain.any(|next| match next {
                    Type::Struct(to) => types.resolve_name(&to).is_ok_and(|it| it == "net_device"),
                    _ => false,
                });
                if is_device { Device } else { Address }
            })
            .collect(),
    )
}

/// Where a member of a member of a structure stands, in bytes.
fn place(types: &Btf, path: &[&str]) -> Option<u32> {
    let (name, members) = path.split_first()?;
    let found = types.resolve_types_by_name(name).ok()?;
    let mut all = found.into_iter().filter_map(|found| match found {
        Type::Struct(found) => Some(found),
        // The enum is the library's and may grow.
        _ => None,
    });
    all.find_map(|found| bits(types, &found, members))
        .map(|bits| bits / 8)
}

/// In bits from the beginning of `of`. Members of unnamed structures count as its own.
fn bits(types: &Btf, of: &Struct, members: &[&str]) -> Option<u32> {
    let Some((wanted, rest)) = members.split_first() else {
        return Some(0);
    };
    of.members.iter().find_map(|member| {
        let name = types.resolve_name(member).unwrap_or_default();
        let (is_it, is_unnamed) = (name == *wanted, name.is_empty());
        if is_it && rest.is_empty() {
            return Some(member.bit_offset());
        }
        if !is_it && !is_unnamed {
            return None;
        }
        let inner = types
            .chained_type_iter(member)
            .find_map(|next| match next {
                Type::Struct(inner) | Type::Union(inner) => Some(inner),
                // The enum is the library's and may grow.
                _ => None,
            })?;
        let within = bits(types, &inner, if is_it { rest } else { members })?;
        Some(member.bit_offset() + within)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_has_what_is_counted() {
        let types = Btf::from_file(KERNEL_TYPES).expect("types");
        for trace in &TRACES {
            fits(&types, trace).expect("as expected");
        }
        assert!(place(&types, &["net_device", "ifindex"]) > Some(0));
        assert!(place(&types, &["net_device", "nd_net", "net"]) > Some(0));
        assert!(place(&types, &["net", "ns", "inum"]).is_some());
        assert_eq!(place(&types, &["net_device", "no_such"]), None);
        assert_eq!(arguments(&types, "no_such"), None);
    }

    #[test]
    fn a_tracepoint_that_hands_over_something_else_is_told() {
        let types = Btf::from_file(KERNEL_TYPES).expect("types");
        let other = Trace {
            tracepoint: "xdp_bulk_tx",
            ..TRACES[1]
        };
        let told = fits(&types, &other).expect_err("another");
        assert!(
            told.contains("xdp_bulk_tx hands over [Device, Number"),
            "{told}"
        );
    }
}
