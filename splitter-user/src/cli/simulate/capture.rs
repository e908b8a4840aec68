//! Owns captures: the frames of a file in the format pcap or pcapng, whatever the order of its bytes.
//!
//! Invariant: one frame is held at a time; a file that breaks off is refused, not counted by half.

use std::io::Read;

use pcap_parser::{
    Block, LegacyPcapReader, Linktype, PcapBlockOwned, PcapError, PcapNGReader,
    traits::PcapReaderIterator,
};

use super::frame::{Link, Seen, seen};
use super::source::{ACCEPTED, Kind};
use crate::api::Refusal;

/// What is held at first, bytes.
const HELD: usize = 256 * 1024;
/// The longest block, bytes; longer ones are damage.
const HELD_MAX: usize = 64 * 1024 * 1024;

/// Hands on what each frame is, and says how many there were.
pub(in crate::cli) fn each_frame<R: Read>(
    name: &str,
    kind: Kind,
    from: R,
    take: impl FnMut(Seen) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let frames = Frames {
        name,
        links: Vec::new(),
        count: 0,
        take,
    };
    match kind {
        Kind::Pcapng => {
            let reader = PcapNGReader::new(HELD, from).map_err(|error| frames.failed(&error))?;
            frames.all(reader)
        }
        Kind::Pcap | Kind::List => {
            let reader =
                LegacyPcapReader::new(HELD, from).map_err(|error| frames.failed(&error))?;
            frames.all(reader)
        }
    }
}

/// Where the reading stands.
struct Frames<'n, T> {
    name: &'n str,
    /// What the frames of each interface begin with.
    links: Vec<Linktype>,
    count: u64,
    take: T,
}

impl<T: FnMut(Seen) -> anyhow::Result<()>> Frames<'_, T> {
    fn all<R: PcapReaderIterator>(mut self, mut reader: R) -> anyhow::Result<u64> {
        let mut held = HELD;
        loop {
            match reader.next() {
                Ok((length, block)) => {
                    self.block(&block)?;
                    reader.consume(length);
                }
                Err(PcapError::Eof) => return Ok(self.count),
                Err(PcapError::Incomplete(_)) => self.refill(&mut reader)?,
                Err(PcapError::BufferTooSmall) if held < HELD_MAX => {
                    held *= 2;
                    reader.grow(held);
                    self.refill(&mut reader)?;
                }
                Err(error) => {
                    let failed = self.failed(&error);
                    return Err(failed.into());
                }
            }
        }
    }

    fn refill(&self, reader: &mut impl PcapReaderIterator) -> anyhow::Result<()> {
        let done = reader.refill();
        Ok(done.map_err(|error| self.failed(&error))?)
    }

    fn block(&mut self, block: &PcapBlockOwned<'_>) -> anyhow::Result<()> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => self.links = vec![header.network],
            PcapBlockOwned::Legacy(packet) => {
                self.frame(0, packet.data, packet.caplen, packet.origlen)?;
            }
            // A section has interfaces of its own.
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.links.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                self.links.push(interface.linktype);
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                self.frame(packet.if_id, packet.data, packet.caplen, packet.origlen)?;
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                self.frame(0, packet.data, packet.origlen, packet.origlen)?;
            }
            // Of names, statistics and whatever else; the format says that readers leave them alone.
            PcapBlockOwned::NG(_) => {}
        }
        Ok(())
    }

    fn frame(
        &mut self,
        interface: u32,
        data: &[u8],
        captured: u32,
        length: u32,
    ) -> anyhow::Result<()> {
        self.count += 1;
        let link = self.links.get(interface as usize);
        let link = link.ok_or_else(|| format!("frame {} is of no interface", self.count));
        let link = link.and_then(|link| Link::of(link.0));
        let link = link.map_err(|what| {
            Refusal::invalid(format!("{}: {what}", self.name)).with_hint(ACCEPTED)
        })?;
        // Frames are padded in the file.
        let data = &data[..data.len().min(captured as usize)];
        (self.take)(seen(link, data, length as usize))
    }

    /// Why there is no more.
    fn failed<I: AsRef<[u8]>>(&self, error: &PcapError<I>) -> Refusal {
        let (name, count) = (self.name, self.count);
        let what = match error {
            PcapError::UnexpectedEof | PcapError::Incomplete(_) | PcapError::Eof => {
                format!("{name} breaks off behind frame {count}: it was not written to its end")
            }
            PcapError::HeaderNotRecognized => {
                format!("{name} begins like a capture and is none that can be read")
            }
            PcapError::BufferTooSmall => {
                let most = HELD_MAX >> 20;
                format!("{name} is damaged behind frame {count}: a block of more than {most} MiB")
            }
            PcapError::ReadError => format!("{name} cannot be read behind frame {count}"),
            PcapError::NomError(..) | PcapError::OwnedNomError(..) => {
                format!("{name} is damaged behind frame {count}")
            }
        };
        Refusal::invalid(what).with_hint(ACCEPTED)
    }
}
