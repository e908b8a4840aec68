//! Owns arrays of the kernel mapped into this process, as 64-bit words that are loaded and stored
//! whole: an 8-byte switch can never tear under the program that reads it.

use std::{
    marker::PhantomData,
    os::fd::AsFd as _,
    ptr::{NonNull, null_mut},
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::MapData;
use bytemuck::Pod;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::DataPlaneError;

/// A mapped array of `T`, whose size is a multiple of eight bytes.
pub struct Mapped<T> {
    words: NonNull<AtomicU64>,
    entries: u32,
    /// Keeps the map alive.
    _data: MapData,
    element: PhantomData<T>,
}

// SAFETY: the memory is shared with the kernel and only touched as atomics.
#[allow(unsafe_code, reason = "shared kernel memory; see the module")]
unsafe impl<T> Send for Mapped<T> {}
// SAFETY: as above.
#[allow(unsafe_code, reason = "shared kernel memory; see the module")]
unsafe impl<T> Sync for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    const WORDS: usize = size_of::<T>() / 8;

    /// Maps an array made with `BPF_F_MMAPABLE`.
    pub(super) fn new(name: &'static str, data: MapData) -> Result<Self, DataPlaneError> {
        Self::open::<T>(name, data)
    }

    /// Maps such an array whose values are `V`, each of them several `T`.
    pub(super) fn open<V: Pod>(name: &'static str, data: MapData) -> Result<Self, DataPlaneError> {
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        const { assert!(size_of::<V>().is_multiple_of(size_of::<T>())) };
        let fault = |why: String| DataPlaneError::Map { map: name, why };
        let info = data.info().map_err(|error| fault(error.to_string()))?;
        let entries = info.max_entries() * (size_of::<V>() / size_of::<T>()) as u32;
        if info.value_size() as usize != size_of::<V>() {
            return Err(fault(format!(
                "its values have {} bytes",
                info.value_size()
            )));
        }
        let bytes = entries as usize * size_of::<T>();
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping of a file descriptor at an address of the kernel's choice.
        #[allow(unsafe_code, reason = "shared kernel memory; see the module")]
        let memory = unsafe {
            mmap(
                null_mut(),
                bytes,
                flags,
                MapFlags::SHARED,
                data.fd().as_fd(),
                0,
            )
        }
        .map_err(|error| fault(format!("mmap: {error}")))?;
        let words = NonNull::new(memory.cast()).ok_or_else(|| fault("mmap: null".to_owned()))?;
        Ok(Self {
            words,
            entries,
            _data: data,
            element: PhantomData,
        })
    }

    /// Elements.
    pub fn len(&self) -> u32 {
        self.entries
    }

    /// Whether there are none; the kernel makes no such array.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    fn words(&self) -> &[AtomicU64] {
        let length = self.entries as usize * Self::WORDS;
        // SAFETY: the mapping has that many words, lives as long as `self`, is page-aligned, and
        // is only ever touched as atomics.
        #[allow(unsafe_code, reason = "shared kernel memory; see the module")]
        unsafe {
            slice::from_raw_parts(self.words.as_ptr(), length)
        }
    }

    fn element(&self, index: u32) -> &[AtomicU64] {
        let start = index as usize * Self::WORDS;
        &self.words()[start..start + Self::WORDS]
    }

    /// A copy of an element, read word by word.
    pub fn read(&self, index: u32) -> T {
        let mut value = T::zeroed();
        let bytes = bytemuck::bytes_of_mut(&mut value);
        for (to, from) in bytes.chunks_exact_mut(8).zip(self.element(index)) {
            to.copy_from_slice(&from.load(Ordering::Acquire).to_ne_bytes());
        }
        value
    }

    /// Writes an element word by word, first word first; only words that change.
    pub fn write(&self, index: u32, value: &T) {
        for (to, from) in self
            .element(index)
            .iter()
            .zip(bytemuck::bytes_of(value).chunks_exact(8))
        {
            let mut word = [0; 8];
            word.copy_from_slice(from);
            let word = u64::from_ne_bytes(word);
            if to.load(Ordering::Relaxed) != word {
                to.store(word, Ordering::Release);
            }
        }
    }

    /// A word of an element, for what others write too.
    pub(super) fn word(&self, index: u32, at: usize) -> &AtomicU64 {
        &self.element(index)[at]
    }

    /// The first word of an element.
    pub fn load_word(&self, index: u32) -> u64 {
        self.element(index)[0].load(Ordering::Acquire)
    }

    /// Stores the first word of an element: the switch.
    pub fn store_word(&self, index: u32, word: u64) {
        self.element(index)[0].store(word, Ordering::SeqCst);
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        let bytes = self.entries as usize * size_of::<T>();
        // SAFETY: the mapping was made in `open` with this length and is not used after.
        #[allow(unsafe_code, reason = "shared kernel memory; see the module")]
        let _unmapped = unsafe { munmap(self.words.as_ptr().cast(), bytes) };
    }
}
