"""BSSEval v4: `trainer score` and museval on the same WAV files, one thread each, side by side.

    cargo xtask bench score [-- --seconds 30]

Prints both times, their ratio, and the largest difference of any ratio in any window. museval's time is that of
reading the files and scoring; starting Python and importing museval are not counted. Ours is that of the whole
process, with the JSON written.
"""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import time
import wave

# Before numpy is imported, which reads them once.
THREADS = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]
os.environ.update({name: "1" for name in THREADS})

import museval  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402
from scipy.signal import lfilter  # noqa: E402

RATE = 44100
STEMS = ["drums", "bass", "other", "vocals"]
METRICS = ["SDR", "ISR", "SIR", "SAR"]


def song(seconds):
    """References and estimates, [4, frames, 2]: filtered noise with pauses, and mixtures of it."""
    random = np.random.default_rng(1)
    frames = int(seconds * RATE)
    references = []
    for pole in [-0.3, 0.98, 0.7, 0.5]:
        noise = lfilter([1 - abs(pole)], [1, -pole], random.standard_normal((frames, 2)), axis=0)
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(frames) / RATE * random.uniform(0.2, 2))
        references.append(0.08 * noise * swell[:, None] / noise.std())
    references[3][RATE : 2 * RATE + RATE // 2] = 0
    mixture = sum(references)
    estimates = [0.8 * r + 0.1 * mixture + 0.003 * random.standard_normal(r.shape) for r in references]
    return np.array(references), np.array(estimates)


def write(folder, signals):
    """16-bit WAV files, by stem."""
    folder.mkdir()
    for name, signal in zip(STEMS, signals):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.clip(np.round(signal * 32768), -32768, 32767).astype("<i2").tobytes())


def read_vectors(path):
    """References and estimates of a parity vector (safetensors), [4, frames, 2], and museval's stored ratios."""
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])

    def tensor(name):
        start, end = header[name]["data_offsets"]
        kind = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[header[name]["dtype"]]
        return np.frombuffer(raw[8 + length + start : 8 + length + end], kind).reshape(header[name]["shape"])

    signals = [np.array([tensor(f"{kind}.{s}").T for s in STEMS]) for kind in ["reference", "estimate"]]
    return *signals, np.array([[tensor(f"{m}.{s}") for s in STEMS] for m in METRICS])


def write_float(folder, signals):
    """32-bit float WAV files, which keep every bit of the vector."""
    folder.mkdir()
    for name, signal in zip(STEMS, signals):
        soundfile.write(folder / f"{name}.wav", signal.astype("float32"), RATE, subtype="FLOAT")


def run_museval(references, estimates):
    """Seconds, and the ratios [metric, stem, window]."""
    start = time.perf_counter()
    signals = [
        np.array([soundfile.read(folder / f"{name}.wav", always_2d=True)[0] for name in STEMS])
        for folder in [references, estimates]
    ]
    ratios = museval.evaluate(*signals, win=RATE, hop=RATE)
    return time.perf_counter() - start, np.array(ratios)


def run_ours(trainer, references, estimates):
    """Seconds, and the ratios [metric, stem, window]."""
    output = references.parent / "ours.json"
    start = time.perf_counter()
    command = [trainer, "score", references, estimates, "--json", output]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    targets = {target["name"]: target["frames"] for target in json.loads(output.read_text())["targets"]}
    number = lambda x: float("nan") if x is None else x
    return seconds, np.array(
        [[[number(frame["metrics"][m]) for frame in targets[s]] for s in STEMS] for m in METRICS]
    )


def compare(ours, theirs):
    """Prints the largest difference, and whether both have numbers in the same places."""
    if not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        raise SystemExit("DIFFERENT: one has a number where the other has none")
    differences = np.abs(ours - theirs)
    by_metric = ", ".join(f"{m} {np.nanmax(d):.1e}" for m, d in zip(METRICS, differences))
    print(f"largest difference, dB: {by_metric}; {np.isnan(ours[0]).sum()} of {ours[0].size} windows without a number")
    if np.nanmax(differences) > 0.01:
        raise SystemExit("DIFFERENT: more than 0.01 dB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", required=True, help="the release's `trainer`")
    parser.add_argument("--seconds", type=float, default=30, help="length of the song")
    parser.add_argument("--runs", type=int, default=2, help="how often each side runs; the fastest run counts")
    parser.add_argument("--vectors", help="score this parity vector's signals as WAV files instead, without museval")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        references, estimates = pathlib.Path(folder) / "references", pathlib.Path(folder) / "estimates"
        if arguments.vectors:
            *signals, stored = read_vectors(arguments.vectors)
            write_float(references, signals[0])
            write_float(estimates, signals[1])
            _, ours = run_ours(arguments.trainer, references, estimates)
            compare(ours, stored)
            return
        signals = song(arguments.seconds)
        write(references, signals[0])
        write(estimates, signals[1])
        times = [[], []]
        for _ in range(arguments.runs):
            seconds, theirs = run_museval(references, estimates)
            times[0].append(seconds)
            seconds, ours = run_ours(arguments.trainer, references, estimates)
            times[1].append(seconds)
        museval_s, ours_s = map(min, times)
        print(f"4 stereo stems of {arguments.seconds:g} s, 1 s windows, 512 taps, one thread each")
        print(f"museval        {museval_s:8.2f} s")
        print(f"trainer score  {ours_s:8.2f} s")
        print(f"ratio          {museval_s / ours_s:8.1f}")
        compare(ours, theirs)


if __name__ == "__main__":
    main()
