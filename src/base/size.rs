//! Sizes in bytes, as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. Written `512MiB`, `20MB`, `4096`; shown with one decimal in powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; write it like `512MiB`, `20MB` or `4096`")]
pub struct BadSize(String);

impl FromStr for ByteSize {
    type Err = BadSize;
    fn from_str(text: &str) -> Result<Self, BadSize> {
        let bad = || BadSize(super::words::shorten(&super::words::visible(text), 40));
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(bad()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(bad);
        }
        let value: f64 = number.parse().map_err(|_| bad())?;
        let bytes = value * factor as f64;
        if bytes.is_finite() && bytes < 9.0e18 { Ok(Self(bytes as u64)) } else { Err(bad()) }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut unit = "";
        for name in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
            unit = name;
            value /= 1024.0;
            if value < 1023.95 {
                break;
            }
        }
        write!(f, "{value:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("4096", 4096, "4.0 KiB"),
            ("512MiB", 512 << 20, "512.0 MiB"),
            ("20MB", 20_000_000, "19.1 MiB"),
            ("1.5GiB", 3 << 29, "1.5 GiB"),
            ("7", 7, "7 B"),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string(), shown);
        }
        for text in ["", "MiB", "-1", "1 parsec", "99999999999GiB", "1e400", "nan"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
