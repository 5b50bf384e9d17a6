//! The verbs of networks.

pub mod connect;
pub mod create;
pub mod disconnect;
pub mod inspect;
pub mod ls;
pub mod rm;

use actix::{Handler, Message};

use super::{Call, Line, Refusal};
use crate::container::Container;
use crate::network::{List, Row, ask};

/// What the final lines of `connect` and `disconnect` tell.
const LINKED: [&str; 2] = ["name", "ip"];

/// Every network, by name.
async fn rows(call: &Call) -> Result<Vec<Row>, Refusal> {
    ask(&call.engine.ground.network, List).await
}

/// Has the container called `name` change its links, and tells the addresses that it then has.
async fn relink<M>(name: String, message: M, call: Call) -> Result<Line, Refusal>
where
    M: Message<Result = Result<(), Refusal>> + Send + 'static,
    Container: Handler<M>,
{
    let child = call.engine.child(&name).await?;
    let view = child.view.clone();
    call.change(child, message).await?;
    let view = view.borrow().clone();
    Ok(Line::ok(&LINKED, &[&view.name, &view.ips_text()]))
}
