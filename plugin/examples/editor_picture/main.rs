//! Draws the editor into a PNG, without host, window or GPU. Latency and load are those of the
//! embedded checkpoint on this machine; the levels are made up.
//!
//! `cargo run -p plugin --example editor_picture -- docs/editor.png`

mod raster;

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::sync::atomic::Ordering;

use egui::{Context, Rect, pos2, vec2};
use engine::STEMS;
use engine::checkpoint::Checkpoint;
use engine::realtime::{Stream, StreamConfig};
use nice_plug::prelude::*;
use plugin::editor::view::{Snapshot, ViewState, draw};
use plugin::editor::{DEFAULT_SIZE, theme};
use plugin::mixer::Peaks;
use plugin::params::{Choice, Device, Model, TributaryParams};

/// Pixels per point: the picture looks well on sharp screens.
const SCALE: f32 = 2.0;
/// The meters need some frames to move to where they are.
const FRAMES: usize = 12;
/// Host blocks, frames, and how many of them are played to measure the load.
const BLOCK: usize = 512;
const BLOCKS: usize = 600;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: editor_picture FILE.png")?;
    let params = TributaryParams::default();
    // SAFETY: nobody else has these parameters, and the pointers live as long as they do.
    unsafe {
        params.drums.gain.as_ptr()._internal_set_normalized_value(params.drums.gain.preview_normalized(-3.5));
        params
            .vocals
            .gain
            .as_ptr()
            ._internal_set_normalized_value(params.vocals.gain.preview_normalized(2.0));
        params.other.mute.as_ptr()._internal_set_normalized_value(1.0);
    }

    let mut snapshot = measured()?;
    let ctx = Context::default();
    theme::apply(&ctx);
    let mut state = ViewState::default();
    let mut raster = raster::Raster::new(
        (DEFAULT_SIZE.width * SCALE) as usize,
        (DEFAULT_SIZE.height * SCALE) as usize,
        SCALE,
    );
    for frame in 0..FRAMES {
        let mut input = egui::RawInput {
            screen_rect: Some(Rect::from_min_size(
                pos2(0.0, 0.0),
                vec2(DEFAULT_SIZE.width, DEFAULT_SIZE.height),
            )),
            time: Some(frame as f64 / 30.0),
            ..Default::default()
        };
        input.viewports.entry(egui::ViewportId::ROOT).or_default().native_pixels_per_point = Some(SCALE);
        snapshot.peaks = peaks(frame);
        let setter = ParamSetter::new(&NoHost);
        let output = ctx.run_ui(input, |ui| draw(ui, &setter, &params, &mut state, &snapshot));
        raster.textures(&output.textures_delta);
        if frame == FRAMES - 1 {
            raster.paint(ctx.tessellate(output.shapes, output.pixels_per_point));
        }
    }

    let mut encoder =
        png::Encoder::new(BufWriter::new(File::create(&path)?), raster.width as u32, raster.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    encoder.set_filter(png::FilterType::Paeth);
    encoder.write_header()?.write_image_data(&raster.rgb())?;
    println!("wrote {path}");
    Ok(())
}

/// What the footer shows, after some seconds of noise.
fn measured() -> Result<Snapshot, Box<dyn Error>> {
    let checkpoint =
        Checkpoint::from_bytes(include_bytes!("../../../checkpoints/live.safetensors"), "live (embedded)")?;
    let config = StreamConfig { sample_rate: 44_100, max_block: BLOCK, offline: true };
    let mut stream = Stream::start(checkpoint.separator()?, config)?;
    let mut state = 1u32;
    let noise: Vec<f32> = (0..BLOCK)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect();
    for _ in 0..BLOCKS {
        stream.process([&noise, &noise]);
    }
    Ok(Snapshot {
        sample_rate: config.sample_rate,
        choice: Some(Choice { model: Model::Live, device: Device::Cpu }),
        device: "cpu".into(),
        latency: stream.latency(),
        load: stream.monitor().load.load(Ordering::Relaxed),
        ..Snapshot::default()
    })
}

/// A song in full swing: louder a moment ago than now.
fn peaks(frame: usize) -> Peaks {
    let level = |db: f32| 10f32.powf((db - if frame < 3 { 0.0 } else { 60.0 }) / 20.0);
    let stems: [[f32; 2]; STEMS] =
        [[level(-1.5), level(-2.8)], [level(-5.0), level(-5.2)], [0.0; 2], [level(-3.2), level(-4.4)]];
    Peaks { main: [level(0.5), level(-0.6)], stems }
}

/// Stands in for the host. Nobody touches the editor in the picture.
struct NoHost;

impl nice_plug::context::gui::GuiContext for NoHost {
    fn plugin_api(&self) -> PluginApi {
        PluginApi::Clap
    }
    fn request_resize(&self) -> bool {
        false
    }
    unsafe fn raw_begin_set_parameter(&self, _param: ParamPtr) {}
    unsafe fn raw_set_parameter_normalized(&self, _param: ParamPtr, _normalized: f32) {}
    unsafe fn raw_end_set_parameter(&self, _param: ParamPtr) {}
    fn get_state(&self) -> PluginState {
        unreachable!("the editor does not ask for it")
    }
    fn set_state(&self, _state: PluginState) {}
}
