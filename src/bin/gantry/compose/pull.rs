//! `compose pull`: the images of services, asked for again at their registries; and the same at the beginning of `up`.

use std::collections::BTreeSet;

use super::model::Service;
use super::notes::say;
use super::order::{self, at_once};
use super::session;
use crate::command::{Call, Outcome};
use crate::connection::Daemon;
use crate::failure::Failure;
use crate::flag::Pair;
use crate::request::Request;

/// An image, with the options of its service that tell which of its platforms is meant.
type Wanted = (String, Vec<Pair>);

/// Pulls the images of the services that are named, or of all that are on, each once. Those that are never to be pulled
/// are left out.
pub fn pull(call: &mut Call<'_>) -> Outcome {
    let (_, project) = session::open(call)?;
    let (named, source) = (session::named(call), call.options()?);
    let alone = !named.is_empty() && !call.has("include-deps")?;
    let services = order::meant(&project, &named, alone)?;
    let (goes_on, is_quiet) = (call.has("ignore-pull-failures")?, call.has("quiet")?);
    let is_never = |service: &Service| service.options.iter().any(|(key, when)| *key == "pull" && when == b"never");
    let services = services.iter().filter_map(|name| project.service(name)).filter(|service| !is_never(service));
    let images = images(services);
    let daemon = call.daemon.clone();
    session::told(call, move |teller| {
        at_once(&images, &|image| {
            match one(&daemon, image, &source) {
                Ok(()) if is_quiet => {}
                Ok(()) => say(teller, done(image)),
                Err(failure @ Failure::Refused(..)) if goes_on => say(teller, format!("not pulled: {failure}")),
                Err(failure) => return Err(failure),
            }
            Ok(())
        })
    })
}

/// The images of services, each once.
pub fn images<'a>(services: impl Iterator<Item = &'a Service>) -> Vec<Wanted> {
    let platform = |service: &Service| service.options.iter().filter(|(key, _)| *key == "platform").cloned().collect();
    let images: BTreeSet<Wanted> = services.map(|service| (service.image.clone(), platform(service))).collect();
    images.into_iter().collect()
}

/// Pulls one. What was typed stands over what the file says.
pub fn one(daemon: &Daemon, (image, own): &Wanted, source: &[Pair]) -> Result<(), Failure> {
    let own = own.iter().filter(|(key, _)| source.iter().all(|(typed, _)| typed != key)).cloned();
    let options: Vec<Pair> = own.chain(source.iter().cloned()).collect();
    let request = Request::new("image pull").positional(image.as_bytes())?.options(&options);
    daemon.connect()?.ask(&request).map_err(|failure| match failure {
        Failure::Refused(code, message) => Failure::Refused(code, format!("{image}: {message}")),
        other => other,
    })?;
    Ok(())
}

/// That it was, as a line for a person.
pub fn done((image, _): &Wanted) -> String {
    format!("Image {image}  Pulled")
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::project;
    use super::*;

    #[test]
    fn each_image_is_pulled_once_for_each_platform() {
        let file = "services: {a: {image: i}, b: {image: i}, c: {image: i, platform: linux/arm64}, d: {image: h}}";
        let project = project(file).unwrap();
        let images = images(project.services.iter());
        let shown = images.iter().map(|(image, own)| {
            format!("{image} {}", own.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect::<String>())
        });
        assert_eq!(shown.collect::<Vec<_>>(), ["h ", "i ", "i linux/arm64"]);
    }
}
