//! What a container changed in its files, and what an image of it says of how it wants to be run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;

use serde_json::Value;

use super::environment;
use super::health::check::{Check, Wishes as HealthWishes};
use super::plan::{Plan, Source};
use super::raw;
use super::spec;
use super::volumes::VolumeSource;
use crate::id::ContainerId;
use crate::images::ImageConfig;
use crate::overlay::{Overlay, layer};
use crate::refusal::Refusal;

/// The overlay of a container.
pub fn overlay(plan: &Plan) -> Result<Overlay, Refusal> {
    Ok(Overlay { lower: plan.lower_dir.clone(), upper: plan.places.upper(), mounts: spec::mount_points(plan)? })
}

/// Writes what a container changed to a tar archive that has no name, and so goes with its descriptor. It blocks.
pub fn write(plan: &Plan) -> Result<File, Refusal> {
    let overlay = overlay(plan)?;
    let path = plan.places.data.join(format!("layer-{}", ContainerId::random()?));
    let failed = |e: std::io::Error| Refusal::io("the layer", &e);
    let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
    std::fs::remove_file(&path).map_err(failed)?;
    layer::write(&overlay, BufWriter::with_capacity(1 << 20, &file))?;
    Ok(file)
}

/// How a container wants to be run: its image's wishes and its own over them, as Docker joins the two. Refused where that
/// is no text, as an image's configuration is.
pub fn config(plan: &Plan, source: &Source) -> Result<ImageConfig, Refusal> {
    let image = match source {
        Source::Image(image) => image.config.clone(),
        Source::Directory(_) => ImageConfig::default(),
    };
    let wishes = &plan.wishes;
    let (entrypoint, cmd) = match (&wishes.entrypoint, &wishes.argv) {
        (Some(own), argv) => (own.clone(), argv.clone().unwrap_or_default()),
        (None, Some(argv)) => (image.entrypoint.clone(), argv.clone()),
        (None, None) => (image.entrypoint.clone(), image.cmd.clone()),
    };
    let ports = wishes.publish.iter().flat_map(|publish| {
        let ports = publish.container..=publish.container.saturating_add(publish.count.saturating_sub(1));
        ports.map(|port| format!("{port}/{}", publish.proto.as_str()))
    });
    let nameless = wishes.storage.volumes.iter().filter(|wish| wish.source == VolumeSource::Anonymous);
    let nameless = nameless.map(|wish| wish.destination.display().to_string());
    let env = environment::over(&image.env, &wishes.env);
    if !entrypoint.iter().chain(&cmd).chain(&env).all(|word| raw::is_text(word)) {
        return Err(Refusal::unsupported(
            "its command or environment is not valid UTF-8, and an image can hold nothing else",
        ));
    }
    Ok(ImageConfig {
        entrypoint,
        cmd,
        env,
        workdir: wishes.workdir.clone().unwrap_or(image.workdir),
        user: wishes.user.clone().unwrap_or(image.user),
        stop_signal: wishes.stop_signal.map(|signal| signal.to_string()).or(image.stop_signal),
        stop_timeout: wishes.stop_timeout.map(|timeout| timeout.as_secs()).or(image.stop_timeout),
        exposed_ports: together(image.exposed_ports, ports),
        volumes: together(image.volumes, nameless),
        labels: BTreeMap::clone(&plan.labels),
        healthcheck: healthcheck(plan, image.healthcheck),
        shell: image.shell,
    })
}

/// The image's check, unless the container's own is another.
fn healthcheck(plan: &Plan, image: Option<Value>) -> Option<Value> {
    if plan.wishes.health == HealthWishes::default() {
        return image;
    }
    Some(plan.health.as_ref().map_or_else(Check::none_in_image, Check::in_image))
}

fn together(mut image: Vec<String>, own: impl Iterator<Item = String>) -> Vec<String> {
    own.for_each(|word| {
        if !image.contains(&word) {
            image.push(word);
        }
    });
    image
}
