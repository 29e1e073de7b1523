//! Opens a million stores and gives none back.
use wxhost_sdk::prelude::*;

wxhost_hostile::on_message!(run);

fn run(_: Event) -> Result<(), Error> {
    for opened in 0..1_000_000 {
        match kv::bucket() {
            Ok(bucket) => std::mem::forget(bucket),
            Err(error) => return Err(format!("refused after {opened}: {error}").into()),
        }
    }
    Ok(())
}
