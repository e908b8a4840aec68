//! Owns how maps are taken out of the loaded object, each as what it must be.

use aya::{
    Ebpf,
    maps::{Map, MapData, MapError},
};
use bytemuck::Pod;

use super::{Flows, named_error};
use crate::dataplane::{
    DataPlaneError, mapped::Mapped, totals::Sums, typed::Typed, walk::FlowTable,
};

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, DataPlaneError> {
    ebpf.take_map(name).ok_or_else(|| DataPlaneError::Map {
        map: name,
        why: "not in the object".to_owned(),
    })
}

pub(in crate::dataplane) fn mapped<T: Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<Mapped<T>, DataPlaneError> {
    Mapped::new(name, array(ebpf, name)?)
}

/// An array of rows, word by word.
pub(super) fn words_of<V: Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<Mapped<u64>, DataPlaneError> {
    Mapped::<u64>::open::<V>(name, array(ebpf, name)?)
}

fn array(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, DataPlaneError> {
    match take(ebpf, name)? {
        Map::Array(data) => Ok(data),
        _ => Err(DataPlaneError::Map {
            map: name,
            why: "not an array".to_owned(),
        }),
    }
}

/// A flow table, by key and for walks.
pub(super) fn flows(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<(Flows, FlowTable), DataPlaneError> {
    let map = take(ebpf, name)?;
    let Map::LruHashMap(data) = &map else {
        return Err(DataPlaneError::Map {
            map: name,
            why: "not an LRU hash map".to_owned(),
        });
    };
    let table = FlowTable::of(data).map_err(|why| DataPlaneError::Map { map: name, why })?;
    let flows = Flows::try_from(map).map_err(|error| named_error(name, &error))?;
    Ok((flows, table))
}

/// A hash map that user space writes in batches, and how many elements it has room for.
pub(in crate::dataplane) fn table<K: Pod, V: Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<(Typed<K, V>, u32), DataPlaneError> {
    let failed = |why: String| DataPlaneError::Map { map: name, why };
    let Map::HashMap(data) = take(ebpf, name)? else {
        return Err(failed("not a hash map".to_owned()));
    };
    Typed::own(data).map_err(failed)
}

/// An array that the program counts in, by element and for sweeps.
pub(super) fn counted<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<(M, Sums), DataPlaneError>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = take(ebpf, name)?;
    let Map::PerCpuArray(data) = &map else {
        return Err(DataPlaneError::Map {
            map: name,
            why: "not an array of each CPU".to_owned(),
        });
    };
    let sums = Sums::of(name, data)?;
    let typed = M::try_from(map).map_err(|error| named_error(name, &error))?;
    Ok((typed, sums))
}

pub(super) fn typed<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, DataPlaneError>
where
    M: TryFrom<Map, Error = MapError>,
{
    M::try_from(take(ebpf, name)?).map_err(|error| DataPlaneError::Map {
        map: name,
        why: error.to_string(),
    })
}
