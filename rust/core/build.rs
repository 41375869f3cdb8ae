//! Lists the scripts of `lua/` so that `scripts.rs` embeds each of them: a new script needs no edit here.
use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../lua").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut scripts: Vec<PathBuf> = fs::read_dir(&folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "lua"))
        .collect();
    scripts.sort();
    let mut table = String::from("pub const SCRIPTS: &[(&str, &str)] = &[\n");
    for path in scripts {
        let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a script's name is not UTF-8")?;
        println!("cargo::rerun-if-changed={}", path.display());
        writeln!(table, "    ({name:?}, include_str!({path:?})),")?;
    }
    table.push_str("];\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("scripts.rs"), table)?;
    Ok(())
}
