//! `policy apply`: the plan, and with `--apply` its steps.

use shiftkey::{
    Error,
    policy::{
        apply::{Desired, Plan},
        iam::Iam,
    },
};

use super::policy::generated;
use crate::{
    args::{ApplyArgs, WhoArg},
    exit::Failure,
    output::Printer,
    settings::Settings,
};

pub(super) async fn apply(args: &ApplyArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let (iam, plan) = if args.destroy {
        let iam = settings.shiftkey()?.iam(&settings.scope()).await?;
        let plan = iam.plan_destroy(&args.name).await?;
        (iam, plan)
    } else {
        wanted(args, settings, printer).await?
    };
    if !printer.json {
        for step in &plan.steps {
            printer.line(&step.to_string())?;
        }
    }
    plan.kept.iter().for_each(|kept| printer.say(&format!("note: {kept}")));
    if args.apply {
        carry_out(&args.name, &iam, &plan, printer).await?;
    }
    if printer.json {
        let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
        printer.json(&serde_json::json!({ "name": args.name, "applied": args.apply, "steps": steps, "kept": plan.kept }))?;
    } else {
        printer.say(&match (plan.steps.len(), args.apply) {
            (0, _) => "nothing to do".to_owned(),
            (count, true) => format!("done: {count} {}", steps(count)),
            (count, false) => format!("{count} {} to do; nothing was changed, --apply does it", steps(count)),
        });
    }
    Ok(())
}

async fn wanted(args: &ApplyArgs, settings: &Settings, printer: &Printer) -> Result<(Iam, Plan), Failure> {
    let (generated, scope) = generated(&args.targets, &args.intent, settings, printer).await?;
    let typed = match &args.intent.who {
        Some(WhoArg::Role(role)) => Some(role.clone()),
        _ => None,
    };
    let role = args.attach_role.clone().or(typed).map(|role| role.rsplit('/').next().unwrap_or_default().to_owned());
    let group = args.group.clone().or_else(|| role.is_none().then(|| args.name.clone()));
    if group.is_none() && !args.member.is_empty() {
        return Err(Error::config("a role has no members").with_hint("leave --member out, or name a --group").into());
    }
    let members = args.member.iter().cloned().collect();
    generated.notes.iter().for_each(|note| printer.say(&format!("note: {note}")));
    let iam = settings.shiftkey()?.iam(&scope).await?;
    let plan = iam.plan(&Desired { name: args.name.clone(), documents: generated.documents, group, role, members }).await?;
    Ok((iam, plan))
}

/// Stops at the first step that fails; those before are done.
async fn carry_out(name: &str, iam: &Iam, plan: &Plan, printer: &Printer) -> Result<(), Failure> {
    for (n, step) in plan.steps.iter().enumerate() {
        tracing::info!(%step, "step");
        if let Err(error) = iam.perform(name, step).await {
            printer.say(&format!("{n} of {} {} were done; the next run goes on from here", plan.steps.len(), steps(plan.steps.len())));
            return Err(error.into());
        }
    }
    Ok(())
}

fn steps(count: usize) -> &'static str {
    if count == 1 { "step" } else { "steps" }
}
