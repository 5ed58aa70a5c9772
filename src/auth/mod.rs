//! Who somebody is: passwords and tokens.
//!
//! Owns hashing, verifying, signing and the key file. Never reads a request or a database; a user's row is the caller's.

mod confirmed;
pub mod password;
pub mod token;
mod versions;

pub use confirmed::Confirmed;
pub use password::{PasswordError, PasswordHasher, PoolSettings, Verdict};
pub use token::{Claims, KeyError, TokenError, TokenKey, Tokens};
pub use versions::Versions;
