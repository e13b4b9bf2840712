"""The Live network hop by hop: our kernels, candle's operations and ONNX Runtime, one thread each, in one run.

`cargo xtask bench separation` installs what this needs and runs it. `onnx_step.py` writes the network as an ONNX graph of
one hop, from compressed features to masks. ONNX Runtime is timed on that graph alone, hop after hop; ours and candle's
times also hold spectra, masking and the way back, so that the comparison errs in its favour. That the graph is the same
network is shown by separating a song with it: the stems are compared with `trainer separate`'s. The sides take turns;
a turn that other work disturbed is slow for no fault of its own, so each side's best turn counts.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
from onnx_step import Step, read_checkpoint

STEMS = ["drums", "bass", "other", "vocals"]
RATE = 44_100
ONNX = f"ONNX Runtime {onnxruntime.__version__}"
# As `trainer bench`: not timed.
WARM_UP_HOPS = 20


def windows(config):
    """Analysis and synthesis windows as in engine/src/model/band_dpt/windows.rs."""
    long, short, hop = config["analysis_window"], config["synthesis_window"], config["hop"]
    rise, fall = long - short // 2, short // 2
    n = np.arange(long)
    analysis = np.where(
        n < rise, np.sin(np.pi * (n + 0.5) / (2 * rise)), np.cos(np.pi * (n - rise + 0.5) / (2 * fall))
    )
    product = np.sin(np.pi * (np.arange(short) + 0.5) / short) ** 2 * 2 * hop / short
    return analysis, product / analysis[long - short :]


def see(config, mixture):
    """Spectra [hops, bins, 2] of a mixture [2, frames] and the features [hops, ..] that the network is given."""
    long, hop, window = config["analysis_window"], config["hop"], windows(config)[0]
    padded = np.concatenate([np.zeros((2, long - hop)), mixture], 1)
    starts = range(0, mixture.shape[1] - hop + 1, hop)
    spectra = np.stack([np.fft.rfft(padded[:, s : s + long] * window).T for s in starts])
    z = spectra * (2.0 / window.sum())
    z = z / np.sqrt(np.sqrt(np.abs(z) ** 2 + 1e-12))
    features = []
    for band in np.split(z, np.cumsum(config["bands"])[:-1], axis=1):
        parts = np.stack([band.real, band.imag], -1).reshape(len(band), -1)
        square = np.mean(parts**2, 1, keepdims=True) + 1e-4
        magnitudes = np.abs(band).reshape(len(band), -1)
        level = 0.4 * (np.log(square) + 5.0)
        rise = np.diff(level, axis=0, prepend=0.4 * (np.log(1e-4) + 5.0))
        features += [parts / np.sqrt(square), magnitudes / np.sqrt(square), level, rise]
    return spectra, np.concatenate(features, 1).astype(np.float32)


def hear(config, spectra, masks):
    """Stems [4, 2, frames], delayed by the separator's latency, from the hops' masks [hops][bins, taps, 4, 2]."""
    synthesis = windows(config)[1]
    short, hop, taps = (config[k] for k in ("synthesis_window", "hop", "taps"))
    out = np.zeros((4, 2, len(spectra) * hop + short))
    for number, mask in enumerate(masks):
        masked = sum(mask[:, tap] * spectra[number - tap][:, None] for tap in range(min(taps, number + 1)))
        newest = np.fft.irfft(masked, axis=0)[-short:]
        start = number * hop
        out[:, :, start : start + short] += (newest * synthesis[:, None, None]).transpose(1, 2, 0)
    return out[:, :, : len(spectra) * hop]


def read_wav(path):
    """A stereo WAV as [2, frames]."""
    return soundfile.read(path, dtype="float32")[0].T


def onnx_runtime(config, tensors, features):
    """Every hop's masks, and its seconds without those of the first hops, in order of length."""
    step, seconds, masks = Step(config, tensors), [], []
    for hop in features:
        seconds.append(step.run(hop))
        masks.append(step.masks())
    return masks, np.sort(seconds[WARM_UP_HOPS:])


def turn(arguments, folder, options):
    """What `trainer bench` measures."""
    file = folder / "bench.json"
    command = [arguments.trainer, "bench", arguments.checkpoint, "--seconds", arguments.seconds, "--json", file, *options]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return json.loads(file.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", required=True, help="the release build of the trainer")
    parser.add_argument("--checkpoint", default="checkpoints/live.safetensors")
    parser.add_argument("--seconds", type=float, default=5.0, help="of music in a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for the results")
    arguments = parser.parse_args()
    config, tensors = read_checkpoint(arguments.checkpoint)
    ours = {"ours": [], "ours, cold caches": ["--cold"], "candle": ["--engine", "candle"]}
    turns = {name: [] for name in (*ours, ONNX)}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run = lambda *command: subprocess.run([arguments.trainer, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
        run("synth", "--songs", 1, "--seconds", arguments.seconds, "--seed", 7, "-o", folder / "songs")
        song = next((folder / "songs").rglob("mixture.wav"))
        run("separate", song, "-o", folder / "stems", "--checkpoint", arguments.checkpoint)
        expected = np.stack([read_wav(next((folder / "stems").rglob(f"{stem}.wav"))) for stem in STEMS])
        spectra, features = see(config, read_wav(song))
        for _ in range(arguments.turns):
            for name, options in ours.items():
                turns[name].append(turn(arguments, folder, options))
            masks, seconds = onnx_runtime(config, tensors, features)
            turns[ONNX].append(
                {
                    "hop_ms_median": 1e3 * seconds[len(seconds) // 2],
                    "hop_ms_p99": 1e3 * seconds[int(0.99 * len(seconds))],
                    "real_time_factor": seconds.mean() * RATE / config["hop"],
                }
            )
    stems = hear(config, spectra, masks)[:, :, config["synthesis_window"] - config["hop"] :]
    expected = expected[:, :, : stems.shape[2]]
    error = 10 * np.log10(np.sum((stems - expected) ** 2) / np.sum(expected**2))
    print(f"stems by ONNX Runtime against ours: {error:.1f} dB, {np.abs(stems - expected).max():.1e} at most")
    # Half weights lose some 1e-4; more would mean that the graph is another network.
    if not error < -60.0:
        raise SystemExit("the ONNX graph does not compute what `trainer separate` does; the comparison would mean nothing")
    best = {name: min(results, key=lambda result: result["hop_ms_median"]) for name, results in turns.items()}
    first = best["ours"]
    print(f"{'hop by hop, one thread':24}{'median ms':>10}{'p99 ms':>8}{'real time':>11}{'times ours':>11}")
    for name, result in best.items():
        print(
            f"{name:24}{result['hop_ms_median']:10.3f}{result['hop_ms_p99']:8.3f}{result['real_time_factor']:11.3f}"
            f"{result['hop_ms_median'] / first['hop_ms_median']:11.2f}"
        )
    print(
        f"ours reaches {100 * first['share_of_peak']:.0f} % of the {first['gemm_gflops']:.0f} GFLOP/s of products of matrices "
        f"in turns with it; {first['macs_per_second'] / 1e9:.2f} GMAC for a second of audio"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps({"best": best, "turns": turns, "onnx_error_db": error}, indent=2))


if __name__ == "__main__":
    main()
