//! Options of how a container finds others by name.

use std::net::IpAddr;

use super::super::Refusal;
use super::process::hostname;

/// A name server.
pub fn server(text: &str) -> Result<IpAddr, Refusal> {
    text.parse().map_err(|_| Refusal::bad_value(format_args!("{text:?} is not an IP address")))
}

/// `NAME:ADDRESS`, or Docker's `NAME:host-gateway` for the host itself.
pub fn host(text: &str) -> Result<(String, Option<IpAddr>), Refusal> {
    let Some((name, address)) = text.split_once(':') else {
        return Err(Refusal::bad_value(format_args!("{text:?} is not NAME:ADDRESS")));
    };
    let address = if address == "host-gateway" { None } else { Some(server(address)?) };
    Ok((hostname(name)?, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_name_and_an_address() {
        assert_eq!(host("db:10.0.0.1").unwrap(), ("db".into(), Some([10, 0, 0, 1].into())));
        assert_eq!(host("db:::1").unwrap().1.unwrap().to_string(), "::1");
        assert_eq!(host("up:host-gateway").unwrap().1, None);
        for bad in ["", "db", "db:", ":1.2.3.4", "db:1.2.3", "a b:1.2.3.4", "db:x"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }
}
