//! A client of the admin API.

use std::io;
use std::time::Duration;

use ::server::calls::Code;
use ::server::config::variable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{HeaderName, Method, Request, Response};

use crate::cli::operate::server::Server;
use crate::cli::operate::table::plain;
use crate::cli::operate::token::Token;
use crate::cli::status::of_code;
use crate::cli::status::{SERVER, USAGE};

/// The path of the admin API.
const PREFIX: &str = "/api/v1/admin";
/// How long a server may take to answer. Its own limit is 30 seconds.
const WAIT: Duration = Duration::from_secs(40);
/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// A server, and the token of its admin API.
pub(super) struct Client {
    pub(super) server: Server,
    pub(super) header: HeaderName,
    pub(super) token: Token,
}

/// Why a request to a server failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The server does not answer.
    #[error("{server} does not answer; {advice}")]
    Silent {
        server: Server,
        advice: &'static str,
        #[source]
        cause: Box<ureq::Error>,
    },
    /// The token is not the server's.
    #[error(
        "{server} refuses the token from {origin}, sent in the header {header}; name the server's configuration by -c or a \
         file with its token by --token-file, or set {variable}; a server without a configured token keeps its token in \
         the file admin-token in its state directory", variable = variable("admin_api_token")
    )]
    Forbidden { server: Server, origin: String, header: HeaderName },
    /// The server refuses the request.
    #[error("{title}: {detail}{}", .advice.map(|advice| format!("; {advice}")).unwrap_or_default())]
    Refused { title: String, detail: String, status: u8, advice: Option<&'static str> },
    /// The answer is not one of a Sky Island server of this version.
    #[error(
        "{server} does not answer as a Sky Island server of this version ({reason}); name another server by --server"
    )]
    Foreign { server: Server, reason: String },
}

impl Client {
    /// The answer to a request.
    pub(super) fn get(&self, path: &str) -> Result<Value, AskError> {
        self.ask(Method::GET, path, None::<&()>, WAIT)
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, AskError> {
        self.ask(Method::DELETE, path, None::<&()>, WAIT)
    }

    pub(super) fn put(&self, path: &str, body: &impl Serialize) -> Result<Value, AskError> {
        self.ask(Method::PUT, path, Some(body), WAIT)
    }

    /// Posts a request that may take so long.
    pub(super) fn post(
        &self,
        path: &str,
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<Value, AskError> {
        self.ask(Method::POST, path, Some(body), wait)
    }

    /// Reads an answer.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: Value) -> Result<T, AskError> {
        serde_json::from_value(answer).map_err(|error| self.foreign(error.to_string()))
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        wait: Duration,
    ) -> Result<Value, AskError> {
        let silent = |cause| {
            let advice = advice(&cause, &self.server);
            AskError::Silent { server: self.server.clone(), advice, cause: Box::new(cause) }
        };
        let (status, body) = self.send(method, path, body, wait).map_err(silent)?;
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        match (status, answer) {
            (200, Some(answer)) => Ok(answer),
            (403, _) => Err(AskError::Forbidden {
                server: self.server.clone(),
                origin: self.token.origin.clone(),
                header: self.header.clone(),
            }),
            (_, Some(problem)) if problem["detail"].is_string() => Err(refused(&problem)),
            _ => Err(self.foreign(format!("status {status}"))),
        }
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        wait: Duration,
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let request = Request::builder()
            .method(method)
            .uri(self.server.url(&format!("{PREFIX}{path}")))
            .header(&self.header, &self.token.value);
        let agent = self.server.agent(wait);
        let response = match body {
            None => agent.run(request.body(())?)?,
            Some(body) => {
                let body = serde_json::to_vec(body).map_err(io::Error::from)?;
                agent.run(request.header("content-type", "application/json").body(body)?)?
            }
        };
        let (head, body) = Response::into_parts(response);
        let body = body.into_with_config().limit(LONGEST).read_to_vec()?;
        Ok((head.status.as_u16(), body))
    }

    fn foreign(&self, reason: String) -> AskError {
        AskError::Foreign { server: self.server.clone(), reason }
    }
}

fn refused(problem: &Value) -> AskError {
    let text = |key: &str| plain(problem[key].as_str().unwrap_or_default());
    let code = Code::of_name(&text("code"));
    let status = code.map_or(SERVER, of_code);
    AskError::Refused { title: text("title"), detail: text("detail"), status, advice: None }
}

impl AskError {
    /// Adds advice to the refusal of a wrong name.
    pub(super) fn advise(self, next: &'static str) -> Self {
        match self {
            Self::Refused { title, detail, status: USAGE, .. } => {
                Self::Refused { title, detail, status: USAGE, advice: Some(next) }
            }
            other => other,
        }
    }
}

/// The advice about a server that does not answer.
fn advice(error: &ureq::Error, server: &Server) -> &'static str {
    use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    match error {
        ureq::Error::Timeout(_) => "read the server's log, or try again later",
        ureq::Error::Io(error) if error.kind() == PermissionDenied => {
            "run this command as root, as the server's user or in its group"
        }
        ureq::Error::Io(error) if [ConnectionRefused, NotFound].contains(&error.kind()) => {
            "start the server with `sky-island serve`, or name another server by --server"
        }
        _ if server.has_certificate() => {
            "name the server by --server https://NAME:PORT with the name in its certificate; if this host does not trust \
             the certificate's authority, set SSL_CERT_FILE to the authority's certificate"
        }
        _ => "name another server by --server",
    }
}
