use std::sync::Once;

use crate::error::Error;
use crate::log;

/// Calls the guest and turns its error into the text that the host shows.
#[doc(hidden)]
pub fn run<A, T>(guest: fn(A) -> Result<T, Error>, argument: A) -> Result<T, String> {
    static FIRST_CALL: Once = Once::new();
    FIRST_CALL.call_once(|| std::panic::set_hook(Box::new(report_panic)));
    guest(argument).map_err(|error| error.to_string())
}

/// A panic ends as a trap, which has no text: this line is where the reason is.
fn report_panic(info: &std::panic::PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    match info.location() {
        Some(at) => log::write(
            log::Level::Error,
            "panic",
            format_args!("{message} at {at}"),
        ),
        None => log::write(log::Level::Error, "panic", message),
    }
}
