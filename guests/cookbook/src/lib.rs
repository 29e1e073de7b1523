//! Ten small bots, one file each: see `README.md` and `examples/`.
