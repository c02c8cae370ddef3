//! What passes between core and agent over MQTT: one enum per direction, the topics it travels
//! on, and the codec that bounds and reads it. Every message is JSON with a version, a type and
//! fields; the seal around it is made and checked in `shared-runtime`.
//!
//! Compatibility: unknown fields are ignored, so that either side may learn new ones first; a
//! message of an unknown type or a newer version is a named error and is dropped, never guessed.

pub mod codec;
pub mod downlink;
pub mod topic;
pub mod uplink;

pub use codec::{CodecError, MESSAGE_BYTES_MAX, PROTOCOL_VERSION, decode, encode};
pub use downlink::Downlink;
pub use topic::Topic;
pub use uplink::Uplink;
