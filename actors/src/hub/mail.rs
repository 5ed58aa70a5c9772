//! The two ways a message is sent to an actor of the hub.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};

/// Must arrive: seats taken and given up, and what ends them (a void token, a friendship that ended). Goes past the
/// mailbox's bound, so only what is bounded by itself may come this way: by the number of connections and the requests
/// that each may have in flight. The one place that does so.
pub fn must<A, M>(address: &Addr<A>, message: M)
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result = ()> + Send + 'static,
    A::Context: ToEnvelope<A, M>,
{
    address.do_send(message);
}

/// May be refused: false when the mailbox is full, and at least one message is on its way then, or the actor is gone.
pub fn may<A, M>(address: &Addr<A>, message: M) -> bool
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result = ()> + Send + 'static,
    A::Context: ToEnvelope<A, M>,
{
    address.try_send(message).is_ok()
}
