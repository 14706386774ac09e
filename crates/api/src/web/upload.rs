//! Takes a file in, as it comes, without ever holding it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;

use super::router::Context;
use super::{Account, Problem, Upload, UploadQuestion};
use crate::Refusal;

/// Longest wait for the next bytes.
const NEXT_WAIT: Duration = Duration::from_secs(30);

/// Does `work` on a thread that may wait for the disk.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_panicked) => Err(Problem::internal()),
    }
}

/// Takes the file that `body` is.
pub(crate) async fn take(
    context: Context,
    account: Account,
    question: UploadQuestion,
    mut body: Body,
) -> Result<Response, Problem> {
    let Ok(_turn) = context.uploads.clone().try_acquire_owned() else {
        let text = "other files are coming in: hand it in when they are there";
        return Err(Refusal::Unavailable(text.to_owned()).into());
    };
    let people = context.people.clone();
    let mut upload: Box<dyn Upload> = aside(move || people.receive(&account, &question)).await?;
    loop {
        let frame = match tokio::time::timeout(NEXT_WAIT, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_broken))) => return Err(Problem::body("it broke off".to_owned())),
            Ok(None) => break,
            Err(_elapsed) => {
                let text = format!("nothing more came within {} s", NEXT_WAIT.as_secs());
                return Err(Problem::body(text));
            }
        };
        if let Ok(bytes) = frame.into_data() {
            upload = aside(move || upload.write(&bytes).map(|()| upload)).await?;
        }
    }
    let told = aside(move || upload.finish()).await?;
    Ok((StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], told).into_response())
}
