//! Reading a Redshift host name. Only a whole match of AWS's own suffixes counts: a name that merely contains one
//! belongs to somebody else.
//!
//! Grammar: Management Guide, "Connecting to Amazon Redshift Serverless" and "Finding your cluster connection string".

use super::names;

/// What a host name tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostName {
    /// `id.suffix.region.redshift.amazonaws.com`.
    Cluster {
        /// Cluster identifier.
        id: String,
        /// AWS region.
        region: String,
    },
    /// `workgroup.account.region.redshift-serverless.amazonaws.com`.
    Workgroup {
        /// Workgroup name.
        name: String,
        /// AWS region.
        region: String,
    },
    /// An AWS host that does not say which cluster or workgroup stands behind it: a Redshift-managed VPC endpoint, a
    /// network load balancer, `account.region.redshift-serverless...`.
    Nameless {
        /// AWS region, where the name tells it.
        region: Option<String>,
        /// Whether it can only be a workgroup.
        serverless: bool,
    },
    /// Anything else: a custom domain, an alias, a tunnel.
    Foreign,
}

/// DNS suffixes of the AWS partitions that have Redshift.
const SUFFIXES: [&str; 7] =
    ["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "c2s.ic.gov", "sc2s.sgov.gov", "cloud.adc-e.uk", "csp.hci.ic.gov"];

impl HostName {
    /// Reads a host name; case and one trailing dot do not matter, as in DNS.
    pub fn parse(host: &str) -> Self {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let Some(labels) = aws_labels(&host) else { return Self::Foreign };
        match labels.as_slice() {
            [id, _, region, "redshift" | "redshift-dev"] if names::is_region(region) => Self::cluster(id, region),
            [name, account, region, "redshift-serverless" | "redshift-serverless-dev"]
                if is_account(account) && names::is_region(region) =>
            {
                Self::workgroup(name, region)
            }
            [account, region, "redshift-serverless" | "redshift-serverless-dev"] if is_account(account) && names::is_region(region) => {
                Self::Nameless { region: Some((*region).to_owned()), serverless: true }
            }
            [.., "elb", region] | [.., region, "elb"] | [.., region, "vpce"] if names::is_region(region) => {
                Self::Nameless { region: Some((*region).to_owned()), serverless: false }
            }
            _ => Self::Foreign,
        }
    }

    /// Whether AWS alone can answer under this name as a warehouse.
    pub fn is_redshift(&self) -> bool {
        matches!(self, Self::Cluster { .. } | Self::Workgroup { .. }) || matches!(self, Self::Nameless { serverless: true, .. })
    }

    fn cluster(id: &str, region: &str) -> Self {
        // A Redshift-managed VPC endpoint is named NAME-endpoint-SUFFIX; the name is not a cluster's.
        if id.contains("-endpoint-") || names::cluster(id).is_err() {
            return Self::Nameless { region: Some(region.to_owned()), serverless: false };
        }
        Self::Cluster { id: id.to_owned(), region: region.to_owned() }
    }

    fn workgroup(name: &str, region: &str) -> Self {
        if name.contains("-endpoint-") || names::workgroup(name).is_err() {
            return Self::Nameless { region: Some(region.to_owned()), serverless: true };
        }
        Self::Workgroup { name: name.to_owned(), region: region.to_owned() }
    }
}

/// The labels before one of AWS's suffixes.
fn aws_labels(host: &str) -> Option<Vec<&str>> {
    let rest = SUFFIXES.iter().find_map(|suffix| host.strip_suffix(suffix)?.strip_suffix('.'))?;
    let labels: Vec<&str> = rest.split('.').collect();
    let legal = |label: &&str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    labels.iter().all(legal).then_some(labels)
}

fn is_account(label: &str) -> bool {
    label.len() == 12 && label.bytes().all(|byte| byte.is_ascii_digit())
}

/// Splits `host[:port][/database]`; an IPv6 address stands in brackets.
pub fn split(text: &str) -> Option<(&str, Option<u16>, Option<&str>)> {
    let (address, database) = match text.split_once('/') {
        Some((_, "")) => return None,
        Some((address, database)) => (address, Some(database)),
        None => (text, None),
    };
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok().filter(|port| *port != 0)?),
        Some(_) => return None,
        None => None,
    };
    is_host(host).then_some((host, port, database))
}

