//! `trainer selftest`: whether a device computes what it should, and how fast it is.

mod speed;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use candle_core::Device;
use engine::device::{DeviceChoice, MatmulPrecision, pick, set_matmul_precision};
use engine::model::agreement::{self, Agreement, Case};
use serde_json::{Value, json};

use crate::bench;

/// Compares every layer and network with the CPU, outputs and gradients, then times training and separation.
///
/// On the CPU itself, the operations that cards run are compared with the fused ones that the CPU runs.
#[derive(clap::Args)]
pub struct Args {
    /// What is tested: auto, cpu, cuda, cuda:N or metal.
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Begins nothing more after so many minutes.
    #[arg(long, value_name = "N", default_value_t = 8.0)]
    minutes: f64,
    /// Writes the results.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// In f32 the device's outputs and gradients may differ by so much of their own length.
const TOLERANCE: f64 = 1e-3;

/// Tests; fails if the device computes something else than the CPU.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let picked = pick(args.device)?;
    crate::memory::keep();
    let deadline = Instant::now() + Duration::from_secs_f64(args.minutes.max(0.0) * 60.0);
    println!("device: {}", picked.why);

    println!("\n{:<44}{:>10}{:>12}{:>12}  gradient of", "agreement with the CPU", "", "output", "gradient");
    let mut results = Vec::new();
    let mut wrong = 0;
    let precise = agreement::layers().into_iter().chain(agreement::networks());
    for case in precise {
        let (result, agrees) = check(&case, &picked.device, MatmulPrecision::F32)?;
        results.push(result);
        wrong += usize::from(!agrees);
    }
    for precision in rounding(&picked.device) {
        for case in agreement::networks() {
            results.push(check(&case, &picked.device, precision)?.0);
        }
    }
    set_matmul_precision(MatmulPrecision::F32);
    println!(
        "{}",
        match wrong {
            0 => "everything agrees".into(),
            count => format!("{count} things do not agree: this device must not be trained or separated on"),
        }
    );

    let speed = speed::measure(&picked.device, deadline)?;
    let result = json!({
        "device": picked.why,
        "tolerance": TOLERANCE,
        "agrees": wrong == 0,
        "agreement": results,
        "speed": speed,
    });
    bench::write(args.json.as_deref(), &result)?;
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The precisions besides f32. The CPU rounds as a card does only for bf16.
fn rounding(device: &Device) -> Vec<MatmulPrecision> {
    match device.is_cuda() {
        true => vec![MatmulPrecision::Tf32, MatmulPrecision::Bf16],
        false => vec![MatmulPrecision::Bf16],
    }
}

/// Compares, prints, and says whether it is near enough; only f32 is judged.
fn check(case: &Case, device: &Device, precision: MatmulPrecision) -> anyhow::Result<(Value, bool)> {
    set_matmul_precision(precision);
    let found = case.agreement(device);
    let agrees = found.as_ref().is_ok_and(|found| found.output.max(found.gradient) <= TOLERANCE);
    let mark = if agrees || precision != MatmulPrecision::F32 { "" } else { "  WRONG" };
    let name = &case.name;
    let result = match found {
        Ok(Agreement { output, gradient, of }) => {
            println!("{name:<44}{precision:>10}{output:>12.1e}{gradient:>12.1e}  {of}{mark}");
            json!({ "case": name, "precision": precision.to_string(), "output": output, "gradient": gradient,
                    "gradient_of": of })
        }
        Err(error) => {
            println!("{name:<44}{precision:>10}  {error}{mark}");
            json!({ "case": name, "precision": precision.to_string(), "error": error.to_string() })
        }
    };
    Ok((result, agrees))
}
