//! Draws the editor into a PNG, without host, window or GPU.
//!
//! `cargo run -p plugin --example editor_picture -- docs/editor.png`

mod raster;

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use egui::{Context, Rect, pos2, vec2};
use engine::STEMS;
use engine::realtime::LatencyBudget;
use nice_plug::prelude::*;
use plugin::editor::view::{Snapshot, ViewState, draw};
use plugin::editor::{DEFAULT_SIZE, theme};
use plugin::mixer::Peaks;
use plugin::params::TributaryParams;

/// Pixels per point: the picture looks well on sharp screens.
const SCALE: f32 = 2.0;
/// The meters need some frames to move to where they are.
const FRAMES: usize = 12;

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
        let snapshot = snapshot(frame);
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

/// A song in full swing: louder a moment ago than now.
fn snapshot(frame: usize) -> Snapshot {
    let level = |db: f32| 10f32.powf((db - if frame < 3 { 0.0 } else { 60.0 }) / 20.0);
    let stems: [[f32; 2]; STEMS] =
        [[level(-1.5), level(-2.8)], [level(-5.0), level(-5.2)], [0.0; 2], [level(-3.2), level(-4.4)]];
    Snapshot {
        peaks: Peaks { main: [level(0.5), level(-0.6)], stems },
        sample_rate: 48_000,
        latency: LatencyBudget { resampling: 118, separator: 2_048, hop: 1_115, slack: 1_115 },
        load: 0.31,
        ..Snapshot::default()
    }
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
