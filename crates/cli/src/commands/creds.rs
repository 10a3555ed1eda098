//! `creds` and `url`: a credential, printed.

use std::path::Path;

use shiftkey::{Error, Mapping, Warehouse, dsn, trust};

use crate::{
    args::{TargetArgs, UrlArgs},
    exit::Failure,
    output::Printer,
    settings::Settings,
};

pub(crate) async fn creds(args: &TargetArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let target = settings.target(&args.target, &args.options)?;
    let login = settings.shiftkey().login(&target).await?;
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
            "cached": login.cached,
        }))?;
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
    Ok(())
}

pub(crate) async fn url(args: &UrlArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let target = settings.target(&args.target.target, &args.target.options)?;
    let url = if let Some(address) = &args.via_proxy {
        let (host, port) = match shiftkey::target::host::split(address) {
            Some((host, Some(port), None)) => (host, port),
            _ => {
                let error = Error::config(format!("'{address}' is not HOST:PORT"));
                return Err(error.with_hint("write the address where the proxy listens, such as 127.0.0.1:5439").into());
            }
        };
        let chosen = target.mapping == Mapping::User && !matches!(target.warehouse, Warehouse::Workgroup(_));
        let user = target.db_user.as_deref().filter(|user| chosen && !user.contains('{')).unwrap_or("shiftkey");
        dsn::render_via_proxy(args.format, dsn::ViaProxy { host, port, database: &target.database, user, target: &target.label })?
    } else {
        let mut login = settings.shiftkey().login(&target).await?;
        if args.format.is_libpq() {
            // libpq alone trusts nothing that is not named.
            login.ca_file = trust::file(&settings.env, login.ca_file.as_deref()).map(Path::to_owned);
        }
        dsn::render(args.format, &login)?.expose().to_owned()
    };
    if printer.json {
        printer.json(&serde_json::json!({ "format": args.format.name(), "url": url, "target": target.label }))?;
    } else {
        printer.line(&url)?;
    }
    Ok(())
}
