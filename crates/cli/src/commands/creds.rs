//! `creds` and `url`: a credential, printed.

use shiftkey::{Clock, Error, Login, Mapping, Origin, SystemClock, Target, Warehouse, dsn};

use super::cache::span;
use crate::{
    args::{TargetArgs, UrlArgs},
    exit::Failure,
    output::Printer,
    settings::Settings,
};

pub(crate) async fn creds(args: &TargetArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let target = settings.target(&args.target, &args.options)?;
    print_creds(&settings.shiftkey()?.login(&target).await?, settings, printer)
}

/// [`creds`] when the cache has the answer.
pub(crate) fn cached_creds(args: &TargetArgs, settings: &Settings, printer: &Printer) -> Option<Result<(), Failure>> {
    Some(print_creds(&cached(args, settings)?.1, settings, printer))
}

fn cached(args: &TargetArgs, settings: &Settings) -> Option<(Target, Login)> {
    let target = settings.target(&args.target, &args.options).ok()?;
    let login = settings.shiftkey().ok()?.cached_login(&target)?;
    Some((target, login))
}

fn print_creds(login: &Login, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let expiration = humantime::format_rfc3339_seconds(login.credential.expires_at).to_string();
    // This is the one command whose purpose is to print a password.
    let password = login.credential.password.expose();
    if printer.json {
        printer.json(&serde_json::json!({
            "db_user": login.credential.db_user,
            "db_password": password,
            "expiration": expiration,
            "host": login.endpoint.host,
            "port": login.endpoint.port,
            "database": login.database,
            "target": login.target,
            "cached": login.origin.is_cached(),
        }))?;
        tell_origin(login, settings, printer);
        return Ok(());
    }
    let port = login.endpoint.port.to_string();
    for (name, value) in [
        ("user", login.credential.db_user.as_str()),
        ("password", password),
        ("expires", &expiration),
        ("host", &login.endpoint.host),
        ("port", &port),
        ("database", &login.database),
    ] {
        printer.line(&format!("{name:<9} {value}"))?;
    }
    tell_origin(login, settings, printer);
    Ok(())
}

/// With `-v`: where the answer came from.
fn tell_origin(login: &Login, settings: &Settings, printer: &Printer) {
    if settings.global.verbose == 0 {
        return;
    }
    let now = SystemClock.moment();
    let age = now.since(login.credential.issued).unwrap_or_default();
    let left = span(login.credential.left(now));
    match login.origin {
        Origin::Aws => printer.say(&format!("issued by AWS just now; good for {left}")),
        Origin::File | Origin::Memory => {
            printer.say(&format!("from the cache, no call to AWS; issued {} ago, good for {left} more", span(age)));
        }
    }
}

pub(crate) async fn url(args: &UrlArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let target = settings.target(&args.target.target, &args.target.options)?;
    let url = match &args.via_proxy {
        Some(address) => via_proxy(args, address, &target)?,
        None => string(args, settings.shiftkey()?.login(&target).await?, settings)?,
    };
    print_url(args, &target, &url, printer)
}

/// [`url`] when the cache has the answer.
pub(crate) fn cached_url(args: &UrlArgs, settings: &Settings, printer: &Printer) -> Option<Result<(), Failure>> {
    if args.via_proxy.is_some() {
        return None;
    }
    let (target, login) = cached(&args.target, settings)?;
    let printed = string(args, login, settings).and_then(|url| print_url(args, &target, &url, printer));
    Some(printed)
}

fn string(args: &UrlArgs, login: Login, settings: &Settings) -> Result<String, Failure> {
    Ok(dsn::render(args.format, &dsn::trusting(args.format, login, &settings.env))?.expose().to_owned())
}

fn via_proxy(args: &UrlArgs, address: &str, target: &Target) -> Result<String, Failure> {
    let (host, port) = match shiftkey::target::host::split(address) {
        Some((host, Some(port), None)) => (host, port),
        _ => {
            let error = Error::config(format!("'{address}' is not HOST:PORT"));
            return Err(error.with_hint("write the address where the proxy listens, such as 127.0.0.1:5439").into());
        }
    };
    let chosen = target.mapping == Mapping::User && !matches!(target.warehouse, Warehouse::Workgroup(_));
    let user = target.db_user.as_deref().filter(|user| chosen && !user.contains('{')).unwrap_or("shiftkey");
    let proxy = dsn::ViaProxy { host, port, database: &target.database, user, target: &target.label };
    Ok(dsn::render_via_proxy(args.format, proxy)?)
}

fn print_url(args: &UrlArgs, target: &Target, url: &str, printer: &Printer) -> Result<(), Failure> {
    if printer.json {
        printer.json(&serde_json::json!({ "format": args.format.name(), "url": url, "target": target.label }))?;
    } else {
        printer.line(url)?;
    }
    Ok(())
}
