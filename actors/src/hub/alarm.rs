//! An actor's one timer, set to whatever is due next.

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt as _, AsyncContext as _, Context, SpawnHandle};
use tokio::time::Instant;

/// The timer. One for everything an actor waits for: ten thousand idle actors then cost the runtime nothing.
#[derive(Default)]
pub struct Alarm(Option<(Instant, SpawnHandle)>);

impl Alarm {
    /// Rings at `at`, or not at all, instead of whatever it was set to. `ring` begins with [`Alarm::rang`].
    pub fn set<A>(&mut self, at: Option<Instant>, context: &mut Context<A>, ring: fn(&mut A, &mut Context<A>))
    where
        A: Actor<Context = Context<A>>,
    {
        if self.0.map(|(set, _)| set) == at {
            return;
        }
        if let Some((_, handle)) = self.0.take() {
            context.cancel_future(handle);
        }
        self.0 = at.map(|at| {
            let sleep = wrap_future::<_, A>(tokio::time::sleep_until(at));
            (
                at,
                context.spawn(sleep.map(move |(), actor, context| ring(actor, context))),
            )
        });
    }

    /// It has rung and is set to nothing.
    pub fn rang(&mut self) {
        self.0 = None;
    }
}

/// Lets everything else on this thread have its turn, then goes on with `next`.
pub fn yield_to_others<A>(context: &mut Context<A>, next: fn(&mut A, &mut Context<A>))
where
    A: Actor<Context = Context<A>>,
{
    let turn = wrap_future::<_, A>(tokio::task::yield_now());
    context.spawn(turn.map(move |(), actor, context| next(actor, context)));
}
