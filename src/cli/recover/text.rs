//! A plan and a report, as people read them.

use std::fmt::Write;
use std::time::Duration;

use etcdrx::recovery::plan::{Plan, Step};
use etcdrx::recovery::report::Recovered;

/// A plan for a terminal.
pub(super) fn plain(plan: &Plan) -> String {
    let mut text = head(plan);
    for reason in &plan.refused {
        let _ = write!(text, "\nREFUSED    {reason}");
    }
    for warning in &plan.warnings {
        let _ = write!(text, "\nwarning    {warning}");
    }
    for group in groups(plan) {
        let _ = write!(text, "\n\n{}", plain_steps(group));
    }
    let _ = write!(text, "\n\n{}", approval(plan));
    text
}

fn head(plan: &Plan) -> String {
    let way = plan
        .way
        .map(|way| format!(", by way of `{way}`"))
        .unwrap_or_default();
    let mut lines = vec![format!("scenario   {}{way}", plan.scenario)];
    if !plan.about.is_empty() {
        lines.push(format!("           {}", plan.about));
    }
    if let Some(source) = &plan.source {
        lines.push(format!("data from  {}", source.label()));
    }
    if !plan.lost.is_empty() {
        lines.push(format!("lost       {}", lost(plan)));
    }
    if !plan.members.is_empty() {
        lines.push(format!(
            "members    {}",
            plan.initial_cluster().replace(',', "\n           ")
        ));
    }
    lines.join("\n")
}

fn lost(plan: &Plan) -> String {
    match plan.lost_revisions {
        Some(0) | None => plan.lost.clone(),
        Some(count) => format!("{} ({count} revisions are known of)", plan.lost),
    }
}

/// The steps, those together that are the same on several nodes.
fn groups(plan: &Plan) -> impl Iterator<Item = &[Step]> {
    let steps = plan.steps.as_slice();
    steps.chunk_by(|one, other| one.action == other.action && one.why == other.why)
}

/// What steps do that are the same on several nodes: the first one's title, with the names of all.
fn title(group: &[Step]) -> String {
    let first = &group[0];
    let names: Vec<&str> = group
        .iter()
        .filter_map(|step| step.node.as_deref())
        .collect();
    match (&first.node, names.len()) {
        (Some(node), 2..) => first.title.replacen(node.as_str(), &names.join(", "), 1),
        _ => first.title.clone(),
    }
}

fn numbers(group: &[Step]) -> String {
    match group {
        [only] => only.n.to_string(),
        [first, .., last] => format!("{}-{}", first.n, last.n),
        [] => String::new(),
    }
}

fn plain_steps(group: &[Step]) -> String {
    let first = &group[0];
    let mark = match first.destructive {
        true => "!",
        false => " ",
    };
    let mut lines = vec![
        format!("{:>5} {mark} {}", numbers(group), title(group)),
        format!("        why   {}", first.why),
        format!("        risk  {}", first.risk),
        format!("        back  {}", first.undo),
    ];
    let commands = group.iter().flat_map(|step| &step.commands);
    lines.extend(commands.map(|command| format!("        $ {command}")));
    lines.join("\n")
}

fn approval(plan: &Plan) -> String {
    match plan.refused.is_empty() {
        true => format!(
            "digest     {}: `etcdrx recover … --yes --plan {}` carries out this plan and no other",
            plan.digest, plan.digest
        ),
        false => "this plan is not carried out; see REFUSED above".to_owned(),
    }
}

/// A plan for a page or a ticket.
pub(super) fn markdown(plan: &Plan) -> String {
    let mut text = format!("# Recovery: {}\n\n", plan.scenario);
    let _ = writeln!(text, "{}\n", plan.about);
    if let Some(source) = &plan.source {
        let _ = writeln!(text, "- **Data from**: {}", source.label());
    }
    let _ = writeln!(text, "- **Lost**: {}", lost(plan));
    let _ = writeln!(text, "- **Members**: `{}`", plan.initial_cluster());
    let _ = writeln!(text, "- **Digest**: `{}`", plan.digest);
    for reason in &plan.refused {
        let _ = writeln!(text, "- **Refused**: {reason}");
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "- **Warning**: {warning}");
    }
    for group in groups(plan) {
        let step = &group[0];
        let mark = if step.destructive { " ⚠" } else { "" };
        let _ = write!(text, "\n## {}. {}{mark}\n\n", numbers(group), title(group));
        let _ = writeln!(
            text,
            "{} *Risk:* {} *Back:* {}",
            step.why, step.risk, step.undo
        );
        let commands: Vec<&str> = group
            .iter()
            .flat_map(|step| &step.commands)
            .map(String::as_str)
            .collect();
        if !commands.is_empty() {
            let _ = write!(text, "\n```sh\n{}\n```\n", commands.join("\n"));
        }
    }
    text
}

/// What a recovery came to.
pub(super) fn report(recovered: &Recovered) -> String {
    let elapsed = Duration::from_millis(recovered.elapsed_ms);
    let mut lines = vec![format!(
        "recovered  {} in {:.1} s (run {})",
        recovered.scenario,
        elapsed.as_secs_f64(),
        recovered.run
    )];
    if let Some(id) = recovered.cluster_id {
        lines.push(format!("cluster    {id}"));
    }
    for member in &recovered.members {
        let id = member.id.map(|id| id.to_string()).unwrap_or_default();
        lines.push(format!("member     {} {id}", member.name));
    }
    if let Some(source) = &recovered.source {
        lines.push(format!("data from  {source}"));
    }
    if let (Some(before), Some(after)) = (recovered.revision_before, recovered.revision_after) {
        lines.push(format!("revision   {before} before, {after} after"));
    }
    if let Some(lost) = recovered.lost_revisions {
        lines.push(format!(
            "lost       {lost} revisions, as far as anybody knows"
        ));
    }
    lines.extend(checked(recovered));
    let places = recovered.set_aside.iter();
    lines.extend(places.map(|place| format!("set aside  {place}")));
    let next = recovered.next.iter();
    lines.extend(next.map(|next| format!("next       {next}")));
    lines.push(format!(
        "kept in    {} (report.html, report.md, report.json, journal.jsonl)",
        recovered.directory.display()
    ));
    lines.join("\n")
}

/// What must hold and does not, or could not be looked at; and how much does.
fn checked(recovered: &Recovered) -> Vec<String> {
    let mut lines = Vec::new();
    let mut held = 0;
    for invariant in &recovered.invariants {
        let word = match invariant.ok {
            Some(true) => {
                held += 1;
                continue;
            }
            Some(false) => "FAILED    ",
            None => "unchecked ",
        };
        let evidence = invariant.evidence.join("; ");
        lines.push(format!(
            "{word} {} {}: {evidence}",
            invariant.code, invariant.title
        ));
    }
    let all = recovered.invariants.len();
    lines.push(format!(
        "checked    {held} of {all} things that must hold do"
    ));
    lines
}
