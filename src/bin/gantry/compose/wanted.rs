//! What a container of a service is made with: one request, and a digest of it by which a change is seen.

use sha2::{Digest, Sha256};

use super::model::{Project, Service};
use crate::failure::Failure;
use crate::flag::Pair;
use crate::request::Request;

/// The labels of a project's containers.
pub const PROJECT: &str = "gantry.compose.project";
/// The service that a container is of.
pub const SERVICE: &str = "gantry.compose.service";
/// Which of its containers, from 1.
pub const NUMBER: &str = "gantry.compose.number";
/// What it was made with, as a digest.
pub const CONFIG: &str = "gantry.compose.config";

/// The request that makes a container of `service`. `extra` stands over what the file says of where images come from.
pub fn request(project: &Project, service: &Service, number: usize, extra: &[Pair]) -> Result<Request, Failure> {
    let said = service.options.iter().filter(|(key, _)| !extra.iter().any(|(other, _)| other == key));
    let labels = [
        (PROJECT, project.name.clone()),
        (SERVICE, service.name.clone()),
        (NUMBER, number.to_string()),
        (CONFIG, digest(service)?),
    ];
    let labels = labels.map(|(name, value)| ("label", format!("{name}={value}").into_bytes()));
    let pairs: Vec<Pair> = said.chain(extra).cloned().chain(labels).collect();
    let name = service.container(&project.name, number);
    Ok(Request::new("create")
        .positional(service.image.as_bytes())?
        .option("name", name.as_bytes())
        .options(&pairs)
        .argv(&service.argv))
}

/// A digest of all that a container is made with, whichever of its service it is. Where images come from is no part of it.
pub fn digest(service: &Service) -> Result<String, Failure> {
    let said: Vec<_> = service.options.iter().filter(|(key, _)| *key != "pull").cloned().collect();
    let line = Request::new("create").positional(service.image.as_bytes())?.options(&said).argv(&service.argv).line();
    Ok(Sha256::digest(line).iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::project;
    use super::*;

    #[test]
    fn a_container_is_one_request() {
        let project =
            project("services: {web: {image: httpd, command: [a, b c], pull_policy: always, tty: true}}").unwrap();
        let web = project.service("web").unwrap();
        let line = request(&project, web, 2, &[("pull", b"never".to_vec())]).unwrap().line();
        let digest = digest(web).unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            format!(
                "create httpd name=web:app-2 tty=yes network=app_default pull=never label=\"gantry.compose.project=app\" \
                 label=\"gantry.compose.service=web\" label=\"gantry.compose.number=2\" \
                 label=\"gantry.compose.config={digest}\" -- a \"b c\"\n"
            )
        );
    }

    #[test]
    fn the_digest_is_of_what_is_made() {
        let of = |text: &str| {
            let project = project(&format!("services: {{a: {{{text}}}}}")).unwrap();
            digest(project.service("a").unwrap()).unwrap()
        };
        let one = of("image: i, user: a, environment: {A: 1}");
        // The order of keys and the number of containers say nothing.
        assert_eq!(one, of("environment: [A=1], user: a, image: i, scale: 3, pull_policy: always"));
        assert_ne!(one, of("image: i, user: b, environment: {A: 1}"));
        assert_ne!(one, of("image: j, user: a, environment: {A: 1}"));
    }
}
