//! What is built for NVIDIA cards, on a machine without one: the CUDA root from the Python registry's wheels,
//! the trainer in a folder to be carried to the card, and the plugin "Tributary CUDA".
//!
//! Nothing of it touches the usual build: it has a target folder of its own, `target/cuda`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::bundle::{self, Bundles, Edition};
use crate::workspace::{Products, Profile, Workspace, run as run_program};
use crate::{python, setup};

/// The generation of cards that kernels are compiled for unless `CUDA_COMPUTE_CAP` says otherwise: H100 and H200.
const COMPUTE_CAPABILITY: &str = "90";

/// What may be carried to a machine with a card.
const MAX_BYTES: u64 = 40_000_000;

/// `cargo xtask cuda`: root, trainer, packed folder, bundle.
///
/// # Errors
/// A wheel cannot be had, the build fails, or the folder is too large.
pub fn run(workspace: &Workspace) -> Result<()> {
    let build = Build::prepare(workspace)?;
    build.build(Products::All)?;
    pack(workspace, &build.inner)?;
    println!("{}", build.bundle()?);
    Ok(())
}

/// `cargo xtask bundle --gpu cuda`: the plugin only.
///
/// # Errors
/// As [`run`].
pub fn bundle(workspace: &Workspace) -> Result<Bundles> {
    Build::prepare(workspace)?.bundle()
}

/// The build for cards.
struct Build {
    /// The same repository with its own target folder.
    inner: Workspace,
    root: PathBuf,
}

impl Build {
    fn prepare(workspace: &Workspace) -> Result<Self> {
        ensure!(
            cfg!(all(target_os = "linux", target_arch = "x86_64")),
            "the CUDA build is made on x86-64 Linux only"
        );
        setup::run()?;
        setup::cuda()?;
        let folder = workspace.target.join("cuda");
        let root = folder.join("root");
        make_root(workspace, &root)?;
        Ok(Self { inner: Workspace { root: workspace.root.clone(), target: folder.join("build") }, root })
    }

    /// Plugin and trainer are always selected together, so that what they share is built once.
    fn build(&self, what: Products) -> Result<()> {
        let mut command = self.inner.cargo(["build", "--release", "--package", "plugin"]);
        command.args(["--package", "trainer", "--features", "plugin/cuda,trainer/cuda"]);
        match what {
            Products::All => command.args(["--bin", "trainer"]),
            Products::Plugin => command.arg("--lib"),
        };
        for variable in ["CUDA_HOME", "CUDA_ROOT", "CUDA_PATH", "CUDA_TOOLKIT_ROOT_DIR"] {
            command.env(variable, &self.root);
        }
        command.env("NVCC", self.root.join("bin/nvcc"));
        let capability = std::env::var_os("CUDA_COMPUTE_CAP").unwrap_or_else(|| COMPUTE_CAPABILITY.into());
        command.env("CUDA_COMPUTE_CAP", capability);
        // The linker looks here for the libraries that those libraries need in turn.
        command.env("LD_LIBRARY_PATH", before(self.root.join("lib64"), "LD_LIBRARY_PATH"));
        command.env("PATH", before(self.root.join("bin"), "PATH"));
        run_program(&mut command, "cargo build with the feature `cuda`")
    }

    fn bundle(&self) -> Result<Bundles> {
        self.build(Products::Plugin)?;
        bundle::lay_out(&self.inner, Profile::Release, Edition::Cuda)
    }
}

/// A search path with `folder` first.
fn before(folder: PathBuf, variable: &str) -> OsString {
    let mut path = folder.into_os_string();
    if let Some(rest) = std::env::var_os(variable).filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    path
}

/// Lays the wheels of `xtask/python/cuda.txt` out as the CUDA root that compilers look for.
fn make_root(workspace: &Workspace, root: &Path) -> Result<()> {
    let python = python::environment(workspace, "cuda")?;
    let output = Command::new(&python)
        .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
        .output()
        .with_context(|| format!("cannot start {}", python.display()))?;
    let wheels = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("nvidia").join("cu13");
    ensure!(wheels.is_dir(), "the wheels of xtask/python/cuda.txt have no {}", wheels.display());

    let fresh = |path: &Path| -> Result<()> {
        if fs::symlink_metadata(path).is_ok_and(|there| there.is_dir()) {
            fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
    };
    // nvcc finds everything else beside the folder in which it really lies, so it must not be a link. It is copied
    // only once: a new date would have every kernel compiled again.
    if !root.join("bin/nvcc").exists() {
        copy_folder(&wheels.join("bin"), &root.join("bin"))?;
    }
    fresh(&root.join("lib64/stubs"))?;
    for folder in ["include", "nvvm"] {
        link(&wheels.join(folder), &root.join(folder))?;
    }
    let libraries = wheels.join("lib");
    for entry in fs::read_dir(&libraries).with_context(|| format!("cannot read {}", libraries.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        link(&entry.path(), &root.join("lib64").join(&name))?;
        // Linkers want `libcublas.so`, wheels have `libcublas.so.13` only.
        if let Some((stem, _version)) = name.split_once(".so.")
            && !libraries.join(format!("{stem}.so")).exists()
        {
            link(&entry.path(), &root.join("lib64").join(format!("{stem}.so")))?;
        }
    }
    make_driver_stub(workspace, &root.join("lib64/stubs"))
}

/// What each function of the stub returns, as in the stub of NVIDIA's own toolkit: `CUDA_ERROR_STUB_LIBRARY`.
const STUB_LIBRARY: u32 = 34;

/// A `libcuda.so` that has every function of the driver and can do nothing: the real one comes with the driver, and
/// this is for the linker only.
fn make_driver_stub(workspace: &Workspace, folder: &Path) -> Result<()> {
    let declarations = cudarc(workspace)?.join("src/driver/sys/mod.rs");
    let text = fs::read_to_string(&declarations)
        .with_context(|| format!("cannot read {}", declarations.display()))?;
    let mut source = String::new();
    for name in driver_functions(&text) {
        writeln!(source, "int {name}(void) {{ return {STUB_LIBRARY}; }}")?;
    }
    ensure!(source.contains("cuInit"), "{} declares no driver", declarations.display());
    let file = folder.join("libcuda.c");
    fs::write(&file, source).with_context(|| format!("cannot write {}", file.display()))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]);
    run_program(compiler.arg(folder.join("libcuda.so")).arg(&file), "cc")
}

