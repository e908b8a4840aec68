//! Owns the commands of bpf(2) on a map whose keys and values have types, one element or many at once.
//!
//! Source: include/uapi/linux/bpf.h, `union bpf_attr`.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use aya::maps::MapData;
use bytemuck::Pod;

use super::bpf::{
    BPF_MAP_GET_NEXT_KEY, BPF_MAP_LOOKUP_BATCH, Batch, NextKey, command, command_mut, found,
};

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_MAP_DELETE_BATCH: libc::c_long = 27;
/// Only an element that is there.
const BPF_EXIST: u64 = 2;

/// The arguments of `BPF_MAP_LOOKUP_ELEM`, `BPF_MAP_UPDATE_ELEM` and `BPF_MAP_DELETE_ELEM`.
#[repr(C)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// A map whose keys are `K` and whose values `V`, by a file descriptor of its own.
#[derive(Debug)]
pub(super) struct Typed<K, V> {
    fd: OwnedFd,
    /// Programs that are not loaded yet name the map by the descriptor in it.
    _loaded: Option<MapData>,
    element: PhantomData<fn() -> (K, V)>,
}

/// What one batch gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batched {
    /// Elements.
    pub(super) count: usize,
    /// The bucket to go on at; `None` when there is none left.
    pub(super) next: Option<u32>,
}

