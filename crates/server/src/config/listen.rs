//! The values of the keys about listening: endpoints and the certificate.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::listen::Endpoint;

/// One endpoint, or a list of endpoints.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Endpoints {
    /// `"127.0.0.1:3281"`
    One(Endpoint),
    /// `["127.0.0.1:3281", "unix:/run/sky-island.sock"]`
    List(Vec<Endpoint>),
}

/// Reads what `untagged` would read, but with the error of the endpoint itself.
impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Endpoints;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an endpoint to listen on or a list of endpoints")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Endpoints, E> {
                text.parse().map(Endpoints::One).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Endpoints, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Endpoints::List)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// The certificate of the server. Where it is set, HTTPS is served at all addresses that do not
/// begin with `http://`; where it is not, HTTP.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The PEM file with the certificate and its chain, an absolute path. SIGHUP reads it again.
    #[schemars(example = &"/etc/sky-island/cert.pem")]
    pub cert: PathBuf,
    /// The PEM file with the private key, an absolute path. SIGHUP reads it again.
    #[schemars(example = &"/etc/sky-island/key.pem")]
    pub key: PathBuf,
}
