//! Where IAM listens. It is one service for a whole partition, and signs for one region of it.

/// URL and signing region (AWS General Reference, "IAM endpoints"; the partitions' rule sets of botocore).
pub(super) fn of(partition: &str, fips: bool) -> (&'static str, &'static str) {
    match partition {
        "aws-cn" => ("https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        "aws-us-gov" => ("https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
        "aws-eusc" => ("https://iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        "aws-iso" => ("https://iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        "aws-iso-b" => ("https://iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
        "aws-iso-e" => ("https://iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
        "aws-iso-f" => ("https://iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
        _ if fips => ("https://iam-fips.amazonaws.com", "us-east-1"),
        _ => ("https://iam.amazonaws.com", "us-east-1"),
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn each_partition_has_its_own_and_signs_for_a_region_of_it() {
        for (partition, fips, host, region) in [
            ("aws", false, "iam.amazonaws.com", "us-east-1"),
            ("aws", true, "iam-fips.amazonaws.com", "us-east-1"),
            ("aws-cn", false, "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("aws-us-gov", true, "iam.us-gov.amazonaws.com", "us-gov-west-1"),
        ] {
            assert_eq!(of(partition, fips), (format!("https://{host}").as_str(), region), "{partition} {fips}");
        }
    }
}
