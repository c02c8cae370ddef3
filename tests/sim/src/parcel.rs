//! A message under way: as the bytes that the real codec makes of it, or as it is.

use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::wire::{decode, encode};

/// A message under way. Copies of it share what they hold.
#[derive(Debug)]
pub enum Parcel<T> {
    Bytes(Rc<[u8]>),
    Value(Rc<T>),
}

impl<T> Clone for Parcel<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Bytes(bytes) => Self::Bytes(Rc::clone(bytes)),
            Self::Value(value) => Self::Value(Rc::clone(value)),
        }
    }
}

impl<T: Serialize + DeserializeOwned + Clone> Parcel<T> {
    pub fn pack(message: T, encoded: bool) -> Self {
        match encoded {
            true => Self::Bytes(encode(&message).expect("a message that fits").into()),
            false => Self::Value(Rc::new(message)),
        }
    }

    pub fn open(self) -> T {
        match self {
            Self::Bytes(bytes) => decode(&bytes).expect("a message that was encoded"),
            Self::Value(value) => Rc::unwrap_or_clone(value),
        }
    }
}
