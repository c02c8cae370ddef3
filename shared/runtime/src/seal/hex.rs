//! Bytes as lower-case hex, the only spelling used on the wire and in files.

/// A text that is not the hex of the number of bytes that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} lower-case hex characters")]
pub struct HexError {
    /// How many characters there should have been.
    pub expected: usize,
}

/// The lower-case hex of some bytes, two characters each.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// The `N` bytes that a lower-case hex text stands for.
///
/// # Errors
///
/// When the text is not exactly `2 * N` characters of `0-9 a-f`.
pub fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    decode(text.as_bytes())
}

/// As [`from_hex`], for bytes that may be no text at all.
pub(super) fn decode<const N: usize>(digits: &[u8]) -> Result<[u8; N], HexError> {
    let wrong = HexError { expected: 2 * N };
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return Err(wrong);
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high).ok_or(wrong)? << 4 | nibble(*low).ok_or(wrong)?;
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_has_one_spelling() {
        assert_eq!(to_hex(&[0x00, 0xab, 0xff]), "00abff");
        assert_eq!(from_hex("00abff"), Ok([0x00, 0xab, 0xff]));
        for text in ["00ABFF", "00abf", "00abff0", "00abff00", "0xabff", "", "00 bff", "äabff"] {
            assert_eq!(from_hex::<3>(text), Err(HexError { expected: 6 }), "{text}");
        }
    }
}
