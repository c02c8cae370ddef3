//! Who may do what over HTTP: bearer tokens with roles, the file that keeps their hashes, and the
//! gate that every request passes. Knows nothing of HTTP itself; `http` asks and answers.
//!
//! Secrets have 256 random bits, so a plain SHA-256 of them is enough: what slow hashes buy for
//! passwords, the size of the secret gives already, and a request costs a microsecond.

mod bucket;
mod file;
mod gate;
mod keeper;
pub(crate) mod throttle;
mod token;

#[cfg(test)]
mod tests;

pub use file::{TOKENS_MAX, TokenFile, TokenFileError};
pub use gate::{Caller, Denied, Gate, Limits};
pub use keeper::Keeper;
pub use token::{NameError, Role, RoleError, Secret, TokenId, TokenName, TokenRow, Wish};
