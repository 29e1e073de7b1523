//! What a program does by itself where nobody stops it: connections, files, the environment.
use std::{
    env, fs,
    io::{self, Read},
    net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
};

use wxhost_sdk::Error;

use crate::unknown;
use crate::words::Words;

/// `sandbox.connect ADDRESS`, `sandbox.listen ADDRESS`, `sandbox.send ADDRESS` (UDP),
/// `sandbox.resolve NAME:PORT`, `sandbox.read PATH`, `sandbox.write PATH`,
/// `sandbox.list PATH`, `sandbox.environment`, `sandbox.arguments`, `sandbox.input`.
pub fn sandbox(function: &str, mut words: Words<'_>) -> Result<String, Error> {
    Ok(match function {
        "connect" => {
            let stream = TcpStream::connect(words.word("ADDRESS")?)?;
            format!("connected to {}", stream.peer_addr()?)
        }
        "listen" => {
            let listener = TcpListener::bind(words.word("ADDRESS")?)?;
            format!("listening at {}", listener.local_addr()?)
        }
        "send" => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            let sent = socket.send_to(b"x", words.word("ADDRESS")?)?;
            format!("sent {sent}")
        }
        "resolve" => {
            let found = words.word("NAME:PORT")?.to_socket_addrs()?;
            format!("{:?}", found.collect::<Vec<_>>())
        }
        "read" => fs::read_to_string(words.word("PATH")?)?,
        "write" => {
            fs::write(words.word("PATH")?, "written")?;
            "written".to_owned()
        }
        "list" => {
            let entries = fs::read_dir(words.word("PATH")?)?;
            let names: io::Result<Vec<_>> = entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect();
            names?.join(",")
        }
        "environment" => {
            let pairs = env::vars().map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join(",")
        }
        "arguments" => env::args().collect::<Vec<_>>().join(","),
        "input" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text
        }
        _ => return Err(unknown(function)),
    })
}
