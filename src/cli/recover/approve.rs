//! The operator's word: for a plan, for a step of the site's own, for what is done by hand.

use etcdrx::recovery::execute::Operator;
use etcdrx::recovery::plan::Plan;

use super::{RecoverArgs, text};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;

/// Refuses a plan that nobody approves: by its digest, or at the terminal.
pub(super) fn approve(
    context: &Context<'_>,
    args: &RecoverArgs,
    plan: &Plan,
) -> Result<(), Failure> {
    if let Some(digest) = &args.plan {
        return match *digest == plan.digest {
            true => Ok(()),
            false => Err(Failure::plan_changed(digest, &plan.digest)),
        };
    }
    if !context.screen.can_ask() {
        return Err(Failure::plan_not_approved(&plan.digest));
    }
    context.screen.note(&text::plain(plan));
    match context.screen.ask("Carry out this plan?") {
        true => Ok(()),
        false => Err(Failure::not_confirmed(
            "not confirmed: nothing was changed",
            "",
        )),
    }
}

impl Operator for Screen {
    fn confirm(&self, question: &str) -> bool {
        self.ask(&format!("{question}\nGo on?"))
    }

    fn by_hand(&self, node: &str, command: &str) -> bool {
        self.ask(&format!(
            "Type this on the node of {node}:\n\n    {command}\n\nIs it done, without an error?"
        ))
    }
}
