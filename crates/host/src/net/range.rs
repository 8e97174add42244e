//! A range of addresses of one family, from the first to the last.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::IpNetwork;

/// The two kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The bits of an address, which is the prefix length of a network with one address.
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V4 { "IPv4" } else { "IPv6" })
    }
}

/// Addresses from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    family: Family,
    first: u128,
    last: u128,
}

/// A text that is not a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address, nor a network such as 10.9.0.0/28, nor a range such as 10.9.0.20-10.9.0.30"
)]
pub struct BadRange(String);

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

impl Range {
    /// From one address to another; none when they are of two families or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let family = Family::of(first);
        let (first, last, same) = (number(first), number(last), family == Family::of(last));
        (same && first <= last).then_some(Self { family, first, last })
    }

    /// One address.
    pub fn single(address: IpAddr) -> Self {
        let number = number(address);
        Self { family: Family::of(address), first: number, last: number }
    }

    /// All addresses of a network, its first and last included.
    pub fn network(network: IpNetwork) -> Self {
        let family = Family::of(network.ip());
        let (first, last) = (number(network.network()), number(network.broadcast()));
        Self { family, first, last }
    }

    /// The family of all of them.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The lowest address.
    pub fn first(&self) -> IpAddr {
        self.address(self.first)
    }

    /// The highest address.
    pub fn last(&self) -> IpAddr {
        self.address(self.last)
    }

    /// Whether the range has the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.overlaps(&Self::single(address))
    }

    /// Whether the two ranges have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }

    /// Each address, the lowest first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let range = *self;
        (range.first..=range.last).map(move |number| range.address(number))
    }

    /// The rest of this range without another one: nothing, one part, or one on each side.
    pub fn without(&self, other: &Self) -> Vec<Self> {
        if !self.overlaps(other) {
            return vec![*self];
        }
        let part = |first, last| Self { family: self.family, first, last };
        let below = (self.first < other.first).then(|| part(self.first, other.first - 1));
        let above = (other.last < self.last).then(|| part(other.last + 1, self.last));
        below.into_iter().chain(above).collect()
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.family {
            // A range of this family was made of numbers of 32 bits.
            Family::V4 => Ipv4Addr::from(number as u32).into(),
            Family::V6 => Ipv6Addr::from(number).into(),
        }
    }
}

impl FromStr for Range {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let bad = || BadRange(text.to_owned());
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| bad());
        if let Some((first, last)) = text.split_once('-') {
            return Self::new(address(first)?, address(last)?).ok_or_else(bad);
        }
        if text.contains('/') {
            return Ok(Self::network(text.parse().map_err(|_| bad())?));
        }
        Ok(Self::single(address(text)?))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first());
        }
        write!(f, "{}-{}", self.first(), self.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> Range {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_a_network_and_a_range_are_read() {
        assert_eq!(range("10.9.0.1").to_string(), "10.9.0.1");
        assert_eq!(range("10.9.0.0/28").to_string(), "10.9.0.0-10.9.0.15");
        assert_eq!(range("10.9.0.200 - 10.9.0.210").to_string(), "10.9.0.200-10.9.0.210");
        assert_eq!(range("fd00::1-fd00::ff").last(), "fd00::ff".parse::<IpAddr>().unwrap());
        assert_eq!(range("::/0").last(), IpAddr::from([0xff; 16]));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "10.9.0",
            "10.9.0.9-10.9.0.1",
            "10.9.0.1-fd00::1",
            "10.9.0.0/33",
            "a-b",
            "10.9.0.1-",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_without_another_range_is_exactly_what_is_not_in_it(
            (a, b, c, d) in (0u8.., 0u8.., 0u8.., 0u8..)
        ) {
            let make = |one: u8, other: u8| {
                let (low, high) = (one.min(other), one.max(other));
                Range::new([10, 0, 0, low].into(), [10, 0, 0, high].into()).unwrap()
            };
            let (whole, hole) = (make(a, b), make(c, d));
            let left: Vec<_> = whole.without(&hole).iter().flat_map(Range::addresses).collect();
            let expected: Vec<_> = whole.addresses().filter(|it| !hole.contains(*it)).collect();
            prop_assert_eq!(left, expected);
        }
    }
}
