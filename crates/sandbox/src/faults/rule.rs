//! One rule of a fault script: its text form and what it means. `docs/sandbox.md` describes the grammar to users.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::aws::{ACTIONS, ISSUING};
use crate::clock::Offset;
use crate::iam::matches_text;

/// Which calls go wrong, how, and when. The text form is `ACTION:FAULT[@WHEN]`, for example
/// `GetClusterCredentials:throttle,retry-after=2s@0.5`, `*:500@3`, `DescribeClusters:hang@1..4`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// An API action; `*` and `?` stand for any text and any character.
    pub action: String,
    /// What happens.
    pub effect: Effect,
    /// Which of the matching calls it happens to.
    pub when: When,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// HTTP 400 `Throttling` "Rate exceeded"; `ThrottlingException` of JSON services.
    Throttle {
        /// The `Retry-After` header, in seconds.
        retry_after: Option<u64>,
    },
    /// An error answer.
    Error {
        /// HTTP status, 400 to 599.
        status: u16,
        /// AWS's error code.
        code: String,
        /// The `Retry-After` header, in seconds.
        retry_after: Option<u64>,
    },
    /// `AccessDenied`, in the words that AWS has for a service control policy.
    Deny,
    /// Never answered: the connection stays open until the client leaves or the sandbox stops.
    Hang,
    /// The connection is closed without an answer. The call has no effect.
    Drop,
    /// Half of the answer's body arrives, then the connection is closed. The call has had its effect.
    Truncate,
    /// Status 200 with the HTML page of a captive portal.
    Garbage,
    /// The answer comes later, in real time.
    Delay(Duration),
    /// A credential issued by this call opens sessions for this long only, whatever AWS says of its expiry.
    ExpireEarly(Duration),
    /// After the call the sandbox's clock moves by this much.
    Clock(Offset),
    /// After the call the warehouse that it names moves to another port, as [`Sandbox::move_endpoint`](crate::Sandbox::move_endpoint)
    /// does. A call that names none moves nothing.
    Move,
}

/// Which calls that match a rule's action are meant, counted from 1 since the rule was added.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Every call.
    Always,
    /// From the first to the last, both included.
    Calls {
        /// At least 1.
        first: u64,
        /// At least `first`.
        last: u64,
    },
    /// Each call with this probability. The same seed makes the same choices.
    Chance {
        /// From 0 to 1.
        probability: f64,
        /// Where the generator starts.
        seed: u64,
    },
}

const SHAPE: &str = "a fault is written ACTION:FAULT[@WHEN], for example GetClusterCredentials:throttle@0.5";
const FAULTS: &str =
    "throttle, deny, hang, drop, truncate, garbage, delay=DURATION, expire-early=DURATION, clock=OFFSET, move or a status such as 503";
const WHENS: &str = "a call's number (3), a range (1..4, ..4, 4..), or a probability with a point in it (0.5; 0.5,seed=7)";

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("'{text}': {why}");
        let (action, rest) = text.split_once(':').ok_or_else(|| wrong(SHAPE.to_owned()))?;
        let (effect, when) = match rest.split_once('@') {
            Some((effect, when)) => (effect, when.parse().map_err(wrong)?),
            None => (rest, When::Always),
        };
        let effect: Effect = effect.parse().map_err(wrong)?;
        if !ACTIONS.iter().any(|it| matches_text(action, it)) {
            // There are many; those that begin alike are more likely meant.
            let alike = |it: &&str| action.get(..4).is_some_and(|start| it.starts_with(start));
            let near: Vec<&str> = ACTIONS.into_iter().filter(alike).collect();
            let shown = if near.is_empty() { ACTIONS.join(", ") } else { near.join(", ") };
            return Err(wrong(format!("the sandbox has no action '{action}'; there are {shown}")));
        }
        if matches!(effect, Effect::ExpireEarly(_)) && !ISSUING.iter().any(|it| matches_text(action, it)) {
            return Err(wrong(format!("only these issue what can expire: {}", ISSUING.join(", "))));
        }
        Ok(Self { action: action.to_owned(), effect, when })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.action, self.effect)?;
        match &self.when {
            When::Always => Ok(()),
            when => write!(f, "@{when}"),
        }
    }
}

