//! How large a benchmark is: what its figure asks for, unless the environment says otherwise.

/// The number in a variable of the environment, or the usual one.
///
/// # Panics
/// When the variable holds no number.
pub fn number(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{variable} has to be a number, not `{text}`"))
        }
        _ => usual,
    }
}

/// The same as a size.
pub fn count(variable: &str, usual: usize) -> usize {
    usize::try_from(number(variable, usual as u64)).unwrap_or(usual)
}
