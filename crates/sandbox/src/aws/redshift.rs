//! The Redshift query API, version 2012-12-01.

use std::collections::BTreeMap;

use super::fault::{Fault, escape};
use super::grant::{Wanted, check_name, duration, issue, stamp};
use super::{Aws, Signed, domains, page};
use crate::world::{Grant, Warehouse, WarehouseId, WarehouseKind};

pub(super) const NAMESPACE: &str = "http://redshift.amazonaws.com/doc/2012-12-01/";

pub(super) type Form = BTreeMap<String, String>;

pub(super) fn call(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    match call.action {
        "DescribeClusters" => describe(aws, call, form),
        "DescribeCustomDomainAssociations" => domains::describe(aws, call, form),
        "GetClusterCredentials" => credentials(aws, call, form),
        "GetClusterCredentialsWithIAM" => credentials_with_iam(aws, call, form),
        other => Err(Fault::new(400, "InvalidAction", &format!("The action {other} is not valid for this web service."))),
    }
}

/// Authorization comes before any check of the parameters' syntax, as in AWS.
fn credentials(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    let user = form.get("DbUser").ok_or_else(|| Fault::new(400, "MissingParameter", "The request must contain the parameter DbUser."))?;
    let cluster = &cluster_name(aws, call, form)?;
    let database = form.get("DbName");
    let auto_create = form.get("AutoCreate").is_some_and(|it| it == "true");
    let groups = list(form, "DbGroups.DbGroup.");
    authorize_credentials(call, form, cluster, auto_create, &groups)?;
    check_name("DbUser", user, false)?;
    groups.iter().try_for_each(|it| check_name("DbGroup", it, true))?;
    database.map_or(Ok(()), |it| check_name("DbName", it, false))?;
    let duration = duration(form.get("DurationSeconds").map(String::as_str))?;
    let warehouse = find(aws, call, cluster)?;
    let prefix = if auto_create { "IAMA" } else { "IAM" };
    let suffix: String = groups.iter().map(|it| format!(":{it}")).collect();
    let wanted = Wanted {
        login_user: format!("{prefix}:{user}{suffix}"),
        db_user: user.clone(),
        groups,
        database: database.cloned(),
        auto_create,
        duration,
    };
    Ok(granted(&issue(aws, call, &warehouse.id, wanted)))
}

fn authorize_credentials(call: &Signed<'_>, form: &Form, cluster: &str, auto_create: bool, groups: &[String]) -> Result<(), Fault> {
    let context = context(call, form);
    let user = &format!("dbuser:{cluster}/{}", form.get("DbUser").map_or("", String::as_str));
    call.caller.authorize("redshift:GetClusterCredentials", &arn(call, user), &context)?;
    if let Some(database) = form.get("DbName") {
        let database = arn(call, &format!("dbname:{cluster}/{database}"));
        call.caller.authorize("redshift:GetClusterCredentials", &database, &context)?;
    }
    if auto_create {
        call.caller.authorize("redshift:CreateClusterUser", &arn(call, user), &context)?;
    }
    groups.iter().try_for_each(|it| call.caller.authorize("redshift:JoinGroup", &arn(call, &format!("dbgroup:{cluster}/{it}")), &context))
}

fn credentials_with_iam(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    let cluster = &cluster_name(aws, call, form)?;
    let database = form.get("DbName");
    let resource = arn(call, &format!("dbname:{cluster}/{}", database.map_or("*", String::as_str)));
    call.caller.authorize("redshift:GetClusterCredentialsWithIAM", &resource, &context(call, form))?;
    database.map_or(Ok(()), |it| check_name("DbName", it, false))?;
    let duration = duration(form.get("DurationSeconds").map(String::as_str))?;
    let warehouse = find(aws, call, cluster)?;
    let user = call.caller.mapped_user();
    let wanted =
        Wanted { login_user: user.clone(), db_user: user, groups: Vec::new(), database: database.cloned(), auto_create: true, duration };
    let grant = issue(aws, call, &warehouse.id, wanted);
    Ok(format!("{}<NextRefreshTime>{}</NextRefreshTime>", granted(&grant), stamp(grant.expires_at)))
}

fn describe(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    let context = call.caller.context(call.region, call.now, &[]);
    let name = form.get("ClusterIdentifier");
    let resource = arn(call, &format!("cluster:{}", name.map_or("*", String::as_str)));
    call.caller.authorize("redshift:DescribeClusters", &resource, &context)?;
    if let Some(name) = name {
        return Ok(format!("<Clusters>{}</Clusters>", cluster_xml(&find(aws, call, name)?)));
    }
    let (keys, values) = (list(form, "TagKeys.TagKey."), list(form, "TagValues.TagValue."));
    let tagged = |it: &Warehouse| {
        let fits =
            |(key, value): (&String, &String)| (keys.is_empty() || keys.contains(key)) && (values.is_empty() || values.contains(value));
        (keys.is_empty() && values.is_empty()) || it.tags.iter().any(fits)
    };
    let found = here(aws, call).into_iter().filter(tagged).collect();
    let (shown, marker) = page_of(form, found)?;
    Ok(format!("<Clusters>{}</Clusters>{marker}", shown.iter().map(cluster_xml).collect::<String>()))
}

