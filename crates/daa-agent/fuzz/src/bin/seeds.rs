//! Writes the samples of every decoder into `corpus/<target>/`, for the fuzzer to begin with.

use daa_agent_fuzz::DECODERS;
// Its coverage counters are in everything that is built here.
use libfuzzer_sys as _;
use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    for (name, _, samples) in DECODERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        fs::create_dir_all(&folder)?;
        for (number, sample) in samples().iter().enumerate() {
            fs::write(folder.join(format!("sample-{number}")), sample)?;
        }
    }
    Ok(())
}
