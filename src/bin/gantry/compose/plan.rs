//! What is to be done of a service: which of its containers stay, go, and are made.

use super::model::Service;
use super::there::Container;

/// When a container that is there is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Where it is not what would be made now.
    Changed,
    /// In any case.
    Always,
    /// Never.
    Never,
}

/// What is to be done of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Containers that stay, by name.
    pub keep: Vec<String>,
    /// Containers that go.
    pub remove: Vec<String>,
    /// The numbers of those that are made.
    pub make: Vec<usize>,
}

/// Compares what is there of a service with what is to be: containers 1 to `service.replicas`, made with what `config` is the
/// digest of, from the image that lies at `tree`, if it is here yet.
pub fn plan(service: &Service, config: &str, tree: Option<&str>, there: &[Container], replace: Replace) -> Plan {
    let mut plan = Plan::default();
    let mut kept = Vec::new();
    for container in there.iter().filter(|container| container.service == service.name) {
        let is_wanted = (1..=service.replicas).contains(&container.number);
        let is_same = container.config == config && tree.is_none_or(|tree| container.tree == tree);
        let stays = match replace {
            Replace::Changed => is_same,
            Replace::Always => false,
            Replace::Never => true,
        };
        if is_wanted && stays && !kept.contains(&container.number) {
            kept.push(container.number);
            plan.keep.push(container.name.clone());
        } else {
            plan.remove.push(container.name.clone());
        }
    }
    plan.make = (1..=service.replicas).filter(|number| !kept.contains(number)).collect();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(replicas: usize, config: &str, tree: Option<&str>, replace: Replace) -> (String, String, Vec<usize>) {
        let there =
            [("web:app", 1, "old"), ("web:app-2", 2, "new"), ("web:app-3", 3, "new")].map(|(name, number, config)| {
                Container {
                    name: name.to_owned(),
                    service: "web".to_owned(),
                    number,
                    config: config.to_owned(),
                    tree: "/a".to_owned(),
                    ..Container::default()
                }
            });
        let service = Service { name: "web".to_owned(), replicas, ..Service::default() };
        let plan = plan(&service, config, tree, &there, replace);
        (plan.keep.join(" "), plan.remove.join(" "), plan.make)
    }

    #[test]
    fn what_did_not_change_stays() {
        for (replicas, tree, replace, keep, remove, make) in [
            (3, Some("/a"), Replace::Changed, "web:app-2 web:app-3", "web:app", vec![1]),
            (2, None, Replace::Changed, "web:app-2", "web:app web:app-3", vec![1]),
            (4, None, Replace::Never, "web:app web:app-2 web:app-3", "", vec![4]),
            (2, None, Replace::Always, "", "web:app web:app-2 web:app-3", vec![1, 2]),
            (0, None, Replace::Changed, "", "web:app web:app-2 web:app-3", vec![]),
            // Another image of the same name.
            (2, Some("/b"), Replace::Changed, "", "web:app web:app-2 web:app-3", vec![1, 2]),
        ] {
            let planned = planned(replicas, "new", tree, replace);
            assert_eq!(planned, (keep.to_owned(), remove.to_owned(), make), "{replicas} {replace:?}");
        }
    }
}
