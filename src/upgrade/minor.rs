//! Versions of etcd, as far as an upgrade counts them: by their minor.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// A minor version of etcd 3, such as 3.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minor(pub u32);

impl Minor {
    /// The oldest that is known.
    pub const OLDEST: Self = Self(4);
    /// The newest that is known.
    pub const NEWEST: Self = Self(7);

    /// The minor of a version that etcd tells, such as `3.5.33`; `None` if it is no etcd 3.
    #[must_use]
    pub fn of_version(version: &str) -> Option<Self> {
        let rest = version.trim().trim_start_matches('v').strip_prefix("3.")?;
        let digits = rest.split(['.', '-', '+']).next()?;
        digits.parse().ok().map(Self)
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The place of what is known of it in a list that begins with 3.4.
    pub(super) fn place(self) -> Option<usize> {
        let is_known = (Self::OLDEST..=Self::NEWEST).contains(&self);
        let place = self.0.checked_sub(Self::OLDEST.0).filter(|_| is_known)?;
        usize::try_from(place).ok()
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "3.{}", self.0)
    }
}

impl FromStr for Minor {
    type Err = Error;

    /// Reads a version of which the rules are known, with or without its patch.
    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::of_version(text).filter(|minor| minor.place().is_some());
        known.ok_or_else(|| Error::UnknownVersion {
            version: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_with_and_without_its_patch() {
        for text in ["3.6", "3.6.14", "v3.6.0-rc.1"] {
            assert_eq!(text.parse::<Minor>().unwrap(), Minor(6), "{text}");
        }
        for text in ["", "3", "3.", "3.3", "3.8", "4.0", "latest", "3.x"] {
            assert!(text.parse::<Minor>().is_err(), "{text}");
        }
        assert_eq!(Minor::of_version("3.8.0"), Some(Minor(8)));
    }
}
