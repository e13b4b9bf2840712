//! Reading and writing audio files.

use std::f64::consts::TAU;
use std::path::{Path, PathBuf};

use engine::audio::{AudioBuffer, Format, Reader, read, to_stereo, write_wav};

use crate::support::Noise;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn noise(frames: usize) -> AudioBuffer {
    AudioBuffer::from_channels(Noise::new(1).stereo(frames).to_vec()).expect("equal lengths")
}

/// What reading this file says is wrong with it.
fn complaint(path: &Path) -> String {
    let error = read(path).expect_err("must be refused").to_string();
    assert!(error.contains(&path.display().to_string()), "the text names the file: {error}");
    error
}

/// A WAV header of 44 bytes that promises `data` bytes of audio, then `bytes`.
fn wav(channels: u16, rate: u32, bits: u16, data: u32, bytes: &[u8]) -> Vec<u8> {
    let align = channels * (bits / 8);
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend(data.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend(rate.wrapping_mul(u32::from(align)).to_le_bytes());
    file.extend(align.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend(data.to_le_bytes());
    file.extend(bytes);
    file
}

#[test]
fn what_was_written_is_read_back_to_the_last_bit_the_format_holds() {
    let (folder, audio) = (folder(), noise(10_007));
    for (format, step) in
        [(Format::Int16, 1.0 / 32_768.0), (Format::Int24, 1.0 / 8_388_608.0), (Format::Float32, 0.0)]
    {
        let path = folder.path().join(format!("{format:?}.wav"));
        write_wav(&path, &audio, 48_000, format).expect("writes");
        let file = read(&path).expect("reads");
        assert_eq!((file.sample_rate, file.audio.channels(), file.audio.frames()), (48_000, 2, 10_007));
        for (read, written) in file.audio.iter().flatten().zip(audio.iter().flatten()) {
            assert!((read - written).abs() <= step / 2.0, "{format:?}: {written} became {read}");
        }
        // What has been through the format once comes through unchanged.
        write_wav(&path, &file.audio, 48_000, format).expect("replaces");
        assert!(read(&path).expect("reads") == file);
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 3, "no temporary file stays");
}

#[test]
fn integers_clip_at_full_scale_and_hold_no_nan() {
    let folder = folder();
    let path = folder.path().join("loud.wav");
    let samples = vec![1.0, -1.0, 1.7, -1.7, f32::NAN, f32::INFINITY];
    let audio = AudioBuffer::from_channels(vec![samples]).expect("one channel");
    write_wav(&path, &audio, 44_100, Format::Int16).expect("writes");
    let top = 32_767.0 / 32_768.0;
    assert_eq!(read(&path).expect("reads").audio.channel(0), [top, -1.0, top, -1.0, 0.0, top]);
}

#[test]
fn wav_of_8_to_32_bits_is_read() {
    let folder = folder();
    for (bits, bytes, expected) in [
        (8, vec![0, 128, 192, 64], [-1.0, 0.0, 0.5, -0.5]),
        (16, vec![0, 128, 0, 0, 0, 64, 0, 192], [-1.0, 0.0, 0.5, -0.5]),
        (24, vec![0, 0, 128, 0, 0, 0, 0, 0, 64, 0, 0, 192], [-1.0, 0.0, 0.5, -0.5]),
        (32, vec![0, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 192], [-1.0, 0.0, 0.5, -0.5]),
    ] {
        let path = folder.path().join("bits.wav");
        std::fs::write(&path, wav(1, 44_100, bits, bytes.len() as u32, &bytes)).expect("writes");
        assert_eq!(read(&path).expect("reads").audio.channel(0), expected, "{bits} bits");
    }
}

#[test]
fn every_format_is_decoded_to_the_same_sines() {
    // (file, frames in it, frames that the encoder's untold delay adds)
    for (name, frames, delay) in [
        ("tone.aiff", 2_205, 0),
        ("tone.flac", 11_025, 0),
        ("tone.ogg", 11_025, 0),
        ("tone.mp3", 11_025, 0),
        ("tone.m4a", 11_025, 1_024),
    ] {
        let file = read(&data(name)).expect("reads");
        assert_eq!((file.sample_rate, file.audio.channels()), (44_100, 2), "{name}");
        assert!(file.audio.frames() >= frames + delay, "{name}: {} frames", file.audio.frames());
        assert!(delay > 0 || file.audio.frames() == frames, "{name}: {} frames", file.audio.frames());
        let lossless = matches!(name, "tone.aiff" | "tone.flac");
        // Lossy coders smear the first and last moments.
        let edge = if lossless { 0 } else { 2_500 };
        for (channel, (level, hertz)) in file.audio.iter().zip([(0.5, 440.0), (0.25, 1_000.0)]) {
            let (mut sine, mut cosine, mut weights) = (0.0, 0.0, 0.0);
            for n in edge..frames - edge {
                let found = f64::from(channel[n + delay]);
                let phase = TAU * hertz * n as f64 / 44_100.0;
                assert!(!lossless || (found - level * phase.sin()).abs() < 2e-5, "{name}: frame {n}");
                let weight = 1.0 - (TAU * (n - edge) as f64 / (frames - 2 * edge) as f64).cos();
                sine += 2.0 * weight * found * phase.sin();
                cosine += 2.0 * weight * found * phase.cos();
                weights += weight;
            }
            let shift = cosine.atan2(sine) / (TAU * hertz) * 44_100.0;
            assert!(shift.abs() < 0.05, "{name}: off by {shift} frames");
            // LAME lowers the level by 5 %.
            let gain = sine.hypot(cosine) / weights / level;
            assert!((0.94..1.01).contains(&gain), "{name}: gain {gain}");
        }
    }
}

#[test]
fn reading_by_blocks_gives_the_whole_file() {
    let whole = read(&data("tone.ogg")).expect("reads");
    let mut reader = Reader::open(&data("tone.ogg")).expect("opens");
    assert_eq!((reader.channels(), reader.sample_rate()), (2, 44_100));
    assert_eq!(reader.frames(), Some(11_025));
    let mut left = Vec::new();
    while let Some(block) = reader.next_block().expect("reads") {
        assert!(block.frames() < 5_000);
        left.extend_from_slice(block.channel(0));
    }
    assert_eq!(left, whole.audio.channel(0));
}

#[test]
fn a_file_that_is_cut_off_is_refused_with_the_missing_time() {
    let folder = folder();
    let path = folder.path().join("cut.wav");
    for format in [Format::Int16, Format::Int24, Format::Float32] {
        write_wav(&path, &noise(44_100), 44_100, format).expect("writes");
        let bytes = std::fs::read(&path).expect("reads");
        // At a frame's border, and in the midst of one; early, late, and right after the header.
        for keep in [bytes.len() / 2, bytes.len() / 2 + 1, bytes.len() - 1, 44, 80] {
            std::fs::write(&path, &bytes[..keep]).expect("writes");
            let text = complaint(&path);
            assert!(text.contains("cut off") || text.contains("header is broken"), "{keep}: {text}");
        }
        std::fs::write(&path, &bytes[..44 + (bytes.len() - 44) / 2]).expect("writes");
        assert!(complaint(&path).contains("promises 44100 frames"), "{}", complaint(&path));
        assert!(complaint(&path).contains("(0.50 s are missing)"), "{}", complaint(&path));
    }
    let flac = std::fs::read(data("tone.flac")).expect("reads");
    let path = folder.path().join("cut.flac");
    std::fs::write(&path, &flac[..flac.len() / 2]).expect("writes");
    assert!(complaint(&path).contains("cut off"), "{}", complaint(&path));
}

#[test]
fn a_wav_of_unknown_length_is_read_to_its_end() {
    let folder = folder();
    let path = folder.path().join("piped.wav");
    let samples = [0_u8, 64].repeat(1_000);
    std::fs::write(&path, wav(1, 44_100, 16, u32::MAX, &samples)).expect("writes");
    let file = read(&path).expect("reads");
    assert_eq!((file.audio.frames(), file.audio.channel(0)[999]), (1_000, 0.5));
}

#[test]
fn what_is_not_audio_is_refused_with_the_reason() {
    let folder = folder();
    let path = folder.path().join("strange.wav");
    let samples = [0_u8; 64];
    for (bytes, reason) in [
        (Vec::new(), "empty"),
        (b"Not audio at all, but long enough to be looked at.".repeat(100), "not a file that can be read"),
        (wav(2, 44_100, 16, 64, &samples)[..20].to_vec(), "not a file that can be read"),
        (wav(2, 44_100, 16, 0, &[]), "holds no audio"),
        (wav(0, 44_100, 16, 64, &samples), ""),
        (wav(2, 0, 16, 64, &samples), "0 Hz"),
        (wav(2, 4_000_000_000, 16, 64, &samples), "4000000000 Hz"),
        (wav(2, 44_100, 17, 64, &samples), ""),
        (wav(60_000, 44_100, 8, 64, &samples), ""),
        (wav(2, 44_100, 16, 0xffff_fff0, &samples), "cut off"),
    ] {
        std::fs::write(&path, &bytes).expect("writes");
        let text = complaint(&path);
        assert!(text.contains(reason), "expected {reason}: {text}");
    }
    assert!(complaint(folder.path()).contains("folder"));
    assert!(complaint(&folder.path().join("missing.wav")).contains("cannot read"));
}

#[test]
fn no_damage_to_a_file_is_worse_than_an_error() {
    let folder = folder();
    let mut noise = Noise::new(3);
    for name in ["tone.aiff", "tone.flac", "tone.ogg", "tone.mp3", "tone.m4a"] {
        let good = std::fs::read(data(name)).expect("reads");
        for _ in 0..60 {
            let mut bytes = good.clone();
            for _ in 0..3 {
                let at = noise.size(bytes.len() - 1);
                bytes[at] = noise.size(255) as u8;
            }
            bytes.truncate(bytes.len() - noise.size(bytes.len() / 2));
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).expect("writes");
            if let Ok(file) = read(&path) {
                assert!(file.audio.frames() < 1 << 20, "{name}");
            }
        }
    }
}

#[test]
fn a_failed_write_leaves_what_was_there() {
    let folder = folder();
    let audio = noise(100);
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").expect("writes");
    for target in [file.join("below-a-file.wav"), folder.path().join("no/such/folder.wav")] {
        let error = write_wav(&target, &audio, 44_100, Format::Int16).expect_err("must fail").to_string();
        assert!(error.contains("cannot write") && error.contains(&target.display().to_string()), "{error}");
    }
    // A name that is taken by a folder: everything is written, only the last step fails.
    std::fs::create_dir_all(folder.path().join("taken/full")).expect("creates");
    write_wav(&folder.path().join("taken"), &audio, 44_100, Format::Int16).expect_err("must fail");
    assert_eq!(std::fs::read_to_string(&file).expect("reads"), "mine");
    assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 2, "no temporary file stays");

    let path = folder.path().join("bad.wav");
    assert!(write_wav(&path, &audio, 0, Format::Int16).is_err());
    assert!(write_wav(&path, &AudioBuffer::new(0, 0), 44_100, Format::Int16).is_err());
}

#[cfg(unix)]
#[test]
fn a_written_file_is_readable_like_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let [ours, other] = ["ours.wav", "other"].map(|name| folder.path().join(name));
    write_wav(&ours, &noise(10), 44_100, Format::Int16).expect("writes");
    std::fs::write(&other, "").expect("writes");
    let mode = |path: &Path| std::fs::metadata(path).expect("exists").permissions().mode();
    assert_eq!(mode(&ours), mode(&other));
}

#[test]
fn mono_becomes_dual_mono_and_surround_is_refused() {
    let mono = AudioBuffer::from_channels(vec![vec![0.1, 0.2]]).expect("one channel");
    let stereo = to_stereo(mono).expect("works");
    assert_eq!((stereo.channel(0), stereo.channel(1)), (&[0.1, 0.2][..], &[0.1, 0.2][..]));
    assert!(to_stereo(stereo.clone()).expect("works") == stereo);
    let error = to_stereo(AudioBuffer::new(6, 10)).expect_err("refused").to_string();
    assert!(error.contains("6 channels"), "{error}");
}