/// The names of functions that begin with `cu` and a capital, each once.
fn driver_functions(declarations: &str) -> std::collections::BTreeSet<&str> {
    let name =
        |rest: &'_ str| rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    declarations
        .split("fn cu")
        .skip(1)
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|rest| {
            // The two letters before belong to the name.
            let start = rest.as_ptr() as usize - declarations.as_ptr() as usize - 2;
            &declarations[start..start + 2 + name(rest)]
        })
        .collect()
}

/// Where cargo keeps the source of the crate that binds CUDA.
fn cudarc(workspace: &Workspace) -> Result<PathBuf> {
    let mut tree = workspace.cargo(["metadata", "--format-version", "1", "--features", "trainer/cuda"]);
    let output = tree.stderr(Stdio::inherit()).output().context("cannot start cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed");
    let text = String::from_utf8_lossy(&output.stdout);
    let manifest = text
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split_once('"').map(|(path, _)| path))
        .find(|path| {
            let folder = Path::new(path).parent().and_then(Path::file_name);
            folder.is_some_and(|name| name.to_string_lossy().starts_with("cudarc-"))
        })
        .context("cargo metadata knows no cudarc: has candle changed what it builds on?")?;
    Ok(Path::new(manifest).parent().context("a manifest lies in a folder")?.to_owned())
}

fn link(to: &Path, at: &Path) -> Result<()> {
    // A link of an earlier run may lead to wheels of an earlier version.
    match fs::remove_file(at) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot replace {}", at.display())),
    }
    #[cfg(unix)]
    return std::os::unix::fs::symlink(to, at).with_context(|| format!("cannot link {}", at.display()));
    #[cfg(not(unix))]
    bail!("{} cannot link to {}: the CUDA build is made on Linux", at.display(), to.display())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy {} to {}", entry.path().display(), target.display()))?;
        }
    }
    Ok(())
}

/// Everything that a machine with a card needs, in one folder.
fn pack(workspace: &Workspace, built: &Workspace) -> Result<()> {
    let folder = workspace.target.join("cuda/tributary-cuda");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let stripped = folder.join("trainer");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&stripped).arg(built.program(Profile::Release, "trainer"));
    run_program(&mut strip, "strip")?;
    let whole = fs::metadata(&stripped)?.len();
    // The folder is what is carried, so the program lies in it compressed; the start script unpacks it.
    run_program(Command::new("gzip").args(["-9", "--force"]).arg(&stripped), "gzip")?;
    let script = folder.join("start.sh");
    fs::write(&script, include_str!("cuda/start.sh"))
        .with_context(|| format!("cannot write {}", script.display()))?;
    // What training and its comparison with PyTorch need.
    copy_folder(&workspace.root.join("trainer/recipes"), &folder.join("recipes"))?;
    let comparison = workspace.root.join("trainer/benches/training.py");
    fs::copy(&comparison, folder.join("training.py"))
        .with_context(|| format!("cannot copy {}", comparison.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    let bytes = size(&folder)?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!("{}: {:.1} MB ({:.1} MB unpacked)", folder.display(), mb(bytes), mb(whole));
    if bytes > MAX_BYTES {
        bail!("that is more than the {:.0} MB that may be carried", mb(MAX_BYTES));
    }
    Ok(())
}

fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        sum += if entry.path().is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stub_has_each_function_of_the_driver_once() {
        let text = "pub unsafe fn cuInit(f: u32) -> R { extern { fn cuInit(f: u32) -> R; } }\n\
                    fn cuMemAlloc_v2(p: *mut u64); type F = fn(u32); fn custom(); fn current();";
        assert_eq!(driver_functions(text).into_iter().collect::<Vec<_>>(), ["cuInit", "cuMemAlloc_v2"]);
    }
}