impl FromStr for Effect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut items = text.split(',');
        let head = items.next().unwrap_or_default();
        let (name, value) = head.split_once('=').map_or((head, None), |(name, value)| (name, Some(value)));
        let mut options = Options::read(name, items)?;
        let effect = match (name, value) {
            ("throttle", None) => Self::Throttle { retry_after: options.retry_after.take() },
            ("deny", None) => Self::Deny,
            ("hang", None) => Self::Hang,
            ("drop", None) => Self::Drop,
            ("truncate", None) => Self::Truncate,
            ("garbage", None) => Self::Garbage,
            ("delay", Some(value)) => Self::Delay(duration(value)?),
            ("expire-early", Some(value)) => Self::ExpireEarly(duration(value)?),
            ("clock", Some(value)) => Self::Clock(value.parse()?),
            ("clock", None) => return Err("clock needs an offset: clock=1h, clock=-20m".to_owned()),
            ("move", None) => Self::Move,
            ("delay" | "expire-early", None) => return Err(format!("{name} needs a duration: {name}=250ms")),
            (status, None) if status.bytes().all(|it| it.is_ascii_digit()) && !status.is_empty() => options.error(status)?,
            _ => return Err(format!("there is no fault '{head}'; there are {FAULTS}")),
        };
        match options.excess() {
            Some(option) => Err(format!("{name} takes no option {option}")),
            None => Ok(effect),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retry = |it: &Option<u64>| it.map_or_else(String::new, |seconds| format!(",retry-after={seconds}s"));
        match self {
            Self::Throttle { retry_after } => write!(f, "throttle{}", retry(retry_after)),
            Self::Error { status, code, retry_after } => write!(f, "{status},code={code}{}", retry(retry_after)),
            Self::Deny => f.write_str("deny"),
            Self::Hang => f.write_str("hang"),
            Self::Drop => f.write_str("drop"),
            Self::Truncate => f.write_str("truncate"),
            Self::Garbage => f.write_str("garbage"),
            Self::Delay(by) => write!(f, "delay={}", compact(*by)),
            Self::ExpireEarly(life) => write!(f, "expire-early={}", compact(*life)),
            Self::Clock(by) => write!(f, "clock={}", by.to_string().replace(' ', "")),
            Self::Move => f.write_str("move"),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' does not say when: {WHENS}");
        let number = |text: &str| text.parse::<u64>().ok().filter(|it| *it > 0);
        if let Some((first, last)) = text.split_once("..") {
            let bound = |text: &str, absent| if text.is_empty() { Some(absent) } else { number(text) };
            let range = bound(first, 1).zip(bound(last, u64::MAX)).filter(|(first, last)| first <= last);
            return range.map(|(first, last)| Self::Calls { first, last }).ok_or_else(wrong);
        }
        let (chance, seed) = match text.split_once(",seed=") {
            Some((chance, seed)) => (chance, seed.parse().map_err(|_| wrong())?),
            None => (text, 0),
        };
        if chance.contains('.') {
            let probability = chance.parse().ok().filter(|it| (0.0..=1.0).contains(it)).ok_or_else(wrong)?;
            return Ok(Self::Chance { probability, seed });
        }
        number(text).map(|n| Self::Calls { first: n, last: n }).ok_or_else(wrong)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("1.."),
            Self::Calls { first, last: u64::MAX } => write!(f, "{first}.."),
            Self::Calls { first, last } if first == last => write!(f, "{first}"),
            Self::Calls { first, last } => write!(f, "{first}..{last}"),
            Self::Chance { probability, seed: 0 } => write!(f, "{probability:?}"),
            Self::Chance { probability, seed } => write!(f, "{probability:?},seed={seed}"),
        }
    }
}

/// `code=` and `retry-after=`, before it is known whether the fault takes them.
#[derive(Default)]
struct Options {
    code: Option<String>,
    retry_after: Option<u64>,
}

impl Options {
    fn read<'a>(fault: &str, items: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut options = Self::default();
        for item in items {
            match item.split_once('=') {
                Some(("code", code)) if !code.is_empty() && code.bytes().all(|it| it.is_ascii_alphanumeric()) => {
                    options.code = Some(code.to_owned());
                }
                Some(("code", code)) => return Err(format!("'{code}' is no error code: letters and digits")),
                // The header counts whole seconds (RFC 9110, 10.2.3).
                Some(("retry-after", value)) => {
                    let seconds = duration(value).ok().filter(|it| it.subsec_nanos() == 0).map(|it| it.as_secs());
                    options.retry_after = Some(seconds.ok_or_else(|| format!("'{value}' is not a number of whole seconds such as 2s"))?);
                }
                _ => return Err(format!("{fault} takes no option '{item}'; there are code=CODE and retry-after=SECONDS")),
            }
        }
        Ok(options)
    }

    fn error(&mut self, status: &str) -> Result<Effect, String> {
        let status = status.parse().ok().filter(|it| (400..=599).contains(it));
        let status: u16 = status.ok_or_else(|| "a status of an error is from 400 to 599".to_owned())?;
        let usual = match status {
            500 => Some("InternalFailure"),
            503 => Some("ServiceUnavailable"),
            _ => None,
        };
        let code = self.code.take().or_else(|| usual.map(str::to_owned));
        let code = code.ok_or_else(|| format!("say which error {status} is: {status},code=CODE"))?;
        Ok(Effect::Error { status, code, retry_after: self.retry_after.take() })
    }

    fn excess(&self) -> Option<&'static str> {
        let given = [("code", self.code.is_some()), ("retry-after", self.retry_after.is_some())];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| format!("'{text}' is no duration such as 250ms, 2s or 1h"))
}

