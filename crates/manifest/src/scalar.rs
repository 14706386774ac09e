//! What an unquoted YAML scalar means.
//!
//! As kubectl reads it (YAML 1.1 words for booleans, octal with a leading zero), because a manifest
//! that means one thing to kubectl must not mean another to us.

/// Up to here every whole number is a 64-bit float (2^53).
const EXACT_FLOAT_MAX: f64 = 9_007_199_254_740_992.0;

/// The longest word with a meaning of its own is `false`.
const LONGEST_WORD_BYTES: usize = 5;
/// What such words start with.
const WORD_INITIALS: [char; 10] = ['f', 'F', 'n', 'N', 'o', 'O', 't', 'T', 'y', 'Y'];

/// The meaning of an unquoted scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no integer, or one beyond 64 bits.
    Float,
    Text,
}

/// Returns what `text`, written without quotes, means.
pub(crate) fn plain(text: &str) -> Plain {
    // Most scalars are names: no number, and no word below.
    if text.starts_with(|c: char| c.is_ascii_alphabetic())
        && (text.len() > LONGEST_WORD_BYTES || !text.starts_with(WORD_INITIALS))
    {
        return Plain::Text;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "y" | "Y" | "on" | "On" | "ON" => {
            return Plain::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "n" | "N" | "off" | "Off" | "OFF" => {
            return Plain::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Plain::Float,
        _ => {}
    }
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Plain::Float;
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    number(negative, digits)
}

fn number(negative: bool, digits: &str) -> Plain {
    let clean: String = digits.chars().filter(|&c| c != '_').collect();
    let (radix, body) = match clean.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, clean.get(2..).unwrap_or_default()),
        [b'0', b'b' | b'B', ..] => (2, clean.get(2..).unwrap_or_default()),
        [b'0', b'o' | b'O', ..] => (8, clean.get(2..).unwrap_or_default()),
        [b'0', rest @ ..] if !rest.is_empty() && rest.iter().all(|c| (b'0'..=b'7').contains(c)) => {
            (8, clean.as_str())
        }
        _ => (10, clean.as_str()),
    };
    let whole = !body.is_empty() && body.chars().all(|c| c.is_digit(radix));
    if whole {
        let Ok(value) = i64::from_str_radix(body, radix) else { return Plain::Float };
        return Plain::Int(if negative { -value } else { value });
    }
    if !is_float(&clean) {
        return Plain::Text;
    }
    // `1e3` becomes `1000` on its way through JSON, and so an integer.
    let value: f64 = clean.parse().unwrap_or(f64::NAN);
    let whole = value.fract() == 0.0 && value.abs() <= EXACT_FLOAT_MAX;
    let value = whole.then(|| format!("{value:.0}").parse::<i64>().ok()).flatten();
    value.map_or(Plain::Float, |value| Plain::Int(if negative { -value } else { value }))
}

/// `[0-9]*(\.[0-9]*)?([eE][-+]?[0-9]+)?` with at least one digit before the exponent.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => {
            (text.get(..at).unwrap_or_default(), Some(text.get(at + 1..).unwrap_or_default()))
        }
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_fits =
        all_digits(whole) && all_digits(fraction) && (!whole.is_empty() || !fraction.is_empty());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa_fits && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_word_or_one_in_other_case_is_text() {
        for text in ["falsey", "nullx", "Yess", "tRUE", "nO", "onn", "none", "f", "t", "tru"] {
            assert_eq!(plain(text), Plain::Text, "{text}");
        }
        for text in ["false", "FALSE", "n", "null", "ON", "on", "True", "y"] {
            assert_ne!(plain(text), Plain::Text, "{text}");
        }
    }

    /// The meanings are those that kubectl 1.32 gave (`kubectl annotate --local -o json`).
    #[test]
    fn an_unquoted_scalar_means_what_kubectl_reads() {
        let cases = [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("yes", Plain::Bool(true)),
            ("Off", Plain::Bool(false)),
            ("80", Plain::Int(80)),
            ("-1", Plain::Int(-1)),
            ("+7", Plain::Int(7)),
            ("010", Plain::Int(8)),
            ("08", Plain::Int(8)),
            ("0x1F", Plain::Int(31)),
            ("1_000", Plain::Int(1000)),
            ("1.5", Plain::Float),
            ("1e3", Plain::Int(1000)),
            ("1.", Plain::Int(1)),
            ("-12e03", Plain::Int(-12000)),
            ("1e30", Plain::Float),
            ("1_0.5", Plain::Float),
            ("08.5", Plain::Float),
            ("0o7", Plain::Int(7)),
            ("0b1", Plain::Int(1)),
            ("0x_1", Plain::Int(1)),
            ("1_", Plain::Int(1)),
            ("-0", Plain::Int(0)),
            ("018", Plain::Int(18)),
            ("y", Plain::Bool(true)),
            ("N", Plain::Bool(false)),
            (".5", Plain::Float),
            ("-.inf", Plain::Float),
            ("99999999999999999999", Plain::Float),
            ("1.2.3", Plain::Text),
            ("10.0.0.0/8", Plain::Text),
            ("2026-01-01", Plain::Text),
            ("1e", Plain::Text),
            ("0x", Plain::Text),
            (".", Plain::Text),
            ("-", Plain::Text),
            ("web", Plain::Text),
            ("_1", Plain::Text),
            ("0o8", Plain::Text),
            ("1:30", Plain::Text),
            ("+", Plain::Text),
            ("=", Plain::Text),
        ];
        for (text, meaning) in cases {
            assert_eq!(plain(text), meaning, "{text}");
        }
    }
}
