"""The Live network hop by hop: our kernels, candle's operations and ONNX Runtime, one thread each, in one run.

`cargo xtask bench separation` installs what this needs and runs it. The network is written as an ONNX graph of one hop,
from compressed features to masks, with its states as inputs and outputs. ONNX Runtime is timed on that graph alone;
ours and candle's times also hold spectra, masking and the way back, so that the comparison errs in its favour. That
the graph is the same network is shown by separating a song with it: the stems are compared with `trainer separate`'s.
"""

import argparse
import itertools
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile
from onnx import TensorProto, helper, numpy_helper

STEMS = ["drums", "bass", "other", "vocals"]
RATE = 44_100


def read_checkpoint(path):
    """The header's architecture and the tensors as float32."""
    data = Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    meta = json.loads(header.pop("__metadata__")["tributary"])
    kinds = {"F32": np.float32, "F16": np.float16}
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[start:end], kinds[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"]).astype(np.float32)
    return meta["architecture"], tensors


class Graph:
    """Nodes and constants of an ONNX graph under construction."""

    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs = [], [], [], []
        self.count = 0

    def constant(self, values):
        self.count += 1
        name = f"c{self.count}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(self, kind, *inputs, outputs=1, **attributes):
        self.count += 1
        names = [f"t{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def input(self, name, shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, tensor, name, shape):
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def shaped(self, x, *shape):
        return self.add("Reshape", x, self.constant(np.array(shape, np.int64)))


def runs(widths):
    """Neighbouring bands of one width: (first band, how many, width)."""
    first = 0
    for width, group in itertools.groupby(widths):
        count = len(list(group))
        yield first, count, width
        first += count


def gru_weights(tensors, scopes):
    """ONNX has update, reset, new where PyTorch has reset, update, new."""

    def turned(values):
        reset, update, new = np.split(values, 3)
        return np.concatenate([update, reset, new])

    part = lambda scope, name: turned(tensors[f"{scope}.{name}"])
    weight = np.stack([part(scope, "weight_ih") for scope in scopes])
    recurrent = np.stack([part(scope, "weight_hh") for scope in scopes])
    bias = np.stack([np.concatenate([part(scope, "bias_ih"), part(scope, "bias_hh")]) for scope in scopes])
    return weight, recurrent, bias


def build(config, tensors):
    """The graph of one hop in the form that ONNX Runtime likes best: few and large operations."""
    graph = Graph()
    bands, size, heads, span = len(config["bands"]), config["size"], config["heads"], config["attention_span"]
    head, taps, states = size // heads, config["taps"], {}
    features = graph.input("features", [sum(6 * w + 1 for w in config["bands"])])
    seen = graph.input("seen", [1, 1, 1, max(span, 1)])

    def linear(x, weight, bias):
        return graph.add("Gemm", x, graph.constant(weight), graph.constant(bias), transB=1)

    def norm(x, scope):
        return graph.add(
            "LayerNormalization",
            x,
            graph.constant(tensors[f"{scope}.weight"]),
            graph.constant(tensors[f"{scope}.bias"]),
            axis=-1,
            epsilon=1e-5,
        )

    def carried(name, value, shape):
        states[name] = shape
        graph.output(value, f"new_{name}", shape)

    def pieces(x, sizes, axis):
        sizes = graph.constant(np.array(sizes, np.int64))
        return graph.add("Split", x, sizes, outputs=len(numpy_helper.to_array(graph.constants[-1])), axis=axis)

    def batched(x, names, shape):
        """One product for several bands: x [count, 1, in]."""
        weight = np.stack([tensors[f"{name}.weight"].T for name in names])
        bias = np.stack([tensors[f"{name}.bias"][None] for name in names])
        product = graph.add("MatMul", x, graph.constant(weight))
        return graph.shaped(graph.add("Add", product, graph.constant(bias)), *shape)

    groups = list(runs(config["bands"]))
    parts = pieces(features, [count * (6 * width + 1) for _, count, width in groups], 0)
    split = []
    for part, (first, count, width) in zip(parts, groups):
        x = graph.shaped(part, count, 1, 6 * width + 1)
        split.append(batched(x, [f"split.{first + i}" for i in range(count)], (count, size)))
    x = graph.add("Concat", *split, axis=0)

    for block in range(config["blocks"]):
        time_scope, band_scope = f"blocks.{block}.time", f"blocks.{block}.bands"
        if span > 0:
            scope = f"{time_scope}.attention"
            qkv = linear(norm(x, f"{time_scope}.norm1"), tensors[f"{scope}.in_proj_weight"], tensors[f"{scope}.in_proj_bias"])
            query, key, value = pieces(qkv, [size] * 3, 1)
            keys = graph.input(f"keys{block}", [bands, heads, head, span])
            values = graph.input(f"values{block}", [bands, heads, span, head])
            later = lambda x, axis: graph.add(
                "Slice", x, *(graph.constant(np.array([n], np.int64)) for n in (1, span, axis))
            )
            keys = graph.add("Concat", later(keys, 3), graph.shaped(key, bands, heads, head, 1), axis=3)
            values = graph.add("Concat", later(values, 2), graph.shaped(value, bands, heads, 1, head), axis=2)
            carried(f"keys{block}", keys, [bands, heads, head, span])
            carried(f"values{block}", values, [bands, heads, span, head])
            query = graph.add("Mul", graph.shaped(query, bands, heads, 1, head), graph.constant(np.float32(head**-0.5)))
            # Oldest first.
            bias = graph.constant(tensors[f"{scope}.distance_bias"][:, ::-1][None, :, None])
            scores = graph.add("Add", graph.add("MatMul", query, keys), graph.add("Add", bias, seen))
            mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
            mixed = graph.shaped(mixed, bands, size)
            x = graph.add("Add", x, linear(mixed, tensors[f"{scope}.out_proj.weight"], tensors[f"{scope}.out_proj.bias"]))
        hidden = config["time_hidden"]
        weight, recurrent, bias = gru_weights(tensors, [f"{time_scope}.gru"])
        state = graph.input(f"state{block}", [1, bands, hidden])
        _, new = graph.add(
            "GRU",
            graph.shaped(norm(x, f"{time_scope}.norm2"), 1, bands, size),
            *map(graph.constant, (weight, recurrent, bias)),
            "",
            state,
            outputs=2,
            hidden_size=hidden,
            linear_before_reset=1,
        )
        carried(f"state{block}", new, [1, bands, hidden])
        out = graph.add("Relu", graph.shaped(new, bands, hidden))
        x = graph.add("Add", x, linear(out, tensors[f"{time_scope}.linear.weight"], tensors[f"{time_scope}.linear.bias"]))

        scope = f"{band_scope}.attention"
        qkv = linear(norm(x, f"{band_scope}.norm1"), tensors[f"{scope}.in_proj_weight"], tensors[f"{scope}.in_proj_bias"])
        query, key, value = (graph.shaped(part, bands, heads, head) for part in pieces(qkv, [size] * 3, 1))
        query = graph.add("Transpose", query, perm=[1, 0, 2])
        query = graph.add("Mul", query, graph.constant(np.float32(head**-0.5)))
        scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=[1, 2, 0]))
        mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), graph.add("Transpose", value, perm=[1, 0, 2]))
        mixed = graph.shaped(graph.add("Transpose", mixed, perm=[1, 0, 2]), bands, size)
        x = graph.add("Add", x, linear(mixed, tensors[f"{scope}.out_proj.weight"], tensors[f"{scope}.out_proj.bias"]))
        hidden = config["band_hidden"]
        weights = gru_weights(tensors, [f"{band_scope}.gru", f"{band_scope}.gru_reverse"])
        both, _ = graph.add(
            "GRU",
            graph.shaped(norm(x, f"{band_scope}.norm2"), bands, 1, size),
            *map(graph.constant, weights),
            outputs=2,
            hidden_size=hidden,
            linear_before_reset=1,
            direction="bidirectional",
        )
        out = graph.add("Relu", graph.shaped(both, bands, 2 * hidden))
        x = graph.add("Add", x, linear(out, tensors[f"{band_scope}.linear.weight"], tensors[f"{band_scope}.linear.bias"]))

    hidden = config["mask_hidden"]
    x = graph.shaped(norm(x, "masks.norm"), bands, 1, size)
    x = graph.add("Tanh", batched(x, [f"masks.{b}.hidden" for b in range(bands)], (bands, 1, hidden)))
    outputs = []
    for part, (first, count, width) in zip(pieces(x, [count for _, count, _ in groups], 0), groups):
        names = [f"masks.{first + i}.output" for i in range(count)]
        outputs.append(batched(part, names, (count * width, taps, 4, 4)))
    masks = graph.add("Concat", *outputs, axis=0)
    target = np.zeros((1, taps, 1, 4), np.float32)
    target[0, 0, 0, ::2] = 1.0
    axes = graph.constant(np.array([2], np.int64))
    lack = graph.add("Sub", graph.constant(target), graph.add("ReduceSum", masks, axes, keepdims=1))
    masks = graph.add("Add", masks, graph.add("Mul", lack, graph.constant(np.float32(0.25))))
    graph.output(masks, "masks", [sum(config["bands"]), taps, 4, 4])

    body = helper.make_graph(graph.nodes, "hop", graph.inputs, graph.outputs, graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString(), states


class Step:
    """One hop after another, on one thread, without copies of the state between them."""

    def __init__(self, config, tensors):
        model, shapes = build(config, tensors)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.span, self.hops = max(config["attention_span"], 1), 0
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        self.features = value(np.zeros(sum(6 * w + 1 for w in config["bands"]), np.float32))
        self.seen = value(np.full((1, 1, 1, self.span), -1e30, np.float32))
        self.masks = value(np.zeros((sum(config["bands"]), config["taps"], 4, 4), np.float32))
        states = [{name: value(np.zeros(shape, np.float32)) for name, shape in shapes.items()} for _ in range(2)]
        self.bindings = []
        names = {entry.name for entry in self.session.get_inputs()}
        for before, after in (states, states[::-1]):
            binding = self.session.io_binding()
            binding.bind_ortvalue_input("features", self.features)
            if "seen" in names:
                binding.bind_ortvalue_input("seen", self.seen)
            binding.bind_ortvalue_output("masks", self.masks)
            for name in shapes:
                binding.bind_ortvalue_input(name, before[name])
                binding.bind_ortvalue_output(f"new_{name}", after[name])
            self.bindings.append(binding)

    def run(self, features):
        """Seconds that the network took."""
        self.features.update_inplace(features)
        if self.hops < self.span:
            seen = np.full((1, 1, 1, self.span), -1e30, np.float32)
            seen[..., self.span - 1 - self.hops :] = 0.0
            self.seen.update_inplace(seen)
        binding = self.bindings[self.hops % 2]
        begun = time.perf_counter()
        self.session.run_with_iobinding(binding)
        seconds = time.perf_counter() - begun
        self.hops += 1
        return seconds


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


def separate(config, tensors, mixture):
    """Stems [4, 2, frames] of a mixture [2, frames], and the seconds of every hop's network."""
    analysis, synthesis = windows(config)
    long, short, hop, taps = (config[k] for k in ("analysis_window", "synthesis_window", "hop", "taps"))
    frames = mixture.shape[1] // hop * hop
    padded = np.concatenate([np.zeros((2, long - hop)), mixture[:, :frames]], 1)
    out = np.zeros((4, 2, frames + short))
    step, seconds, past = Step(config, tensors), [], []
    scale = 2.0 / analysis.sum()
    for start in range(0, frames, hop):
        spectra = np.fft.rfft(padded[:, start : start + long] * analysis).T
        past = [spectra, *past][:taps]
        z = spectra * scale
        z = z / np.sqrt(np.sqrt(np.abs(z) ** 2 + 1e-12))
        parts, features = np.stack([z.real, z.imag], -1).reshape(len(z), 4), []
        for band in np.split(parts, np.cumsum(config["bands"])[:-1]):
            level = np.mean(band**2) + 1e-4
            band = band / np.sqrt(level)
            magnitudes = np.hypot(band[:, ::2], band[:, 1::2])
            features.append(np.concatenate([band.ravel(), magnitudes.ravel(), [np.log(level)]]))
        seconds.append(step.run(np.concatenate(features).astype(np.float32)))
        masks = step.masks.numpy().reshape(len(z), taps, 4, 2, 2)
        masks = masks[..., 0] + 1j * masks[..., 1]
        masked = sum(masks[:, tap] * spectra[:, None] for tap, spectra in enumerate(past))
        newest = np.fft.irfft(masked, axis=0)[long - short :]
        out[:, :, start : start + short] += (newest * synthesis[:, None, None]).transpose(1, 2, 0)
    latency = short - hop
    return out[:, :, latency : frames], np.array(seconds)


def read_wav(path):
    """A stereo WAV as [2, frames]."""
    return soundfile.read(path, dtype="float32")[0].T


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--trainer", required=True, help="the release build of the trainer")
    arguments.add_argument("--checkpoint", default="checkpoints/live.safetensors")
    arguments.add_argument("--seconds", type=float, default=10.0)
    arguments = arguments.parse_args()
    config, tensors = read_checkpoint(arguments.checkpoint)
    run = lambda *command: subprocess.run([arguments.trainer, *map(str, command)], check=True, stdout=subprocess.DEVNULL)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run("synth", "--songs", 1, "--seconds", arguments.seconds, "--seed", 7, "-o", folder / "songs")
        song = next((folder / "songs").rglob("mixture.wav"))
        run("separate", song, "-o", folder / "stems", "--checkpoint", arguments.checkpoint)
        stems, seconds = separate(config, tensors, read_wav(song))
        expected = np.stack([read_wav(next((folder / "stems").rglob(f"{stem}.wav"))) for stem in STEMS])
        expected = expected[:, :, : stems.shape[2]]
        error = np.sum((stems - expected) ** 2) / np.sum(expected**2)
        print(f"stems by ONNX Runtime against ours: {10 * np.log10(error):.1f} dB, {np.abs(stems - expected).max():.1e} at most")
        for name, options in {"ours": [], "ours, cold caches": ["--cold"], "candle": ["--engine", "candle"]}.items():
            file = folder / "bench.json"
            run("bench", arguments.checkpoint, "--seconds", arguments.seconds, "--json", file, *options)
            results[name] = json.loads(file.read_text())
    hop_ms = 1e3 * config["hop"] / RATE
    seconds = np.sort(seconds[20:])
    ours = results["ours"]
    print(f"{'hop by hop, one thread':24}{'median ms':>10}{'p99 ms':>8}{'real time':>11}{'of ours':>9}")
    for name, result in results.items():
        factor = result["real_time_factor"]
        print(
            f"{name:24}{result['hop_ms_median']:10.3f}{result['hop_ms_p99']:8.3f}{factor:11.3f}"
            f"{result['hop_ms_median'] / ours['hop_ms_median']:9.2f}"
        )
    median, p99 = 1e3 * seconds[len(seconds) // 2], 1e3 * seconds[int(0.99 * len(seconds))]
    print(
        f"{'ONNX Runtime ' + onnxruntime.__version__:24}{median:10.3f}{p99:8.3f}{1e3 * seconds.mean() / hop_ms:11.3f}"
        f"{median / ours['hop_ms_median']:9.2f}"
    )
    print(
        f"ours reaches {100 * ours['share_of_peak']:.0f} % of this core's {ours['gemm_peak_gflops']:.0f} GFLOP/s in a "
        f"product of matrices; {ours['macs_per_second'] / 1e9:.2f} GMAC for a second of audio"
    )


if __name__ == "__main__":
    main()
