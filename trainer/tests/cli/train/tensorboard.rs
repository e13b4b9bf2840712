//! Event files, read by the real TensorBoard.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{GENERATED, curve, recipe};
use crate::common::{assert_done, run, trainer};

/// Lists what TensorBoard's own reader finds in a folder, as JSON.
const LIST: &str = r#"
import io, json, sys, wave
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
everything = {"scalars": 0, "images": 0, "audio": 0}
events = EventAccumulator(sys.argv[1], size_guidance=everything)
events.Reload()
tags = events.Tags()
def sound(event):
    with wave.open(io.BytesIO(event.encoded_audio_string)) as file:
        form = [file.getnchannels(), file.getframerate(), file.getnframes()]
    return [event.step, event.content_type, event.sample_rate, event.length_frames] + form
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
    "audio": {tag: [sound(e) for e in events.Audio(tag)] for tag in tags["audio"]},
    "images": {tag: [[e.step, e.width, e.height, e.encoded_image_string[:8].hex()] for e in events.Images(tag)]
               for tag in tags["images"]},
}))
"#;

fn read(folder: &Path) -> Value {
    let python = std::env::var("TRIBUTARY_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(&python).args(["-c", LIST]).arg(folder).output();
    let output = output.unwrap_or_else(|e| panic!("{python} does not start ({e}); run `cargo xtask test`"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{python} cannot read the event files; if it has no TensorBoard, run `cargo xtask test`, which installs it \
         and sets TRIBUTARY_PYTHON:\n{errors}"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Steps of the events with a tag.
fn steps(events: &Value) -> Vec<u64> {
    events.as_array().unwrap().iter().map(|event| event[0].as_u64().unwrap()).collect()
}

#[test]
fn tensorboard_reads_curves_sounds_and_pictures_of_a_killed_and_resumed_run_without_doubles() {
    let folder = tempfile::tempdir().unwrap();
    let text = recipe("board", 12, GENERATED)
        .replace("every = 12", "every = 6")
        .replace("every = 3", "every = 1000")
        .replace("[optimizer]", "[loss]\nterms = [{ kind = \"l1\" }, { kind = \"stft\" }]\n[optimizer]")
        .replace("[checkpoint]", "[tensorboard]\nmedia_seconds = 0.5\n[checkpoint]");
    std::fs::write(folder.path().join("board.toml"), text).unwrap();
    let board = folder.path().join("runs/board");
    let mut child = trainer()
        .current_dir(folder.path())
        .args(["train", "board.toml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    // After the first validation: the state has six steps, the event file more.
    while curve(&board).len() < 8 {
        assert!(begun.elapsed() < Duration::from_secs(120), "eight steps take too long");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // As a kill in the middle of a write could leave it.
    let files = || std::fs::read_dir(&board).unwrap().map(|entry| entry.unwrap().path());
    let events = |path: &std::path::PathBuf| path.to_string_lossy().contains("events.out");
    let first = files().find(events).unwrap();
    let mut bytes = std::fs::read(&first).unwrap();
    bytes.extend([40, 0, 0, 0, 0]);
    std::fs::write(&first, bytes).unwrap();

    assert_done(&run(folder.path(), &["train", "board.toml", "--resume"]));
    assert_eq!(files().filter(events).count(), 2);

    let read = read(&board);
    let scalars = &read["scalars"];
    let every_step: Vec<u64> = (1..=12).collect();
    for tag in ["loss/train", "loss/train_l1", "loss/train_stft", "learning_rate", "gradient_norm"] {
        assert_eq!(steps(&scalars[tag]), every_step, "{tag}");
    }
    assert_eq!(steps(&scalars["speed/audio_seconds_per_second"]), every_step);
    let logged: Vec<f64> = curve(&board).iter().map(|[_, loss, _]| loss.parse().unwrap()).collect();
    for (event, loss) in scalars["loss/train"].as_array().unwrap().iter().zip(&logged) {
        assert!((event[1].as_f64().unwrap() - loss).abs() < 1e-5 * loss);
    }
    assert_eq!(steps(&scalars["loss/validation"]), [6, 12]);
    assert_eq!(steps(&scalars["sdr/mean"]), [6, 12]);
    assert!(
        ["drums", "bass", "other", "vocals"].iter().any(|stem| !scalars[format!("sdr/{stem}")].is_null())
    );

    for stem in ["drums", "bass", "other", "vocals"] {
        let target = &read["audio"][format!("{stem}/target")];
        assert!(!target.as_array().unwrap().is_empty());
        let prediction = &read["audio"][format!("{stem}/prediction")];
        assert_eq!(steps(prediction), [6, 12]);
        // Half a second of 16-bit stereo, as the file itself says.
        let facts: Vec<Value> =
            serde_json::from_str("[\"audio/wav\", 44100.0, 22050, 2, 44100, 22050]").unwrap();
        assert_eq!(prediction[0].as_array().unwrap()[1..], facts);
        let picture = &read["images"][format!("spectrogram/{stem}_target_above_prediction")];
        assert_eq!(steps(picture), [6, 12]);
        assert_eq!(picture[0][3], "89504e470d0a1a0a");
        assert!(picture[0][1].as_u64().unwrap() > 50 && picture[0][2].as_u64().unwrap() > 100);
    }
    assert!(!read["audio"]["mixture"].is_null() && !read["images"]["spectrogram/mixture"].is_null());
}
