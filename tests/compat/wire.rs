//! A connection: requests byte by byte as clients sent them, and answers taken apart.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::same;

/// The longest wait for an answer: that of a first call, with the standard library still to be
/// compiled.
const ANSWER_WAIT: Duration = Duration::from_secs(120);
/// What the server of 2017 said that its answers are.
const JSON: &str = "application/json; charset=UTF-8";

/// A client's connection.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Wire {
    pub(crate) fn connect(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).map_err(|e| e.to_string())?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.get_mut().write_all(bytes).map_err(|e| format!("nothing can be sent: {e}"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).map_err(|e| format!("no answer: {e}"))?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| format!("no line: {line:?}"))
    }

    /// The next answer, whose length the server has to tell.
    pub(crate) fn answer(&mut self) -> Result<Answer, String> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| format!("no status: {first:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| format!("{line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        // 100 Continue is a head alone.
        if status != 100 {
            let length = answer.header("content-length")?;
            let mut body = vec![0; length.parse().map_err(|e| format!("{e}: {length}"))?];
            self.stream.read_exact(&mut body).map_err(|e| format!("the body is cut: {e}"))?;
            answer.body = String::from_utf8(body).map_err(|e| e.to_string())?;
        }
        Ok(answer)
    }

    /// Fails unless the server has hung up, with all that it sent read.
    pub(crate) fn ends(&mut self) -> Result<(), String> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).map_err(|e| format!("still connected: {e}"))?;
        same(rest.len(), 0)
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Result<&str, String> {
        let mut all = self.headers.iter().filter(|(header, _)| header == name);
        match (all.next(), all.next()) {
            (Some((_, value)), None) => Ok(value),
            (None, _) => Err(format!("there is no {name} in {self:?}")),
            _ => Err(format!("{name} is there twice in {self:?}")),
        }
    }

    /// The body of an answer with this status, which has to be JSON of the type of 2017.
    pub(crate) fn json(&self, status: u16) -> Result<Value, String> {
        same(self.status, status).map_err(|e| format!("{e}: {}", self.body))?;
        same(self.header("content-type")?, JSON)?;
        serde_json::from_str(&self.body).map_err(|e| format!("{e}: {}", self.body))
    }

    /// The data of a call that succeeded, whose body has to be that of 2017 byte for byte: two keys
    /// in this order, the time as a whole number, no blank and no end of line.
    pub(crate) fn data(&self) -> Result<String, String> {
        let body = self.json(200)?;
        let (stamp, data) = (body["timestamp"].as_u64(), body["data"].as_str());
        let (Some(stamp), Some(data)) = (stamp, data) else {
            return Err(format!("other types than those of 2017: {body}"));
        };
        let written = serde_json::to_string(data).map_err(|e| e.to_string())?;
        same(&*self.body, &*format!(r#"{{"timestamp":{stamp},"data":{written}}}"#))?;
        let now = UNIX_EPOCH.elapsed().map_err(|e| e.to_string())?.as_secs();
        if stamp > now || now - stamp > ANSWER_WAIT.as_secs() {
            return Err(format!("{stamp} is not the time of the answer"));
        }
        Ok(data.to_owned())
    }

    /// What `error` says in an answer with this status.
    pub(crate) fn error(&self, status: u16) -> Result<String, String> {
        same(self.status, status).map_err(|e| format!("{e}: {}", self.body))?;
        let body: Value = serde_json::from_str(&self.body).map_err(|e| e.to_string())?;
        let error = body["error"].as_str().filter(|error| !error.is_empty());
        error.map(str::to_owned).ok_or_else(|| format!("no error in {body}"))
    }
}
