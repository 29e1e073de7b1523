//! What is sent to deploy a component: the component itself, or a form with it and
//! what else there is to say.

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;

use super::{
    input::{Body, read_json},
    wire::DeployOptions,
};
use crate::edge::error::Problem;

/// The part of the form that holds the component.
const COMPONENT: &str = "component";
/// The part that holds the options, as JSON.
const OPTIONS: &str = "options";

/// A component with what is said about it.
#[derive(Debug)]
pub struct Deployment {
    pub component: Bytes,
    pub options: DeployOptions,
}

impl<S: Send + Sync> FromRequest<S> for Deployment {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let boundary = boundary(request.headers())?;
        let Body(body) = Body::from_request(request, state).await?;
        match boundary {
            None => Ok(Self {
                component: body,
                options: DeployOptions::default(),
            }),
            Some(boundary) => read(body, boundary).await,
        }
    }
}

fn boundary(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !kind.starts_with("multipart/") {
        return Ok(None);
    }
    let boundary = multer::parse_boundary(kind);
    boundary.map(Some).map_err(|error| bad_form(&error))
}

async fn read(body: Bytes, boundary: String) -> Result<Deployment, Problem> {
    let whole = stream::iter([Ok::<_, std::io::Error>(body)]);
    let mut form = Multipart::new(whole, boundary);
    let (mut component, mut options) = (None, DeployOptions::default());
    while let Some(part) = form.next_field().await.map_err(|error| bad_form(&error))? {
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|error| bad_form(&error))?;
        match name.as_str() {
            COMPONENT => component = Some(bytes),
            OPTIONS => options = read_json(&bytes)?,
            _ => {
                let known = "is unknown: the form has the parts component and options";
                return Err(Problem::bad_field(name, known));
            }
        }
    }
    let missing = || Problem::bad_field(COMPONENT, "is missing in the form");
    Ok(Deployment {
        component: component.ok_or_else(missing)?,
        options,
    })
}

fn bad_form(error: &multer::Error) -> Problem {
    Problem::bad_field("body", format!("is no form that can be read: {error}"))
}
