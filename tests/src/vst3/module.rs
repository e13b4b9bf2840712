//! Loading a VST3 bundle's binary. Like a DAW, once for the whole process, however many instances there are.

use std::collections::HashMap;
use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use libloading::Library;
use vst3::ComPtr;
use vst3::Steinberg::IPluginFactory;

#[cfg(all(unix, not(target_os = "macos")))]
const ENTRY: &[u8] = b"ModuleEntry\0";
#[cfg(all(unix, not(target_os = "macos")))]
const EXIT: &[u8] = b"ModuleExit\0";
#[cfg(target_os = "macos")]
const ENTRY: &[u8] = b"bundleEntry\0";
#[cfg(target_os = "macos")]
const EXIT: &[u8] = b"bundleExit\0";
#[cfg(windows)]
const ENTRY: &[u8] = b"InitDll\0";
#[cfg(windows)]
const EXIT: &[u8] = b"ExitDll\0";

/// All loaded binaries, with the number of their users.
static LOADED: Mutex<Option<HashMap<PathBuf, (usize, Library)>>> = Mutex::new(None);

fn loaded() -> MutexGuard<'static, Option<HashMap<PathBuf, (usize, Library)>>> {
    LOADED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One use of a loaded binary; the last one to be dropped unloads it.
pub struct Module {
    file: PathBuf,
}

impl Module {
    /// Loads and initialises, unless that has been done.
    ///
    /// # Errors
    /// The bundle has no binary for this machine, or it cannot be loaded or initialised.
    pub fn load(bundle: &Path) -> Result<Self> {
        let file = binary(bundle)?;
        let mut loaded = loaded();
        let modules = loaded.get_or_insert_default();
        if let Some((users, _)) = modules.get_mut(&file) {
            *users += 1;
        } else {
            // SAFETY: a plugin is foreign code; loading it is what this program is for.
            let library = unsafe { Library::new(&file) }
                .with_context(|| format!("{} cannot be loaded", file.display()))?;
            // SAFETY: VST3 gives the function this type; its argument is the library's own handle, for those
            // few that look for resources in it.
            let entered = unsafe {
                let entry = library.get::<unsafe extern "system" fn(*mut c_void) -> bool>(ENTRY)?;
                entry(null_mut())
            };
            ensure!(entered, "{} does not initialise", file.display());
            modules.insert(file.clone(), (1, library));
        }
        Ok(Self { file })
    }

    /// The bundle's factory.
    ///
    /// # Errors
    /// It has none.
    pub fn factory(&self) -> Result<ComPtr<IPluginFactory>> {
        let loaded = loaded();
        let modules = loaded.as_ref().context("no module is loaded")?;
        let (_, library) = modules.get(&self.file).context("the module is loaded")?;
        // SAFETY: VST3 gives the function this type, and its result a reference for us to keep.
        unsafe {
            let get =
                library.get::<unsafe extern "system" fn() -> *mut IPluginFactory>(b"GetPluginFactory\0")?;
            ComPtr::from_raw(get()).context("the bundle has no factory")
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let mut loaded = loaded();
        let Some(modules) = loaded.as_mut() else { return };
        let Some((users, _)) = modules.get_mut(&self.file) else { return };
        *users -= 1;
        if *users == 0
            && let Some((_, library)) = modules.remove(&self.file)
        {
            // SAFETY: VST3 gives the function this type, and nobody uses the module any more.
            unsafe {
                if let Ok(exit) = library.get::<unsafe extern "system" fn() -> bool>(EXIT) {
                    exit();
                }
            }
        }
    }
}

/// The binary for this machine inside a bundle.
fn binary(bundle: &Path) -> Result<PathBuf> {
    use std::env::consts::{ARCH, OS};
    let name = bundle.file_stem().context("a bundle has a name")?;
    let folder = bundle.join("Contents");
    let file = match OS {
        "macos" => folder.join("MacOS").join(name),
        "windows" => {
            let architecture = if ARCH == "aarch64" { "arm64" } else { ARCH };
            folder.join(format!("{architecture}-win")).join(name).with_extension("vst3")
        }
        _ => folder.join(format!("{ARCH}-{OS}")).join(name).with_extension("so"),
    };
    ensure!(file.exists(), "{} has no binary for this machine at {}", bundle.display(), file.display());
    Ok(file)
}
