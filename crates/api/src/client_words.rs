//! Words in the addresses that a client asks.

/// What may stand in an address as it is; other characters become `_`.
pub(crate) fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    text.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect()
}

/// Percent-encoded for a path or a query (RFC 3986 §2.1).
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_stands_in_an_address() {
        assert_eq!(encoded("shop/cart[Pod] é&"), "shop%2Fcart%5BPod%5D%20%C3%A9%26");
        assert_eq!(word("ann@host 1"), "ann@host_1");
    }
}
