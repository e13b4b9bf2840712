//! Sounds and pictures as TensorBoard takes them.

use std::io::Cursor;

use anyhow::Context;
use engine::audio::AudioBuffer;
use realfft::RealFftPlanner;

use super::event::{Audio, Content, Image, Value};

/// Hz; that of all training data.
const SAMPLE_RATE: u32 = 44_100;

/// The first `frames` frames of a signal, as 16-bit WAV; beyond full scale it is clipped.
///
/// # Errors
/// A signal that makes no WAV file.
pub fn sound(tag: &str, signal: &AudioBuffer, frames: usize) -> anyhow::Result<Value> {
    let (channels, frames) = (signal.channels(), frames.min(signal.frames()));
    let spec = hound::WavSpec {
        channels: channels as u16,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let fail = || format!("cannot make the sound {tag}");
    let mut writer = hound::WavWriter::new(&mut file, spec).with_context(fail)?;
    for frame in 0..frames {
        for channel in signal.iter() {
            writer.write_sample((channel[frame].clamp(-1.0, 1.0) * 32_767.0) as i16).with_context(fail)?;
        }
    }
    writer.finalize().with_context(fail)?;
    let audio = Audio {
        sample_rate: SAMPLE_RATE as f32,
        channels: channels as i64,
        frames: frames as i64,
        encoded: file.into_inner(),
        content_type: "audio/wav".into(),
    };
    Ok(Value { tag: tag.into(), content: Some(Content::Audio(audio)) })
}

/// Height of one spectrogram, and the width that is not exceeded, in pixels.
const SIZE: (usize, usize) = (128, 640);
/// Frames in one transform.
const WINDOW: usize = 2048;
/// The frequency axis is logarithmic between these, Hz.
const HERTZ: (f32, f32) = (50.0, 16_000.0);
/// From black to white, dB of a full-scale sine.
const LEVELS: (f32, f32) = (-90.0, -20.0);
/// Between two spectrograms.
const GAP: usize = 4;

/// The spectrograms of the first `frames` frames of some signals, one above the other: time to the right, frequency
/// up on a logarithmic scale from 50 Hz to 16 kHz, level as brightness from -90 to -20 dB.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn picture(tag: &str, signals: &[&AudioBuffer], frames: usize) -> anyhow::Result<Value> {
    let fail = || format!("cannot draw the spectrogram {tag}");
    let frames = frames.min(signals.iter().map(|s| s.frames()).max().unwrap_or(0)).max(1);
    let width = frames.div_ceil(WINDOW / 8).min(SIZE.1);
    let mut pixels: Vec<u8> = Vec::new();
    for (number, signal) in signals.iter().enumerate() {
        if number > 0 {
            pixels.resize(pixels.len() + GAP * width * 3, 255);
        }
        let columns = columns(signal, frames, width);
        for row in (0..SIZE.0).rev() {
            pixels.extend(columns.iter().flat_map(|column| colour(column[row])));
        }
    }
    let height = pixels.len() / (3 * width);
    let mut encoded = Vec::new();
    let mut encoder = png::Encoder::new(&mut encoded, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().with_context(fail)?;
    writer.write_image_data(&pixels).with_context(fail)?;
    writer.finish().with_context(fail)?;
    let image = Image { height: height as i32, width: width as i32, colorspace: 3, encoded };
    Ok(Value { tag: tag.into(), content: Some(Content::Image(image)) })
}

/// Levels in dB by column and, from low to high, by row.
fn columns(signal: &AudioBuffer, frames: usize, width: usize) -> Vec<[f32; SIZE.0]> {
    let transform = RealFftPlanner::<f32>::new().plan_fft_forward(WINDOW);
    let (mut samples, mut spectrum) = (transform.make_input_vec(), transform.make_output_vec());
    let hann = |i: usize| 0.5 - 0.5 * (std::f32::consts::TAU * i as f32 / WINDOW as f32).cos();
    // A full-scale sine in a Hann window has a peak of a quarter of the window's length.
    let full_scale = (WINDOW as f32 / 4.0).powi(2) * signal.channels().max(1) as f32;
    let edge = |row: usize| {
        let hertz = HERTZ.0 * (HERTZ.1 / HERTZ.0).powf(row as f32 / SIZE.0 as f32);
        (hertz * WINDOW as f32 / SAMPLE_RATE as f32).round() as usize
    };
    let column = |column: usize| {
        let start = ((column * frames / width) as isize).saturating_sub_unsigned(WINDOW / 2);
        let mut power = vec![0f32; spectrum.len()];
        for channel in signal.iter() {
            for (i, to) in samples.iter_mut().enumerate() {
                let at = usize::try_from(start + i as isize).ok();
                *to = at.and_then(|at| channel.get(at)).map_or(0.0, |x| x * hann(i));
            }
            if transform.process(&mut samples, &mut spectrum).is_ok() {
                power.iter_mut().zip(&spectrum).for_each(|(p, x)| *p += x.norm_sqr() / full_scale);
            }
        }
        std::array::from_fn(|row| {
            let (low, high) = (edge(row), edge(row + 1).max(edge(row) + 1));
            let strongest = power[low..high.min(power.len())].iter().fold(1e-12, |a: f32, b| a.max(*b));
            10.0 * strongest.log10()
        })
    };
    (0..width).map(column).collect()
}

/// Black over red and yellow to white.
fn colour(level: f32) -> [u8; 3] {
    let height = ((level - LEVELS.0) / (LEVELS.1 - LEVELS.0)).clamp(0.0, 1.0) * 3.0;
    [0.0, 1.0, 2.0].map(|from| ((height - from).clamp(0.0, 1.0) * 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_bright_in_its_own_row_and_dark_elsewhere() {
        let tone: Vec<f32> = (0..20_000)
            .map(|n| 0.5 * (n as f32 * 1_000.0 * std::f32::consts::TAU / 44_100.0).sin())
            .collect();
        let signal = AudioBuffer::from_channels(vec![tone.clone(), tone]).unwrap();
        let middle = &columns(&signal, 20_000, 40)[20];
        let row = |hertz: f32| ((hertz / HERTZ.0).ln() / (HERTZ.1 / HERTZ.0).ln() * SIZE.0 as f32) as usize;
        assert!((middle[row(1_000.0)] + 6.0).abs() < 2.0, "{}", middle[row(1_000.0)]);
        assert!(middle[row(300.0)] < -60.0 && middle[row(5_000.0)] < -60.0);
    }

    #[test]
    fn pictures_hold_all_signals_one_above_the_other_even_empty_ones() {
        let signal = AudioBuffer::from_channels(vec![vec![0.1; 5_000]; 2]).unwrap();
        for signals in [vec![&signal], vec![&signal, &AudioBuffer::default()]] {
            let Some(Content::Image(image)) = picture("x", &signals, 100_000).unwrap().content else {
                panic!("not an image");
            };
            let reader = png::Decoder::new(Cursor::new(image.encoded)).read_info().unwrap();
            let (width, height) = reader.info().size();
            assert_eq!((width as i32, height as i32), (image.width, image.height));
            assert_eq!(height as usize, signals.len() * (SIZE.0 + GAP) - GAP);
        }
    }
}
