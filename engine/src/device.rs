//! Where networks run: chosen in one place, with the reason in words.
//!
//! The CPU is always there. Cards are there only in builds with the features `cuda` or `metal`, because such a build
//! does not even start on a machine without the driver.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use candle_core::{Device, DeviceLocation};

use crate::error::root_cause;
use crate::{Error, Result};

/// What a user asks for: `auto`, `cpu`, `cuda`, `cuda:N` or `metal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// A card if this build and this machine have one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA card of this number, counted from 0.
    Cuda(usize),
    /// Apple's card.
    Metal,
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            Error::Unsupported(format!("there is no device {text:?}: say auto, cpu, cuda, cuda:N or metal"))
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => {
                let number = text.strip_prefix("cuda:").and_then(|number| number.parse().ok());
                number.map(Self::Cuda).ok_or_else(unknown)
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

/// How products of matrices are computed on a card; everything else is f32 there, and all of it on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MatmulPrecision {
    /// As on the CPU.
    #[default]
    F32,
    /// Factors are rounded to 10 bits behind the point, sums are f32.
    Tf32,
    /// Factors and results are rounded to 7 bits behind the point, in the backward pass too; all else stays f32.
    Bf16,
}

impl FromStr for MatmulPrecision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "tf32" => Ok(Self::Tf32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(Error::Unsupported(format!("there is no precision {text:?}: say f32, tf32 or bf16"))),
        }
    }
}

impl fmt::Display for MatmulPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

static PRECISION: AtomicU8 = AtomicU8::new(MatmulPrecision::F32 as u8);

/// Chooses it for the whole process, as candle has it.
pub fn set_matmul_precision(precision: MatmulPrecision) {
    candle_core::cuda::set_gemm_reduced_precision_f32(precision == MatmulPrecision::Tf32);
    PRECISION.store(precision as u8, Ordering::Relaxed);
}

/// What was chosen.
pub fn matmul_precision() -> MatmulPrecision {
    match PRECISION.load(Ordering::Relaxed) {
        code if code == MatmulPrecision::Tf32 as u8 => MatmulPrecision::Tf32,
        code if code == MatmulPrecision::Bf16 as u8 => MatmulPrecision::Bf16,
        _ => MatmulPrecision::F32,
    }
}

/// A device, and why it is this one.
#[derive(Debug, Clone)]
pub struct Picked {
    /// For tensors.
    pub device: Device,
    /// One line for the user, such as `cpu: this build has no CUDA (...)`.
    pub why: String,
}

/// The device that was asked for; `auto` takes the CPU where there is no card.
///
/// # Errors
/// A card was asked for by name, and this build or this machine has none: what is missing, and how to get it.
pub fn pick(choice: DeviceChoice) -> Result<Picked> {
    let cpu = |why: String| Picked { device: Device::Cpu, why: format!("cpu: {why}") };
    match choice {
        DeviceChoice::Cpu => Ok(cpu("asked for".into())),
        DeviceChoice::Cuda(number) => match cuda(number) {
            Ok(device) => Ok(Picked { device, why: format!("{choice}: asked for") }),
            Err(why) => Err(Error::Unsupported(format!("--device {choice}: {why}"))),
        },
        DeviceChoice::Metal => match metal() {
            Ok(device) => Ok(Picked { device, why: "metal: asked for".into() }),
            Err(why) => Err(Error::Unsupported(format!("--device metal: {why}"))),
        },
        DeviceChoice::Auto => {
            let no_cuda = match cuda(0) {
                Ok(device) => {
                    return Ok(Picked { device, why: "cuda: the first card of this machine".into() });
                }
                Err(why) => why,
            };
            if let Ok(device) = metal() {
                return Ok(Picked { device, why: "metal: the card of this machine".into() });
            }
            Ok(cpu(no_cuda))
        }
    }
}

/// As [`pick`], but never fails: without the card it is the CPU, and `why` says what is missing.
pub fn pick_or_cpu(choice: DeviceChoice) -> Picked {
    pick(choice).unwrap_or_else(|error| Picked { device: Device::Cpu, why: format!("cpu: {error}") })
}

/// Bytes of a card's memory that are taken, by this process and all others, and bytes in all; `None` if it is no card
/// that tells.
pub fn card_memory(device: &Device) -> Option<(u64, u64)> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(card) = device {
        let (free, total) = card.cuda_stream().context().mem_get_info().ok()?;
        return Some(((total - free) as u64, total as u64));
    }
    let _ = device;
    None
}

/// NVIDIA cards that this process sees.
pub fn cuda_cards() -> usize {
    #[cfg(feature = "cuda")]
    return candle_core::cuda::cudarc::driver::CudaContext::device_count()
        .ok()
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(0);
    #[cfg(not(feature = "cuda"))]
    0
}

/// The same device with handles of its own: those of a card must not be shared by threads that work at the same time.
pub(crate) fn with_own_handles(device: &Device) -> candle_core::Result<Device> {
    match device.location() {
        DeviceLocation::Cpu => Ok(Device::Cpu),
        DeviceLocation::Cuda { gpu_id } => Device::new_cuda(gpu_id),
        DeviceLocation::Metal { gpu_id } => Device::new_metal(gpu_id),
    }
}

fn cuda(number: usize) -> Result<Device, String> {
    if !candle_core::utils::cuda_is_available() {
        return Err(
            "this build has no CUDA; `cargo xtask cuda` makes one that has, for machines with an NVIDIA card and \
             its driver"
                .into(),
        );
    }
    Device::new_cuda(number).map_err(|error| {
        format!("no NVIDIA card {number} can be used ({}); `nvidia-smi -L` lists them", root_cause(&error))
    })
}

fn metal() -> Result<Device, String> {
    if !candle_core::utils::metal_is_available() {
        return Err("this build has no Metal; build with `--features metal` on a Mac".into());
    }
    Device::new_metal(0).map_err(|error| format!("no Apple card can be used ({})", root_cause(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_others_are_refused() {
        for choice in [
            DeviceChoice::Auto,
            DeviceChoice::Cpu,
            DeviceChoice::Cuda(0),
            DeviceChoice::Cuda(3),
            DeviceChoice::Metal,
        ] {
            assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
        }
        for wrong in ["", "gpu", "cuda:", "cuda:-1", "CUDA", "cuda:x"] {
            let error = wrong.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.contains("cuda:N"), "{error}");
        }
    }

    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    #[test]
    fn without_a_card_auto_is_the_cpu_and_a_card_by_name_is_an_error_that_helps() {
        let auto = pick(DeviceChoice::Auto).unwrap();
        assert!(auto.device.is_cpu() && auto.why.contains("no CUDA"), "{}", auto.why);
        let error = pick(DeviceChoice::Cuda(1)).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)));
        let text = error.to_string();
        assert!(text.contains("cuda:1") && text.contains("cargo xtask cuda"), "{text}");
        let instead = pick_or_cpu(DeviceChoice::Metal);
        assert!(instead.device.is_cpu() && instead.why.contains("--features metal"), "{}", instead.why);
    }
}
