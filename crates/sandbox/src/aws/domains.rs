//! Custom domains of clusters (query protocol) and workgroups (JSON).

use serde_json::{Value, json};

use super::fault::{Fault, escape};
use super::redshift::{Form, here, page_of};
use super::{Aws, Signed};
use crate::world::Warehouse;

/// No certificate of the sandbox outlives it; this is what AWS tells of the one in ACM.
const EXPIRY: &str = "2035-01-01T00:00:00Z";

/// Whether the warehouse has this domain. Host names are alike in any case.
pub(super) fn is(warehouse: &Warehouse, domain: &str) -> bool {
    warehouse.custom_domain.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(domain))
}

/// ARN and expiry of the certificate for the warehouse's domain.
pub(super) fn certificate(it: &Warehouse) -> (String, &'static str) {
    (format!("arn:aws:acm:{}:{}:certificate/{}", it.id.region, it.id.account, it.uuid), EXPIRY)
}

/// `DescribeCustomDomainAssociations`. A name that is asked for and not registered is an error (API reference); that a
/// certificate's ARN that is not known gives an empty list is unverified.
pub(super) fn describe(aws: &Aws, call: &Signed<'_>, form: &Form) -> Result<String, Fault> {
    call.caller.authorize("redshift:DescribeCustomDomainAssociations", "*", &call.caller.context(call.region, call.now, &[]))?;
    let (domain, arn) = (form.get("CustomDomainName"), form.get("CustomDomainCertificateArn"));
    let wanted = |it: &Warehouse| {
        it.custom_domain.is_some() && domain.is_none_or(|domain| is(it, domain)) && arn.is_none_or(|arn| certificate(it).0 == *arn)
    };
    let found: Vec<Warehouse> = here(aws, call).into_iter().filter(wanted).collect();
    if let Some(domain) = domain.filter(|_| found.is_empty()) {
        let message = format!("Custom domain association {domain} not found.");
        return Err(Fault::new(404, "CustomDomainAssociationNotFoundFault", &message));
    }
    let (shown, marker) = page_of(form, found)?;
    let associations: String = shown.iter().map(association_xml).collect();
    Ok(format!("<Associations>{associations}</Associations>{marker}"))
}

fn association_xml(it: &Warehouse) -> String {
    let (arn, expiry) = certificate(it);
    format!(
        "<Association><CustomDomainCertificateArn>{arn}</CustomDomainCertificateArn>\
         <CustomDomainCertificateExpiryDate>{expiry}</CustomDomainCertificateExpiryDate><CertificateAssociations>\
         <CertificateAssociation><CustomDomainName>{}</CustomDomainName><ClusterIdentifier>{}</ClusterIdentifier>\
         </CertificateAssociation></CertificateAssociations></Association>",
        escape(it.custom_domain.as_deref().unwrap_or_default()),
        it.id.name
    )
}

/// A workgroup's association, as `ListCustomDomainAssociations` and `GetCustomDomainAssociation` show it; `None` without one.
pub(super) fn association_json(it: &Warehouse) -> Option<Value> {
    let (arn, expiry) = certificate(it);
    Some(json!({
        "customDomainName": it.custom_domain.as_ref()?,
        "workgroupName": it.id.name,
        "customDomainCertificateArn": arn,
        "customDomainCertificateExpiryTime": expiry,
    }))
}
