//! What has to come of a row: an answer with exactly this data, or a failure with exactly this
//! status and code; and what no answer may show.

use serde_json::json;

use crate::client::Answer;

/// What an answer never has: lines of the host's files, and folders of this host.
const SECRETS: [&str; 4] = ["root:x:0:", "root:*:0:", "/sky-hostile-", "daemon:"];

/// What has to come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// 200 and this text.
    Answers(&'static str),
    /// This status and code, and these texts in the detail.
    Fails(u16, &'static str, &'static [&'static str]),
}

/// The name of a row's test: its kind, what is handed in, and the advisory.
pub(crate) fn title(kind: &str, what: &str, advisory: &str) -> String {
    match advisory {
        "" => format!("{kind}: {what}"),
        _ => format!("{kind}: {what} ({advisory})"),
    }
}

impl Expect {
    /// Compares an answer of the function API with what has to come.
    pub(crate) fn check(self, answer: &Answer) -> Result<(), String> {
        let text = String::from_utf8_lossy(&answer.body);
        if let Some(secret) = SECRETS.iter().find(|secret| text.contains(**secret)) {
            return Err(format!("the answer shows {secret:?}: {answer}"));
        }
        match self {
            Self::Answers(data) => {
                let got = answer.data()?;
                if got == json!({"data": data}) {
                    return Ok(());
                }
                Err(format!("expected {data:?}, but got {got}"))
            }
            Self::Fails(status, code, says) => {
                let body = answer.json()?;
                if answer.status != status || body["code"] != code {
                    return Err(format!("expected {status} {code}, but got {answer}"));
                }
                let detail = body["detail"].as_str().unwrap_or_default();
                if detail.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
                    return Err(format!("the detail has control characters: {detail:?}"));
                }
                match says.iter().find(|says| !detail.contains(**says)) {
                    Some(says) => Err(format!("the detail does not say {says:?}: {detail}")),
                    None => Ok(()),
                }
            }
        }
    }
}
