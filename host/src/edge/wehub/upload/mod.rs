//! `POST /wehub/upload`: the files and QR codes that clients were asked for
//! (section 6).
//!
//! A form is read part by part and its file goes to disk as it comes; memory is
//! bounded per upload, and so is how many there are. Nothing of an upload is kept
//! before its closing boundary was seen.

mod content;
mod feed;
mod form;
mod places;
mod refusal;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::HeaderMap,
    response::{IntoResponse, Response},
};

use self::{
    content::Content,
    form::{Form, OVERHEAD_BYTES, Upload},
    places::Places,
    refusal::Refusal,
};
use super::{
    address::{self, Endpoint},
    admission::Config,
    wire::{code, upload_file_ack},
};
use crate::{
    domain::{FileRequest, LoginId, file::FilePolicy},
    edge::{gallery::Gallery, linger},
    service::Service,
};

/// What a person sees who opens the address in a browser.
const HELLO: &str = "This is wxhost. WeHub uploads files here: enter this address as its upload \
                     URL.\n";

/// How long the rest of a refused upload is read, so that its sender sees the
/// answer: longer than for events, since files are large.
const REFUSED_TIME: Duration = Duration::from_secs(60);

/// The endpoint. A cheap handle.
#[derive(Debug, Clone)]
pub struct Uploads(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    policy: FilePolicy,
    service: Service,
    places: Places,
    gallery: Gallery,
}

impl Uploads {
    /// Serves with these settings.
    pub fn new(config: Config, policy: FilePolicy, service: Service) -> Self {
        Self(Arc::new(Inner {
            config,
            places: Places::new(policy.uploads_max),
            policy,
            service,
            gallery: Gallery::default(),
        }))
    }

    /// The routes below `/wehub`.
    pub fn router(self) -> Router {
        let secret = self.0.config.path_secret.clone();
        address::router(self, secret)
    }
}

impl Endpoint for Uploads {
    const NAME: &'static str = "upload";
    const HELLO: &'static str = HELLO;

    async fn answer(&self, request: Request) -> Response {
        let (parts, mut body) = request.into_parts();
        let foreign = self.0.config.accept_foreign_qr_sessions;
        let mut form = Form::new(&self.0.service, foreign);
        let taken = self.take(&mut form, &parts.headers, &mut body).await;
        if !taken.as_ref().is_err_and(Refusal::is_for_nobody) {
            self.throw_away(body).await;
        }
        match taken {
            Ok(()) => super::callback::json(upload_file_ack(code::OK, "", form.file_index())),
            Err(refusal) => refuse(&refusal, form.file_index()),
        }
    }
}

impl Uploads {
    /// Reads an upload and hands it on. Its place is free again before the rest of
    /// a refused one is read.
    async fn take(
        &self,
        form: &mut Form<'_>,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<(), Refusal> {
        let Inner { places, policy, .. } = &*self.0;
        let mut seat = places.enter()?;
        form::check_announced(body, policy.file_bytes_max)?;
        match form.read(&mut seat, headers, body).await? {
            Upload::File(request, content) => self.take_file(*request, content).await,
            Upload::Code {
                login,
                machine_id,
                image,
            } => self.take_code(login, machine_id, image).await,
        }
    }

    async fn take_file(&self, request: FileRequest, content: Content) -> Result<(), Refusal> {
        let service = &self.0.service;
        let name = content.name.clone();
        let file = content.into_file(service).await?;
        Ok(service.uploaded(request, file, name).await?)
    }

    async fn take_code(
        &self,
        login: LoginId,
        machine_id: String,
        image: Content,
    ) -> Result<(), Refusal> {
        let bytes = image.into_image()?;
        let bad = || Refusal::bad("file", "is no PNG or JPEG image");
        let image = self.0.gallery.look(&bytes).await.ok_or_else(bad)?;
        let foreign = self.0.config.accept_foreign_qr_sessions;
        let taken = self
            .0
            .service
            .qr_uploaded(login, machine_id, image, bytes, foreign);
        taken.await?;
        Ok(())
    }

    /// Reads what is left of a body, so that its sender sees the answer.
    async fn throw_away(&self, body: Body) {
        let largest = self.0.policy.file_bytes_max.saturating_add(OVERHEAD_BYTES);
        let largest = usize::try_from(largest).unwrap_or(usize::MAX);
        linger::throw_away_within(body, largest, REFUSED_TIME).await;
    }
}

fn refuse(refusal: &Refusal, file_index: &str) -> Response {
    refusal.log();
    match refusal {
        Refusal::Body(error) => error.into_response(),
        refusal => super::callback::json(upload_file_ack(
            refusal.code(),
            &refusal.reason(),
            file_index,
        )),
    }
}
