"""Writes tests/data/museval_v4_short.safetensors: signals, and what museval makes of them.

    python trainer/benches/museval_vectors.py tests/data/museval_v4_short.safetensors

Needs museval (xtask/python/bench.txt). The signals are 3 s at 8 kHz, so that the file stays small: BSSEval knows no
rates, only windows in frames. Filtered noise that comes and goes stands for stems; one stem is mono, one is silent in
the second window. They are stored as 16-bit floats, which are what museval gets.
"""

import json
import struct
import sys

import numpy as np
from museval.metrics import bss_eval

RATE, SECONDS, TAPS = 8000, 3, 512
STEMS = ["drums", "bass", "other", "vocals"]


def stem(random, pole, width):
    """Noise [2, frames] through one pole, with a slow swell and a stereo image."""
    frames = RATE * SECONDS
    noise = random.standard_normal((2, frames))
    noise[1] = width * noise[1] + (1 - width) * noise[0]
    level = 0.5 + 0.5 * np.sin(2 * np.pi * (np.arange(frames) / RATE * random.uniform(0.3, 2) + random.uniform()))
    out, state = np.empty_like(noise), np.zeros(2)
    for n in range(frames):
        state = pole * state + (1 - abs(pole)) * noise[:, n]
        out[:, n] = state * level[n]
    return 0.1 * out / np.sqrt(np.mean(out**2))


def estimate(random, references, index):
    """The stem a little filtered, with some of the others and some noise."""
    own = references[index]
    echo = np.roll(own, 37, axis=1)
    echo[:, :37] = 0
    others = sum(references[i] for i in range(len(references)) if i != index)
    return 0.8 * own + 0.15 * echo + 0.05 * (index + 1) * others + 0.01 * random.standard_normal(own.shape)


def main(path):
    random = np.random.default_rng(7)
    shapes = [(-0.5, 0.6), (0.95, 0.0), (0.6, 1.0), (0.3, 0.2)]
    references = [stem(random, pole, width) for pole, width in shapes]
    references[3][:, RATE : 2 * RATE] = 0
    references = [signal.astype("<f2") for signal in references]
    estimates = [estimate(random, [r.astype(float) for r in references], i).astype("<f2") for i in range(4)]
    as_museval_wants = lambda signals: np.array([s.astype(float).T for s in signals])
    ratios = bss_eval(
        as_museval_wants(references), as_museval_wants(estimates), window=RATE, hop=RATE, filters_len=TAPS
    )
    tensors = {}
    for i, name in enumerate(STEMS):
        tensors[f"reference.{name}"] = references[i]
        tensors[f"estimate.{name}"] = estimates[i]
        for metric, values in zip(["SDR", "ISR", "SIR", "SAR"], ratios):
            tensors[f"{metric}.{name}"] = values[i].astype("<f8")
    config = {
        "tool": "museval 0.4.1 metrics.bss_eval (BSSEval v4)",
        "window": RATE,
        "hop": RATE,
        "filters_len": TAPS,
        "framewise_filters": False,
        "bsseval_sources_version": False,
    }
    write_safetensors(path, tensors, {"config": json.dumps(config)})


def write_safetensors(path, tensors, metadata):
    """The format by hand: a header of JSON, then the numbers."""
    header, data = {"__metadata__": metadata}, b""
    # The widest first keeps everything aligned.
    for name, array in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        bytes_ = np.ascontiguousarray(array).tobytes()
        kind = {2: "F16", 8: "F64"}[array.itemsize]
        offsets = [len(data), len(data) + len(bytes_)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    main(sys.argv[1])
