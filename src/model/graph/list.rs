//! A sorted set of slots that is usually small.

/// Slots that need no allocation. Three fit beside their count into the size of a `Vec`, and most
/// features have no more neighbours in either direction.
const FEW: usize = 3;

/// Slots in ascending order, without repeats. 24 bytes, and an allocation only for the rare long
/// one: two of them for each of 100,000 features are what keeps the graph within a few megabytes.
#[derive(Clone, Debug)]
pub(super) enum List {
    Few { len: u32, slots: [u32; FEW] },
    Many(Vec<u32>),
}

impl Default for List {
    fn default() -> Self {
        Self::Few {
            len: 0,
            slots: [0; FEW],
        }
    }
}

// The same slots are the same list, however they are stored.
impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for List {}

impl List {
    /// Takes slots that are already sorted and distinct.
    pub(super) fn from_sorted(mut sorted: Vec<u32>) -> Self {
        if sorted.len() > FEW {
            sorted.shrink_to_fit();
            return Self::Many(sorted);
        }
        let mut slots = [0; FEW];
        for (to, from) in slots.iter_mut().zip(&sorted) {
            *to = *from;
        }
        Self::Few {
            len: u32::try_from(sorted.len()).unwrap_or(0),
            slots,
        }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::Few { len, slots } => slots.get(..*len as usize).unwrap_or(slots),
            Self::Many(slots) => slots,
        }
    }

    pub(super) fn into_vec(self) -> Vec<u32> {
        match self {
            Self::Few { .. } => self.as_slice().to_vec(),
            Self::Many(slots) => slots,
        }
    }

    /// Inserts `slot` in order; appending is free.
    pub(super) fn insert(&mut self, slot: u32) {
        let at = match self.as_slice() {
            [.., last] if *last < slot => self.as_slice().len(),
            slots => match slots.binary_search(&slot) {
                Ok(_) => return,
                Err(at) => at,
            },
        };
        match self {
            Self::Few { len, slots } if (*len as usize) < FEW => {
                let end = *len as usize;
                slots.copy_within(at..end, at + 1);
                if let Some(place) = slots.get_mut(at) {
                    *place = slot;
                }
                *len += 1;
            }
            Self::Few { slots, .. } => {
                let mut many = Vec::with_capacity(FEW * 2);
                many.extend_from_slice(slots);
                many.insert(at, slot);
                *self = Self::Many(many);
            }
            Self::Many(slots) => slots.insert(at, slot),
        }
    }

    /// Removes `slot`, if present.
    pub(super) fn remove(&mut self, slot: u32) {
        let Ok(at) = self.as_slice().binary_search(&slot) else {
            return;
        };
        match self {
            Self::Few { len, slots } => {
                slots.copy_within(at + 1..*len as usize, at);
                *len -= 1;
            }
            Self::Many(slots) => {
                slots.remove(at);
                if slots.len() <= FEW {
                    *self = Self::from_sorted(std::mem::take(slots));
                }
            }
        }
    }
}
