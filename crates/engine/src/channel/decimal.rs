//! Decimal numbers of any length, as text: compared exactly, never computed with.
//!
//! A number is brought into the form `0.DIGITS × 10^ORDER`, whose parts compare one after the
//! other. No arithmetic on digits is needed for that, and so no crate of big numbers.

use std::cmp::Ordering;

/// A number that borrows its digits from its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal<'a> {
    is_negative: bool,
    /// Significant digits: none for zero, else neither the first nor the last of them is `0`.
    whole: &'a str,
    fraction: &'a str,
    order: i64,
}

impl<'a> Decimal<'a> {
    /// Reads `[+-] digits [. digits] [e [+-] digits]`, where one side of the point may be empty.
    /// The exponent has to fit into 32 bits.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if mantissa.len() <= usize::from(mantissa.contains('.'))
            || !is_digits(whole)
            || !is_digits(fraction)
        {
            return None;
        }
        let length = |text: &str| i64::try_from(text.len()).expect("texts are shorter");
        let mut number = Self {
            is_negative,
            whole: whole.trim_start_matches('0'),
            fraction: fraction.trim_end_matches('0'),
            order: exponent.into(),
        };
        number.order += length(number.whole);
        if number.whole.is_empty() {
            let zeros = number.fraction.trim_start_matches('0');
            number.order -= length(number.fraction) - length(zeros);
            number.fraction = zeros;
        } else if number.fraction.is_empty() {
            number.whole = number.whole.trim_end_matches('0');
        }
        Some(number)
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match self.sign().cmp(&other.sign()) {
            Ordering::Equal if self.sign() == 0 => Ordering::Equal,
            Ordering::Equal => {
                let magnitude = self.order.cmp(&other.order);
                let magnitude = magnitude.then_with(|| self.digits().cmp(other.digits()));
                if self.is_negative {
                    magnitude.reverse()
                } else {
                    magnitude
                }
            }
            different => different,
        }
    }

    fn sign(&self) -> i8 {
        if self.whole.is_empty() && self.fraction.is_empty() {
            0
        } else if self.is_negative {
            -1
        } else {
            1
        }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(a: &str, b: &str) -> Option<Ordering> {
        Some(Decimal::parse(a)?.compare(&Decimal::parse(b)?))
    }

    #[test]
    fn numbers_compare_by_value_however_they_are_spelled() {
        let ascending = [
            "-1e2147483647",
            "-99999999999999999999999999999999999999999",
            "-10.5",
            "-10.49",
            "-1e-2147483648",
            "0",
            "1e-9",
            "0.1",
            "0.10000000000000000000000000000000000000001",
            "1.5",
            "2",
            "9.99",
            "10",
            "100000000000000000000000000000000000000000",
            "100000000000000000000000000000000000000001",
            "1e100",
        ];
        for (index, low) in ascending.iter().enumerate() {
            for high in &ascending[index + 1..] {
                assert_eq!(compare(low, high), Some(Ordering::Less), "{low} {high}");
                assert_eq!(compare(high, low), Some(Ordering::Greater));
            }
        }
        for (one, same) in [
            ("10", "010.00"),
            ("10", "+1e1"),
            (".5", "5.E-1"),
            ("-0", "0e5"),
            ("1200", "12E2"),
            ("0.0012", "1.2e-3"),
        ] {
            assert_eq!(compare(one, same), Some(Ordering::Equal), "{one} {same}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "",
            ".",
            "+",
            "-.",
            "e5",
            "1e",
            "1e+",
            "1e2147483648",
            "1e1.5",
            "0x1",
            " 1",
            "1 ",
            "1,5",
            "1_000",
            "NaN",
            "inf",
            "--1",
            "1.2.3",
            "١",
            "1é",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn small_numbers_compare_as_integers_do() {
        // Scaled by a hundred, so that the naive side needs no fractions.
        let spell = |n: i32, form: i32| {
            let sign = if n < 0 { "-" } else { "" };
            let (whole, cents) = (n.abs() / 100, n.abs() % 100);
            match form {
                0 => format!("{sign}{whole}.{cents:02}"),
                1 => format!("{n}e-2"),
                _ => format!("{sign}00{whole}.{cents:02}00"),
            }
        };
        for a in -250..250 {
            for b in (-250..250).step_by(7) {
                let (a_text, b_text) = (spell(a, a.rem_euclid(3)), spell(b, b.rem_euclid(3)));
                assert_eq!(
                    compare(&a_text, &b_text),
                    Some(a.cmp(&b)),
                    "{a_text} {b_text}"
                );
            }
        }
    }
}
