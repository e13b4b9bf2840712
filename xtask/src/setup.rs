//! Installing what the build needs: a C linker with the C library's headers, rustfmt and clippy.
//!
//! X11 and OpenGL are not on the list: the editor opens them at run time.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{run as run_program, succeeds};

/// A thing that must be there, how to see whether it is, and the Debian package that has it.
struct Need {
    what: &'static str,
    present: fn() -> bool,
    package: &'static str,
}

const NEEDS: [Need; 2] = [
    Need { what: "a C compiler and linker (`cc`)", present: has_compiler, package: "gcc" },
    Need { what: "the C library's headers", present: has_headers, package: "libc6-dev" },
];

/// Only tests and benchmarks that compare with Python programs need it.
const PYTHON: Need =
    Need { what: "Python 3 with venv and pip", present: has_python, package: "python3-venv" };

/// Only training in several processes needs them.
const MPI: [Need; 3] = [
    Need { what: "MPI's headers (`mpicc`)", present: has_mpi, package: "libopenmpi-dev" },
    Need { what: "MPI's launcher (`mpirun`)", present: has_mpirun, package: "openmpi-bin" },
    Need { what: "libclang, which reads MPI's headers", present: has_libclang, package: "libclang-dev" },
];

/// NVIDIA's compiler hands the host's half of each file to it.
const CXX: Need = Need { what: "a C++ compiler (`g++`)", present: has_cxx, package: "g++" };

fn has_mpi() -> bool {
    succeeds("mpicc", &["--version"])
}

fn has_mpirun() -> bool {
    succeeds("mpirun", &["--version"])
}

/// Where Debian has it, or where its user says.
fn has_libclang() -> bool {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let llvm = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with("llvm-"));
    std::env::var_os("LIBCLANG_PATH").is_some()
        || llvm.map(|folder| folder.path().join("lib")).any(|lib| {
            let files = std::fs::read_dir(lib).into_iter().flatten().flatten();
            files.map(|file| file.file_name()).any(|name| name.to_string_lossy().starts_with("libclang.so"))
        })
}

fn has_cxx() -> bool {
    succeeds("g++", &["--version"])
}

fn has_python() -> bool {
    let program = if cfg!(windows) { "python" } else { "python3" };
    succeeds(program, &["-c", "import ensurepip, venv"])
}

fn has_compiler() -> bool {
    cfg!(windows) || succeeds("cc", &["--version"])
}

/// Only Linux systems package them apart from the compiler.
fn has_headers() -> bool {
    !cfg!(target_os = "linux") || succeeds("cc", &["-E", "-include", "stdlib.h", "-x", "c", "/dev/null"])
}

/// Installs what is missing; silent and instant when nothing is.
///
/// # Errors
/// Something is missing and cannot be installed from here.
pub fn run() -> Result<()> {
    install_missing(&NEEDS)?;
    for (component, program) in [("rustfmt", "rustfmt"), ("clippy", "cargo-clippy")] {
        if !succeeds(program, &["--version"]) {
            println!("installing {component}");
            run_program(Command::new("rustup").args(["component", "add", component]), "rustup")
                .with_context(|| {
                    format!("{component} is missing; install it with your Rust toolchain and try again")
                })?;
        }
    }
    Ok(())
}

/// Installs Python if it is missing.
///
/// # Errors
/// It cannot be installed from here.
pub fn python() -> Result<()> {
    install_missing(&[PYTHON])
}

/// Installs what only training in several processes needs, where it is missing.
///
/// # Errors
/// It cannot be installed from here.
pub fn mpi() -> Result<()> {
    install_missing(&MPI)
}

/// Installs what only the build for NVIDIA cards needs, if it is missing.
///
/// # Errors
/// It cannot be installed from here.
pub fn cuda() -> Result<()> {
    install_missing(&[CXX])
}

fn install_missing(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if !Path::new("/etc/debian_version").exists() {
        let list: String = missing.iter().map(|need| format!("\n  {}", need.what)).collect();
        bail!("this machine lacks, and only Debian and Ubuntu are installed to by this command:{list}");
    }
    println!("installing {}", packages.join(" "));
    let is_root =
        Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
        if !is_root {
            command.args(["--", "apt-get"]);
        }
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        run_program(&mut command, "apt-get")
    };
    apt_get(&["update", "--quiet"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages.as_slice()].concat())?;
    for need in &missing {
        if !(need.present)() {
            bail!("{} is still missing after installing {}", need.what, need.package);
        }
    }
    Ok(())
}