impl<K: Pod, V: Pod> Typed<K, V> {
    /// Of a loaded map, and how many elements it has room for; why not, where its keys and values have
    /// other sizes.
    pub(super) fn of(data: &MapData) -> Result<(Self, u32), String> {
        let info = data.info().map_err(|error| error.to_string())?;
        let fd = data.fd().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|error| error.to_string())?;
        let sizes = (info.key_size(), info.value_size());
        if sizes != (size_of::<K>() as u32, size_of::<V>() as u32) {
            return Err(format!("its keys and values have {sizes:?} bytes"));
        }
        let typed = Self {
            fd,
            _loaded: None,
            element: PhantomData,
        };
        Ok((typed, info.max_entries()))
    }

    /// The same of a map that nobody else has.
    pub(super) fn own(data: MapData) -> Result<(Self, u32), String> {
        let (typed, capacity) = Self::of(&data)?;
        let typed = Self {
            _loaded: Some(data),
            ..typed
        };
        Ok((typed, capacity))
    }

    /// Whole buckets of a hash map from `bucket` on, as many as there is room for. The position is
    /// four bytes and counts buckets: `__htab_map_lookup_and_delete_batch` in
    /// kernel/bpf/hashtab.c, with us since 5.6. Fails with `ENOSPC` when the next bucket alone
    /// has more elements than there is room for.
    pub(super) fn batch(
        &self,
        bucket: u32,
        keys: &mut [K],
        values: &mut [V],
    ) -> io::Result<Batched> {
        let mut next = 0u32;
        let mut batch = Batch {
            in_batch: if bucket == 0 {
                0
            } else {
                (&raw const bucket) as u64
            },
            out_batch: (&raw mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: keys.len().min(values.len()) as u32,
            map_fd: self.fd.as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel reads and writes four bytes of position, and writes at most `count`
        // keys and values of the map's sizes, which are those of `K` and `V`, and any bytes are a
        // value of either; it writes their number into `batch`.
        #[allow(unsafe_code, reason = "bpf(2); see the module")]
        let told = unsafe { command_mut(BPF_MAP_LOOKUP_BATCH, &mut batch) };
        let count = batch.count as usize;
        match told {
            Ok(_) => Ok(Batched {
                count,
                next: Some(next),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Batched { count, next: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Hands on everything that stands in a hash map, at most `most` at a time; no bucket may have more.
    pub(super) fn each<E: From<io::Error>>(
        &self,
        most: usize,
        mut each: impl FnMut(&[(K, V)]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut keys = vec![K::zeroed(); most];
        let mut values = vec![V::zeroed(); most];
        let mut bucket = Some(0);
        while let Some(from) = bucket {
            let batched = self.batch(from, &mut keys, &mut values)?;
            let found = keys.iter().copied().zip(values.iter().copied());
            let found: Vec<_> = found.take(batched.count).collect();
            each(&found)?;
            bucket = batched.next;
        }
        Ok(())
    }

    /// The key after `key`, or the first; `None` behind the last. After a key that is gone the
    /// kernel begins anew.
    pub(super) fn next_key(&self, key: Option<&K>) -> io::Result<Option<K>> {
        let mut next = K::zeroed();
        let ask = NextKey {
            map_fd: self.fd.as_raw_fd() as u32,
            padding: 0,
            key: key.map_or(0, |key| std::ptr::from_ref(key) as u64),
            next_key: (&raw mut next) as u64,
        };
        // SAFETY: the kernel reads one key and writes one, of the size of `K`.
        #[allow(unsafe_code, reason = "bpf(2); see the module")]
        let told = unsafe { command(BPF_MAP_GET_NEXT_KEY, &ask) };
        found(told).map(|there| there.then_some(next))
    }

    /// The value of a key.
    pub(super) fn look_up(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = V::zeroed();
        let ask = Element {
            map_fd: self.fd.as_raw_fd() as u32,
            padding: 0,
            key: std::ptr::from_ref(key) as u64,
            value: (&raw mut value) as u64,
            flags: 0,
        };
        // SAFETY: the kernel reads one key and writes one value, of the sizes of `K` and `V`.
        #[allow(unsafe_code, reason = "bpf(2); see the module")]
        let told = unsafe { command(BPF_MAP_LOOKUP_ELEM, &ask) };
        found(told).map(|there| there.then_some(value))
    }

    /// Enters or replaces elements, as many as there are keys and values; those before one that the
    /// kernel refuses are in. Source: `generic_map_update_batch` in kernel/bpf/syscall.c, of hash maps
    /// since 5.6.
    pub(super) fn put_batch(&self, keys: &[K], values: &[V]) -> io::Result<()> {
        let count = keys.len().min(values.len());
        let (keys, values) = (&keys[..count], &values[..count]);
        self.change_batch(BPF_MAP_UPDATE_BATCH, keys, values).1
    }

    /// Removes elements; one that is not there ends the batch. How many were seen to, that one included.
    /// Source: `generic_map_delete_batch`, as above.
    pub(super) fn remove_batch(&self, keys: &[K]) -> io::Result<usize> {
        let (gone, told) = self.change_batch(BPF_MAP_DELETE_BATCH, keys, &[]);
        match told {
            Ok(()) => Ok(keys.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(gone + 1),
            Err(error) => Err(error),
        }
    }

    /// One batch; an update takes as many values as keys. Once the kernel has begun, how many
    /// elements it took stands before what it says.
    fn change_batch(
        &self,
        number: libc::c_long,
        keys: &[K],
        values: &[V],
    ) -> (usize, io::Result<()>) {
        let mut batch = Batch {
            in_batch: 0,
            out_batch: 0,
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: keys.len() as u32,
            map_fd: self.fd.as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel reads `count` keys, and for an update as many values, which the callers
        // see to, of the map's sizes, which are those of `K` and `V`, and writes how many it took into
        // `batch`.
        #[allow(unsafe_code, reason = "bpf(2); see the module")]
        let told = unsafe { command_mut(number, &mut batch) };
        (batch.count as usize, told.map(drop))
    }

    /// Removes a key; `false` when it was not there.
    pub(super) fn remove(&self, key: &K) -> io::Result<bool> {
        let ask = Element {
            map_fd: self.fd.as_raw_fd() as u32,
            padding: 0,
            key: std::ptr::from_ref(key) as u64,
            value: 0,
            flags: 0,
        };
        // SAFETY: the kernel reads one key, of the size of `K`.
        #[allow(unsafe_code, reason = "bpf(2); see the module")]
        let told = unsafe { command(BPF_MAP_DELETE_ELEM, &ask) };
        found(told)
    }

    /// Gives a key that is there another value; `false` when it is not.
    pub(super) fn replace(&self, key: &K, value: &V) -> io::Result<bool> {
        let ask = Element {
            map_fd: self.fd.as_raw_fd() as u32,
            padding: 0,
            key: std::ptr::from_ref(key) as u64,
            value: std::ptr::from_ref(value) as u64,
            flags: BPF_EXIST,
        };
        // SAFETY: the kernel reads one key and one value, of the sizes of `K` and `V`.
        #[allow(unsafe_code, reason = "bpf(2); see the module")]
        let told = unsafe { command(BPF_MAP_UPDATE_ELEM, &ask) };
        found(told)
    }
}
