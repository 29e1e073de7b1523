//! Guests with one behaviour each, for the host's tests: see `examples/`.

/// A bot that does nothing until a message comes, and then this. So it can be deployed,
/// which takes an event that no bot knows.
#[macro_export]
macro_rules! on_message {
    ($run:ident) => {
        wxhost_sdk::bot!(on_event);

        fn on_event(event: Event) -> Result<(), Error> {
            match event.message() {
                Some(_) => $run(event),
                None => Ok(()),
            }
        }
    };
}