/// The page that `Marker` and `MaxRecords` ask for, and the element that leads to the next one.
pub(super) fn page_of(form: &Form, all: Vec<Warehouse>) -> Result<(Vec<Warehouse>, String), Fault> {
    let limit = form.get("MaxRecords").map_or(Some(100), |it| it.parse::<usize>().ok()).filter(|it| (20..=100).contains(it));
    let limit = limit.ok_or_else(|| Fault::invalid("MaxRecords must be between 20 and 100"))?;
    let (shown, next) = page::page(all, form.get("Marker").map_or("", String::as_str), limit);
    Ok((shown, next.map(|it| format!("<Marker>{it}</Marker>")).unwrap_or_default()))
}

/// The clusters of the caller's account in the call's region, by name.
pub(super) fn here(aws: &Aws, call: &Signed<'_>) -> Vec<Warehouse> {
    page::here(aws, call, WarehouseKind::Cluster)
}

fn cluster_xml(it: &Warehouse) -> String {
    let endpoint = it.endpoint.as_ref().map(|(host, port)| format!("<Endpoint><Address>{host}</Address><Port>{port}</Port></Endpoint>"));
    let domain = it.custom_domain.as_ref().map(|domain| {
        let (arn, expiry) = domains::certificate(it);
        format!(
            "<CustomDomainName>{}</CustomDomainName><CustomDomainCertificateArn>{arn}</CustomDomainCertificateArn>\
             <CustomDomainCertificateExpiryDate>{expiry}</CustomDomainCertificateExpiryDate>",
            escape(domain)
        )
    });
    let tags: String =
        it.tags.iter().map(|(key, value)| format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(key), escape(value))).collect();
    format!(
        "<Cluster><ClusterIdentifier>{}</ClusterIdentifier><NodeType>ra3.large</NodeType><ClusterStatus>available</ClusterStatus>\
         <ClusterAvailabilityStatus>Available</ClusterAvailabilityStatus><MasterUsername>{}</MasterUsername><DBName>{}</DBName>{}{}\
         <NumberOfNodes>1</NumberOfNodes><Encrypted>true</Encrypted><Tags>{tags}</Tags>\
         <ClusterNamespaceArn>arn:aws:redshift:{}:{}:namespace:{}</ClusterNamespaceArn></Cluster>",
        it.id.name,
        it.admin,
        it.databases.first().map_or("dev", String::as_str),
        endpoint.unwrap_or_default(),
        domain.unwrap_or_default(),
        it.id.region,
        it.id.account,
        it.uuid
    )
}

fn granted(grant: &Grant) -> String {
    format!(
        "<DbUser>{}</DbUser><DbPassword>{}</DbPassword><Expiration>{}</Expiration>",
        escape(&grant.login_user),
        escape(&grant.password),
        stamp(grant.expires_at)
    )
}

/// The cluster that is meant, by its name or by its domain. Which error AWS gives for a domain that is not registered is
/// unverified.
fn cluster_name(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    match (form.get("ClusterIdentifier"), form.get("CustomDomainName")) {
        (Some(name), None) => Ok(name.clone()),
        (None, Some(domain)) => {
            let missing = || Fault::new(404, "ClusterNotFound", &format!("Cluster with custom domain {domain} not found."));
            here(aws, call).into_iter().find(|it| domains::is(it, domain)).map(|it| it.id.name).ok_or_else(missing)
        }
        _ => Err(Fault::new(400, "InvalidParameterCombination", "Either ClusterIdentifier or CustomDomainName must be given")),
    }
}

fn find(aws: &Aws, call: &Signed<'_>, name: &str) -> Result<Warehouse, Fault> {
    let (account, region) = (call.caller.account.clone(), call.region.to_owned());
    let id = WarehouseId { kind: WarehouseKind::Cluster, account, region, name: name.to_owned() };
    aws.world.warehouse(&id).ok_or_else(|| Fault::new(404, "ClusterNotFound", &format!("Cluster {name} not found.")))
}

/// The caller's account, even when the cluster belongs to another: that is what AWS evaluates.
fn arn(call: &Signed<'_>, resource: &str) -> String {
    format!("arn:aws:redshift:{}:{}:{resource}", call.region, call.caller.account)
}

fn context(call: &Signed<'_>, form: &Form) -> crate::iam::Context {
    let given = |name: &str| form.get(name).map(String::as_str);
    let keys = [
        ("redshift:DbUser", given("DbUser")),
        ("redshift:DbName", given("DbName")),
        ("redshift:DurationSeconds", given("DurationSeconds")),
    ];
    call.caller.context(call.region, call.now, &keys)
}

/// `Prefix1`, `Prefix2` and so on, in order.
pub(super) fn list(form: &Form, prefix: &str) -> Vec<String> {
    (1..).map_while(|n| form.get(&format!("{prefix}{n}")).cloned()).collect()
}
