//! Options of how a container is connected.

use super::super::{Args, Refusal};
use super::process::hostname;
use crate::container::plan::Wishes;
use crate::engine::Engine;
use crate::id::{NetworkMode, Networking};
use crate::network::{self, Vet};

/// `network=`, `ip=` and `alias=`.
pub fn networking(args: &mut Args) -> Result<Networking, Refusal> {
    let mode = NetworkMode::read(&args.all_text("network")?).map_err(|refusal| refusal.within("network="))?;
    let ip = args.value("ip", |text| {
        text.parse().map_err(|_| Refusal::bad_value(format_args!("{text:?} is not an IPv4 address")))
    })?;
    Ok(Networking { mode, ip, alias: args.value("alias", hostname)? })
}

/// Refuses what does not go with the network that was asked for.
pub fn check(wishes: &Wishes) -> Result<(), Refusal> {
    let Networking { mode, .. } = &wishes.networking;
    wishes.networking.check(!wishes.publish.is_empty())?;
    let (shares, foreign) =
        (matches!(mode, NetworkMode::Container(_)), matches!(mode, NetworkMode::Container(_) | NetworkMode::Host));
    let of_network = |name: &String| name.starts_with("net.");
    let clashes = [
        // The other's are seen.
        (shares && wishes.hostname.is_some(), "hostname="),
        (shares && !wishes.dns.is_empty(), "dns="),
        (shares && !wishes.hosts.is_empty(), "add-host="),
        // Its root has no power over a namespace that is not its own.
        (foreign && wishes.security.own_ids, "userns=auto"),
        // It would be set for others too.
        (foreign && wishes.security.sysctls.keys().any(of_network), "sysctl=net.…"),
        (*mode == NetworkMode::None && wishes.hosts.iter().any(|(_, at)| at.is_none()), "add-host=…:host-gateway"),
    ];
    match clashes.iter().find(|(clashes, _)| *clashes) {
        Some((_, option)) => Err(Refusal::bad_option(format_args!("{option} does not go with network={mode}"))),
        None => Ok(()),
    }
}

/// Finds what the container is to be connected to, so that a name misspelt is told when it is made, not when it is started.
pub async fn find(wishes: &mut Wishes, engine: &Engine) -> Result<(), Refusal> {
    if let NetworkMode::Container(other) = &mut wishes.networking.mode {
        *other = engine.child(other).await?.view.borrow().name.to_string();
        return Ok(());
    }
    let vet = Vet { networking: wishes.networking.clone(), publishes: !wishes.publish.is_empty() };
    network::ask(&engine.ground.network, vet).await?
}
