//! The verbs of networks.

pub mod connect;
pub mod create;
pub mod disconnect;
pub mod inspect;
pub mod ls;
pub mod rm;

use super::{Call, Refusal};
use crate::network::{List, Row};

/// Every network, by name.
async fn rows(call: &Call) -> Result<Vec<Row>, Refusal> {
    call.engine.ground.network.send(List).await.map_err(|e| Refusal::unanswered("the network", &e))
}