/// Without the spaces that humantime puts between units.
fn compact(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_and_written_back() {
        let error = |status, code: &str, retry_after| Effect::Error { status, code: code.to_owned(), retry_after };
        let calls = |first, last| When::Calls { first, last };
        let chance = |probability, seed| When::Chance { probability, seed };
        for (text, action, effect, when) in [
            ("GetClusterCredentials:throttle@0.5", "GetClusterCredentials", Effect::Throttle { retry_after: None }, chance(0.5, 0)),
            (
                "GetCredentials:throttle,retry-after=2s@0.5,seed=7",
                "GetCredentials",
                Effect::Throttle { retry_after: Some(2) },
                chance(0.5, 7),
            ),
            ("*:500@3", "*", error(500, "InternalFailure", None), calls(3, 3)),
            ("*:503,retry-after=1m@..2", "*", error(503, "ServiceUnavailable", Some(60)), calls(1, 2)),
            ("*:400,code=LimitExceededFault", "*", error(400, "LimitExceededFault", None), When::Always),
            ("DescribeClusters:hang@1..4", "DescribeClusters", Effect::Hang, calls(1, 4)),
            ("Assume*:drop@2..", "Assume*", Effect::Drop, calls(2, u64::MAX)),
            ("*:truncate", "*", Effect::Truncate, When::Always),
            ("*:garbage@1.0", "*", Effect::Garbage, chance(1.0, 0)),
            ("GetWorkgroup:deny", "GetWorkgroup", Effect::Deny, When::Always),
            ("*:delay=1m30s", "*", Effect::Delay(Duration::from_secs(90)), When::Always),
            ("*:clock=1h30m@3", "*", Effect::Clock(Offset::Ahead(Duration::from_secs(5_400))), calls(3, 3)),
            ("*:clock=-20m", "*", Effect::Clock(Offset::Behind(Duration::from_secs(1_200))), When::Always),
            ("GetClusterCredentials:move@1", "GetClusterCredentials", Effect::Move, calls(1, 1)),
            ("Get*Credentials*:expire-early=1m", "Get*Credentials*", Effect::ExpireEarly(Duration::from_secs(60)), When::Always),
        ] {
            let rule: Rule = text.parse().unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(rule, Rule { action: action.to_owned(), effect, when }, "{text}");
            assert_eq!(rule.to_string().parse(), Ok(rule), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for (text, why) in [
            ("", "ACTION:FAULT"),
            ("hang", "ACTION:FAULT"),
            ("GetClusterCredential:hang", "no action 'GetClusterCredential'; there are GetCallerIdentity, GetClusterCredentials, "),
            ("Launch:hang", "no action 'Launch'; there are AddUserToGroup, "),
            (":hang", "no action ''"),
            ("*:hangs", "no fault 'hangs'; there are throttle"),
            ("*:", "no fault ''"),
            ("*:hang=1s", "no fault 'hang=1s'"),
            ("*:hang,retry-after=1s", "hang takes no option retry-after"),
            ("*:throttle,code=X", "throttle takes no option code"),
            ("*:throttle,after=1s", "no option 'after=1s'; there are code=CODE"),
            ("*:throttle,retry-after=500ms", "'500ms' is not a number of whole seconds"),
            ("*:503,code=<b>", "'<b>' is no error code"),
            ("*:404", "say which error 404 is: 404,code=CODE"),
            ("*:200", "from 400 to 599"),
            ("*:99999", "from 400 to 599"),
            ("*:delay", "delay needs a duration"),
            ("*:delay=soon", "'soon' is no duration"),
            ("*:clock", "clock needs an offset"),
            ("*:clock=soon", "'soon' is no offset"),
            ("*:move=1", "no fault 'move=1'"),
            ("DescribeClusters:expire-early=1m", "only these issue what can expire: GetClusterCredentials,"),
            ("*:hang@", "'' does not say when: a call's number"),
            ("*:hang@0", "'0' does not say when"),
            ("*:hang@4..1", "'4..1' does not say when"),
            ("*:hang@1.5", "'1.5' does not say when"),
            ("*:hang@-0.5", "'-0.5' does not say when"),
            ("*:hang@0.5,seed=x", "'0.5,seed=x' does not say when"),
            ("*:hang@3,seed=1", "'3,seed=1' does not say when"),
        ] {
            let error = text.parse::<Rule>().unwrap_err();
            assert!(error.starts_with(&format!("'{text}': ")) && error.contains(why), "{text}: {error}");
        }
    }
}
