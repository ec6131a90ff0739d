//! The operator's word: for a plan, for a step of the site's own, for what is done by hand.

use std::io::{self, BufRead, IsTerminal, Write};

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
    if !io::stdin().is_terminal() || context.screen.json {
        return Err(Failure::plan_not_approved(&plan.digest));
    }
    context.screen.note(&text::plain(plan));
    match ask(context.screen, "Carry out this plan? Type yes: ") {
        true => Ok(()),
        false => Err(Failure::not_confirmed(
            "not confirmed: nothing was changed",
            "",
        )),
    }
}

/// Whether somebody types `yes`.
fn ask(screen: &Screen, question: &str) -> bool {
    screen.clear();
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && answer.trim() == "yes"
}

impl Operator for Screen {
    fn confirm(&self, question: &str) -> bool {
        ask(self, &format!("{question}\nGo on? Type yes: "))
    }

    fn by_hand(&self, node: &str, command: &str) -> bool {
        let question = format!(
            "Type this on the node of {node}:\n\n    {command}\n\nIs it done, without an error? Type yes: "
        );
        ask(self, &question)
    }
}
