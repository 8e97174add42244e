//! The form and the message rules of every failure, and whether a row of the tables of failures
//! came true.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::failure::{Ask, Failure};

const FIELDS: [&str; 8] =
    ["type", "title", "status", "detail", "code", "stage", "call_id", "error"];
const STAGES: [&str; 6] = ["request", "queue", "fetch", "build", "start", "run"];

/// Words that no message has, one a line.
const RETIRED: &str = include_str!("../retired_words.txt");
/// Codes of failures that a limit decides: the detail has its value.
const LIMITED: [&str; 7] =
    ["too_large", "slow", "busy", "deadline", "out_of_memory", "output", "source_size"];
/// The sections of the configuration whose keys are limits of calls.
const SECTIONS: [&str; 2] = ["(limits.", "(jails."];

/// The answer of a failure, whose form is as it has to be.
#[derive(Debug)]
pub(crate) struct Problem {
    pub code: String,
    pub stage: String,
    pub detail: String,
    pub call_id: String,
}

impl Problem {
    /// Reads an answer and checks everything that holds for each failure.
    pub(crate) fn read(answer: &Answer) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what} in {answer}"));
        if !answer.header("content-type")?.starts_with("application/problem+json") {
            return wrong("the content type is not application/problem+json");
        }
        let body = answer.json()?;
        let keys: BTreeSet<&str> =
            body.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        if keys != BTreeSet::from(FIELDS) {
            return wrong("there are other fields than those of a problem");
        }
        if body["status"] != json!(answer.status) {
            return wrong("the status is another one than the answer's");
        }
        let text = |key: &str| match body[key].as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => Err(format!("{key} is no text in {answer}")),
        };
        if text("title")? != text("error")? {
            return wrong("error is not the title");
        }
        text("type")?;
        let problem = Self {
            code: text("code")?,
            stage: text("stage")?,
            detail: text("detail")?,
            call_id: text("call_id")?,
        };
        if !STAGES.contains(&problem.stage.as_str()) {
            return wrong("the stage is none");
        }
        let header = answer.headers.get("x-call-id");
        if header.is_some_and(|header| *header != problem.call_id) {
            return wrong("X-Call-Id is another one than call_id");
        }
        if let Some(fault) = problem.fault() {
            return wrong(&fault);
        }
        if answer.status >= 400 { Ok(problem) } else { wrong("a problem is no success") }
    }

    /// Which rule of messages the detail breaks. The quotes of a request, of a compiler and of a
    /// function have their own words.
    fn fault(&self) -> Option<String> {
        let own = self.detail.split("; stderr:\n").next().unwrap_or_default();
        let own: String = own.split('"').step_by(2).collect();
        let words = words(&own);
        let detail = &self.detail;
        if words.starts_with(" it ") {
            return Some(format!("the detail begins with \"it\": {detail}"));
        }
        let retired = RETIRED.lines().find(|phrase| words.contains(&format!(" {phrase} ")));
        if let Some(phrase) = retired.filter(|_| self.code != "build") {
            return Some(format!("{phrase:?} is a retired word: {detail}"));
        }
        let limited = LIMITED.contains(&self.code.as_str());
        if limited && !own.contains(|c: char| c.is_ascii_digit()) {
            return Some(format!("the detail does not name the value of a limit: {detail}"));
        }
        let has_key = limited && self.stage != "request" && self.code != "source_size";
        if has_key && !SECTIONS.iter().any(|section| own.contains(section)) {
            return Some(format!("the detail does not name the key of a limit: {detail}"));
        }
        None
    }
}

/// The words of a text in small letters, with a blank before and after each.
fn words(text: &str) -> String {
    let small = text.to_lowercase();
    let words = small.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    format!(" {} ", words.collect::<Vec<_>>().join(" "))
}

/// Sends the request of a row and compares the answer with it.
pub(crate) fn expect(client: &Client, failure: &Failure) -> Result<Problem, String> {
    let answer = match failure.ask {
        Ask::Body(body) => client.post(body.as_bytes())?,
        Ask::Made(_, body) => client.post(&body())?,
        Ask::Call { url, call, version, imports } => {
            let mut fields = json!({"url": url, "call": call});
            if let Some(version) = version {
                fields["version"] = version.into();
            }
            if !imports.is_empty() {
                fields["imports"] = Value::from(imports.to_vec());
            }
            client.call(&fields)?
        }
    };
    let problem = Problem::read(&answer)?;
    answer.header("x-call-id")?;
    let got = (answer.status, problem.code.as_str());
    if got != (failure.status, failure.code) {
        return Err(format!("expected {} {}, but got {answer}", failure.status, failure.code));
    }
    if !failure.stage.is_empty() && problem.stage != failure.stage {
        return Err(format!("expected it during {}, but got {answer}", failure.stage));
    }
    match failure.says.iter().find(|says| !problem.detail.contains(**says)) {
        Some(says) => Err(format!("the detail does not say {says:?}: {}", problem.detail)),
        None => Ok(problem),
    }
}
