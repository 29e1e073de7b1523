use std::process::ExitCode;
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let get = |k: &str| {
        args.iter()
            .position(|a| a == k)
            .map(|i| args[i + 1].clone())
    };
    wxhost::cli::serve::serve(
        get("--config").as_deref().map(std::path::Path::new),
        wxhost::cli::serve::Overrides {
            data: get("--data").map(Into::into),
            listen: get("--listen").map(|s| s.parse().unwrap()),
        },
    )
}
