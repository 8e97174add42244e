//! Requests to a server, and its answers taken apart.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use ureq::http::{Request, Response};

use crate::case::{Case, Data};

/// The longest way of a call: queue, fetch, build and run at their deadlines, and some.
const ANSWER_WAIT: Duration = Duration::from_secs(240);
/// How often a call is sent again that the server was too busy for.
const BUSY_RETRIES: usize = 10;
/// The longest pause before it is sent again.
const BUSY_PAUSE: u64 = 5;
/// Where functions are called.
pub(crate) const FUNCTION: &str = "/api/v1/function";
/// A call as it goes over a connection that is closed after the answer.
pub(crate) fn written(url: &str, call: &str) -> String {
    let body = json!({"url": url, "call": call}).to_string();
    let length = body.len();
    format!(
        "POST {FUNCTION} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The parts of a call's way, as `Server-Timing` names them.
pub(crate) const STAGES: [&str; 5] = ["queue", "fetch", "build", "start", "run"];

/// Sends requests to one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
}

/// An answer with its body read.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(ANSWER_WAIT))
            .max_idle_connections(0)
            .build();
        Self { agent: config.into(), base: format!("http://127.0.0.1:{port}") }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, String> {
        self.send("GET", path, &[])
    }

    /// Sends any request; a body is said to be JSON.
    pub(crate) fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, String> {
        self.send_with(method, path, &[], body)
    }

    /// The same with headers.
    pub(crate) fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = if method == "GET" || method == "DELETE" {
            request.body(()).map_err(|e| e.to_string()).map(|request| self.agent.run(request))
        } else {
            let request = request.header("content-type", "application/json").body(body);
            request.map_err(|e| e.to_string()).map(|request| self.agent.run(request))
        }?;
        Answer::read(response.map_err(|e| format!("{method} {path}: {e}"))?)
    }

    /// Calls a function with a body as it stands.
    pub(crate) fn post(&self, body: &[u8]) -> Result<Answer, String> {
        self.send("POST", FUNCTION, body)
    }

    /// Calls a function with a header of the caller's own.
    pub(crate) fn post_with(&self, header: (&str, &str), body: &[u8]) -> Result<Answer, String> {
        let request = Request::post(format!("{}{FUNCTION}", self.base)).header(header.0, header.1);
        let request = request.body(body).map_err(|e| e.to_string())?;
        Answer::read(self.agent.run(request).map_err(|e| format!("POST {FUNCTION}: {e}"))?)
    }

    /// Calls a function, again where the server had no room for the call.
    pub(crate) fn call(&self, fields: &Value) -> Result<Answer, String> {
        let body = fields.to_string();
        for _ in 0..BUSY_RETRIES {
            let answer = self.post(body.as_bytes())?;
            if answer.status != 503 {
                return Ok(answer);
            }
            let pause = answer.headers.get("retry-after").and_then(|pause| pause.parse().ok());
            sleep(Duration::from_secs(pause.unwrap_or(1).min(BUSY_PAUSE)));
        }
        Err(format!("the server was busy {BUSY_RETRIES} times"))
    }

    /// Makes the call of a table's row and compares what comes with what has to come.
    pub(crate) fn expect(&self, case: &Case) -> Result<Answer, String> {
        let answer = self.call(&fields(case))?;
        let data = answer.data()?;
        let right = match case.data {
            Data::Text(text) => data == json!({"data": text}),
            Data::Bytes(bytes) => {
                data == json!({"data": BASE64.encode(bytes), "encoding": "base64"})
            }
        };
        if right { Ok(answer) } else { Err(format!("got {data}, but expected {:?}", case.data)) }
    }
}

/// The body that asks for a table's row.
pub(crate) fn fields(case: &Case) -> Value {
    let mut fields = json!({"url": case.url, "call": case.call});
    if let Some(version) = case.version {
        fields["version"] = version.into();
    }
    if !case.imports.is_empty() {
        fields["imports"] = json!(case.imports);
    }
    fields
}

impl Answer {
    fn read(mut response: Response<ureq::Body>) -> Result<Self, String> {
        let text =
            |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(|(k, v)| (k.to_string(), text(v))).collect(),
            body: response.body_mut().read_to_vec().map_err(|e| e.to_string())?,
        })
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.body).map_err(|e| format!("{e} in {self}"))
    }

    /// The body of a success without its time, which has to be a whole number of today.
    pub(crate) fn data(&self) -> Result<Value, String> {
        if self.status != 200 {
            return Err(format!("expected 200, but got {self}"));
        }
        let mut body = self.json()?;
        let stamp = body.as_object_mut().and_then(|body| body.remove("timestamp"));
        let now = std::time::UNIX_EPOCH.elapsed().map_err(|e| e.to_string())?.as_secs();
        match stamp.as_ref().and_then(Value::as_u64) {
            Some(stamp) if stamp <= now && now - stamp < ANSWER_WAIT.as_secs() => Ok(body),
            _ => Err(format!("the timestamp is not the time of the answer in {self}")),
        }
    }

    /// A header that has to be there.
    pub(crate) fn header(&self, name: &str) -> Result<&str, String> {
        self.headers.get(name).map(String::as_str).ok_or_else(|| format!("no {name} with {self}"))
    }

    /// The milliseconds of each stage, which have to be all stages in their order.
    pub(crate) fn timing(&self) -> Result<BTreeMap<String, f64>, String> {
        let header = self.header("server-timing")?;
        let part = |part: &str| {
            let (name, rest) = part.trim().split_once(';')?;
            Some((name.to_owned(), rest.trim().strip_prefix("dur=")?.parse::<f64>().ok()?))
        };
        let parts: Option<Vec<_>> = header.split(',').map(part).collect();
        let parts = parts.ok_or_else(|| format!("Server-Timing is not readable: {header}"))?;
        if !parts.iter().map(|(name, _)| name).eq(STAGES.iter()) {
            return Err(format!("Server-Timing has other stages than {STAGES:?}: {header}"));
        }
        Ok(parts.into_iter().collect())
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
