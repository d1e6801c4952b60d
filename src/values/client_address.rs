use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Who is asking: the TCP peer, or what trusted proxies say through `X-Forwarded-For`.
///
/// `forwarded_for` holds the header's lines in order. Only from a trusted peer are they read, from the right, past trusted
/// addresses to the first other one. A token that is no address ends the walk at the last address before it: what stands
/// left of it could have been written by anyone. No other header is ever read.
pub fn client_address(peer: IpAddr, forwarded_for: &[&str], trusted: &[IpNet]) -> IpAddr {
    let mut accepted = peer.to_canonical();
    let tokens = forwarded_for.iter().rev().flat_map(|line| line.rsplit(','));
    for token in tokens {
        if !is_trusted(accepted, trusted) {
            return accepted;
        }
        let Some(address) = parse_token(token) else { return accepted };
        accepted = address;
    }
    accepted
}

/// The key under which requests of one source are counted: IPv4 whole, IPv6 by /64 (what one subscriber holds).
pub fn source(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("{}/64", Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

fn is_trusted(ip: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| canonical(*network).contains(&ip))
}

/// A network of IPv4-mapped addresses is one of IPv4, as the addresses themselves are.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    mapped.and_then(|(v4, prefix)| Ipv4Net::new(v4, prefix).ok()).map_or(network, IpNet::V4)
}

/// `1.2.3.4`, `1.2.3.4:5`, `v6`, `[v6]`, `[v6]:5`.
fn parse_token(token: &str) -> Option<IpAddr> {
    let token = token.trim_matches([' ', '\t']);
    let ip = match token.strip_prefix('[') {
        Some(rest) => {
            let (v6, port) = rest.split_once(']')?;
            (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(())?;
            IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?)
        }
        None => token.parse().ok().or_else(|| with_port(token).map(IpAddr::V4))?,
    };
    Some(ip.to_canonical())
}

fn with_port(token: &str) -> Option<Ipv4Addr> {
    let (ip, port) = token.split_once(':')?;
    is_port(port).then(|| ip.parse().ok())?
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(peer: &str, forwarded_for: &[&str]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), forwarded_for, &trusted).to_string()
    }

    #[test]
    fn a_peer_that_is_not_trusted_speaks_for_itself() {
        assert_eq!(asked("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(asked("::ffff:192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client_address("10.0.0.1".parse().unwrap(), &["1.2.3.4"], &[]).to_string(), "10.0.0.1");
    }

    #[test]
    fn the_walk_goes_from_the_right_over_all_lines_past_trusted_addresses() {
        for (lines, answer) in [
            (&[][..], "10.0.0.1"),
            (&["203.0.113.9"], "203.0.113.9"),
            (&["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
            (&["198.51.100.7, 203.0.113.9, 10.1.1.1"], "203.0.113.9"),
            (&["198.51.100.7", "203.0.113.9", "10.1.1.1"], "203.0.113.9"),
            (&["198.51.100.7,10.2.2.2", "10.1.1.1 ,\t10.3.3.3"], "198.51.100.7"),
            (&["10.9.9.9, 10.1.1.1"], "10.9.9.9"),
            (&["203.0.113.9, fd00::1"], "203.0.113.9"),
        ] {
            assert_eq!(asked("10.0.0.1", lines), answer, "{lines:?}");
            assert_eq!(asked("::ffff:10.0.0.1", lines), answer, "{lines:?}");
        }
    }

    #[test]
    fn a_token_that_is_no_address_ends_the_walk_before_it() {
        for (line, answer) in [
            ("", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
            ("203.0.113.9, unknown", "10.0.0.1"),
            ("203.0.113.9, unknown, 10.1.1.1", "10.1.1.1"),
            ("203.0.113.9,, 10.1.1.1", "10.1.1.1"),
            ("unknown, 203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(asked("10.0.0.1", &[line]), answer, "{line}");
        }
        assert_eq!(asked("10.0.0.1", &["203.0.113.9", ""]), "10.0.0.1");
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_read() {
        for (token, answer) in [
            ("203.0.113.9:5", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8::1]:65535", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ] {
            assert_eq!(asked("10.0.0.1", &[token]), answer, "{token}");
        }
        assert_eq!(asked("10.0.0.1", &["203.0.113.9, ::ffff:10.1.1.1"]), "203.0.113.9");
        for token in [
            "203.0.113.9:",
            "203.0.113.9:65536",
            "203.0.113.9:+5",
            "203.0.113.9:x",
            "[203.0.113.9]",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]5",
            "[2001:db8::1]:",
            "fe80::1%eth0",
            "[fe80::1%1]",
            "203.0.113",
            "0x7f.0.0.1",
            "for=203.0.113.9",
            "\"203.0.113.9\"",
            "203.0.113.09",
        ] {
            assert_eq!(asked("10.0.0.1", &[token]), "10.0.0.1", "{token}");
        }
    }

    #[test]
    fn a_trusted_network_written_as_mapped_addresses_is_one_of_ipv4() {
        let trusted = ["::ffff:10.0.0.0/104".parse().unwrap()];
        let asked = client_address("10.0.0.1".parse().unwrap(), &["203.0.113.9"], &trusted);
        assert_eq!(asked.to_string(), "203.0.113.9");
    }

    #[test]
    fn a_source_is_one_subscriber() {
        for (ip, key) in [
            ("203.0.113.9", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(source(ip.parse().unwrap()), key);
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_speaks_for_an_untrusted_peer(lines in proptest::collection::vec(".{0,40}", 0..4)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            asked("10.0.0.1", &lines);
            prop_assert_eq!(asked("192.0.2.1", &lines), "192.0.2.1");
        }
    }
}