/// Whether this can be dialled: a host name or an IP address.
pub fn is_host(host: &str) -> bool {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let legal = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    !name.is_empty() && name.len() <= 253 && name.split('.').all(legal)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cluster(id: &str, region: &str) -> HostName {
        HostName::Cluster { id: id.into(), region: region.into() }
    }

    fn workgroup(name: &str, region: &str) -> HostName {
        HostName::Workgroup { name: name.into(), region: region.into() }
    }

    fn nameless(region: &str, serverless: bool) -> HostName {
        HostName::Nameless { region: Some(region.into()), serverless }
    }

    #[test]
    fn hosts_tell_what_they_are() {
        for (host, expected) in [
            ("my.abc.us-east-2.redshift.amazonaws.com", cluster("my", "us-east-2")),
            ("redshift-cluster-1.aaaaaaaaaaaa.us-east-2.redshift.amazonaws.com", cluster("redshift-cluster-1", "us-east-2")),
            ("my.abc.us-gov-west-1.redshift.amazonaws.com", cluster("my", "us-gov-west-1")),
            ("my-cluster.c2mf5zd3u3sv.cn-north-1.redshift.amazonaws.com.cn", cluster("my-cluster", "cn-north-1")),
            ("my.abc.eusc-de-east-1.redshift.amazonaws.eu", cluster("my", "eusc-de-east-1")),
            ("my.abc.us-east-1.redshift-dev.amazonaws.com", cluster("my", "us-east-1")),
            ("MY.ABC.US-EAST-1.REDSHIFT.AMAZONAWS.COM", cluster("my", "us-east-1")),
            ("my.abc.us-east-1.redshift.amazonaws.com.", cluster("my", "us-east-1")),
            ("testwg1.012345678901.us-east-2.redshift-serverless.amazonaws.com", workgroup("testwg1", "us-east-2")),
            ("default.518627716765.cn-north-1.redshift-serverless.amazonaws.com.cn", workgroup("default", "cn-north-1")),
            ("012345678901.ap-northeast-3.redshift-serverless.amazonaws.com", nameless("ap-northeast-3", true)),
            ("012345678901.cn-north-1.redshift-serverless.amazonaws.com.cn", nameless("cn-north-1", true)),
            ("ep-endpoint-abc.012345678901.us-east-1.redshift-serverless.amazonaws.com", nameless("us-east-1", true)),
            ("x-endpoint-abc.def.us-east-1.redshift.amazonaws.com", nameless("us-east-1", false)),
            ("nlbjdbc-NLB-b34deba1736c83fe.elb.us-east-1.amazonaws.com", nameless("us-east-1", false)),
            ("vpce-0abc.redshift.us-east-1.vpce.amazonaws.com", nameless("us-east-1", false)),
            ("x.y.us-east-1.redshift.amazonaws.com.evil.com", HostName::Foreign),
            ("x.y.us-east-1xredshift.amazonaws.com", HostName::Foreign),
            ("x.y.us-east-1.redshift.amazonaws.com..", HostName::Foreign),
            ("x.y.us-east-1.redshift.amazonawsxcom", HostName::Foreign),
            ("x.y.us-east-1.redshift.evilamazonaws.com", HostName::Foreign),
            ("a.b.c.abc.us-east-1.redshift.amazonaws.com", HostName::Foreign),
            ("my.abc.nowhere.redshift.amazonaws.com", HostName::Foreign),
            (".abc.us-east-1.redshift.amazonaws.com", HostName::Foreign),
            ("redshift.company.prod.redshift.company.com", HostName::Foreign),
            ("redshift.myproject.prod.redshift.amazonaws.mycompany.com", HostName::Foreign),
            ("data.example.com", HostName::Foreign),
            ("localhost", HostName::Foreign),
            ("", HostName::Foreign),
        ] {
            assert_eq!(HostName::parse(host), expected, "{host}");
        }
    }

    #[test]
    fn addresses_are_split() {
        for (text, expected) in [
            ("h", Some(("h", None, None))),
            ("h:5439", Some(("h", Some(5439), None))),
            ("h:5439/dev", Some(("h", Some(5439), Some("dev")))),
            ("h/dev", Some(("h", None, Some("dev")))),
            ("[::1]:5439/dev", Some(("::1", Some(5439), Some("dev")))),
            ("127.0.0.1:1", Some(("127.0.0.1", Some(1), None))),
            ("h:0", None),
            ("h:65536", None),
            ("h:", None),
            ("h:+1", None),
            ("h/", None),
            ("[::1", None),
            ("[::1]x", None),
            ("::1", None),
            ("h h", None),
            ("-h", None),
            ("", None),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (HostName::parse(&text), split(&text));
        }

        #[test]
        fn a_suffix_of_somebody_else_is_foreign(evil in "[a-z]{1,10}\\.[a-z]{2,5}") {
            let name = format!("x.y.us-east-1.redshift.amazonaws.com.{evil}");
            prop_assert!(!HostName::parse(&name).is_redshift() || evil == "com.cn");
        }
    }
}
