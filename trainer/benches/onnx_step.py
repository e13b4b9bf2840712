"""One hop of `band_dpt` as an ONNX graph, from compressed features to masks, in the form that ONNX Runtime runs fastest.

What made it fast (docs/benchmarks.md has the figures):
- keys and values of past frames stay where they are, in a ring that is written between two runs and outside of the
  measured time, rather than being shifted and handed on by the graph;
- consistency, the scale of the scores and most biases are folded into weights;
- the layers of equally wide bands are one batched product; attention across the bands is the runtime's own operation;
  the recurrence across bands is ONNX's GRU, that along time, of a single step, plain operations.
What was slower: a product for each band, the runtime's fused residual and norm, ONNX's GRU for a single step.
"""

import itertools
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MASKED = np.float32(-1e30)
MICROSOFT = "com.microsoft"


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


def band_inputs(config, tensors):
    """Features of each band."""
    return [tensors[f"split.{band}.weight"].shape[1] for band in range(len(config["bands"]))]


def runs(config):
    """Neighbouring bands of one width: (first band, how many)."""
    first = 0
    for _, group in itertools.groupby(config["bands"]):
        count = len(list(group))
        yield first, count
        first += count


def gru_weights(tensors, scopes):
    """Of one direction or two; ONNX has update, reset, new where PyTorch has reset, update, new."""

    def turned(scope, name):
        reset, update, new = np.split(tensors[f"{scope}.{name}"], 3)
        return np.concatenate([update, reset, new])

    weight = np.stack([turned(scope, "weight_ih") for scope in scopes])
    recurrent = np.stack([turned(scope, "weight_hh") for scope in scopes])
    bias = np.stack([np.concatenate([turned(scope, "bias_ih"), turned(scope, "bias_hh")]) for scope in scopes])
    return weight, recurrent, bias


class Graph:
    """Nodes and constants under construction, and the shapes of inputs and outputs."""

    def __init__(self, config, tensors):
        self.config, self.tensors = config, tensors
        self.nodes, self.constants, self.inputs, self.outputs = [], [], {}, {}

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=values.dtype), name))
        return name

    def indices(self, *values):
        return self.constant(np.array(values, np.int64))

    def add(self, kind, *inputs, outputs=1, name=None, **attributes):
        names = [name] if name else [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def input(self, name, *shape):
        self.inputs[name] = shape
        return name

    def output(self, name, *shape):
        """Declares what a node has made under this name."""
        self.outputs[name] = shape
        return name

    def shaped(self, x, *shape):
        return self.add("Reshape", x, self.indices(*shape))

    def pieces(self, x, sizes, axis):
        made = self.add("Split", x, self.indices(*sizes), outputs=len(sizes), axis=axis)
        return [made] if len(sizes) == 1 else made

    def norm(self, x, scope):
        scale, shift = (self.constant(self.tensors[f"{scope}.{name}"]) for name in ("weight", "bias"))
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-5)

    def product(self, x, weight, bias, name=None):
        return self.add("Gemm", x, self.constant(weight.T.copy()), self.constant(bias), name=name)

    def linear(self, x, scope):
        return self.product(x, self.tensors[f"{scope}.weight"], self.tensors[f"{scope}.bias"])

    def model(self):
        info = lambda shapes: [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
        body = helper.make_graph(self.nodes, "hop", info(self.inputs), info(self.outputs), self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(body, opset_imports=opsets, ir_version=9).SerializeToString()


def split(graph):
    """Every band's features, with a one after them for the bias, to [bands, size]."""
    inputs, parts = band_inputs(graph.config, graph.tensors), []
    for first, count in runs(graph.config):
        names = [f"split.{band}" for band in range(first, first + count)]
        tensors = [(graph.tensors[f"{n}.weight"].T, graph.tensors[f"{n}.bias"][None]) for n in names]
        weight = np.stack([np.concatenate(pair) for pair in tensors])
        features = graph.input(f"features{first}", count, 1, inputs[first] + 1)
        parts.append(graph.add("MatMul", features, graph.constant(weight)))
    return graph.shaped(graph.add("Concat", *parts, axis=0), len(graph.config["bands"]), graph.config["size"])


def attention_along_time(graph, x, block):
    """Over the ring of past frames and the newest, whose key and value go out to be written to the ring."""
    bands, size, heads, span = (len(graph.config["bands"]), *(graph.config[k] for k in ("size", "heads", "attention_span")))
    scope, head = f"blocks.{block}.time.attention", size // heads
    weights = np.split(graph.tensors[f"{scope}.in_proj_weight"], 3)
    biases = np.split(graph.tensors[f"{scope}.in_proj_bias"], 3)
    scale = np.float32(head**-0.5)
    query = graph.product(x, weights[0] * scale, biases[0] * scale)
    key, value = (graph.product(x, weights[i], biases[i], name=f"new_{n}{block}") for i, n in ((1, "key"), (2, "value")))
    for name in (key, value):
        graph.output(name, bands, size)
    query, key, value = (graph.shaped(x, bands, heads, 1, head) for x in (query, key, value))
    ring_keys = graph.input(f"keys{block}", bands, heads, head, span)
    ring_values = graph.input(f"values{block}", bands, heads, span, head)
    # By head and place in the ring; the place that the newest will take counts no more.
    bias = graph.input(f"places{block}", 1, heads, 1, span)
    past = graph.add("Add", graph.add("MatMul", query, ring_keys), bias)
    newest = graph.add("ReduceSum", graph.add("Mul", query, key), graph.indices(3), keepdims=1)
    distances = graph.tensors[f"{scope}.distance_bias"]
    newest = graph.add("Add", newest, graph.constant(distances[:, :1].reshape(1, heads, 1, 1)))
    weights = graph.add("Softmax", graph.add("Concat", past, newest, axis=3), axis=-1)
    past, newest = graph.pieces(weights, [span, 1], 3)
    mixed = graph.add("Add", graph.add("MatMul", past, ring_values), graph.add("Mul", newest, value))
    return graph.linear(graph.shaped(mixed, bands, size), f"{scope}.out_proj")


def recurrence_along_time(graph, x, block):
    """One step of a GRU, from its own operations."""
    scope, hidden, bands = f"blocks.{block}.time", graph.config["time_hidden"], len(graph.config["bands"])
    state = graph.input(f"state{block}", bands, hidden)
    part = lambda x, side: graph.product(
        x, graph.tensors[f"{scope}.gru.weight_{side}"], graph.tensors[f"{scope}.gru.bias_{side}"]
    )
    gates_in, new_in = graph.pieces(part(x, "ih"), [2 * hidden, hidden], 1)
    gates_state, new_state = graph.pieces(part(state, "hh"), [2 * hidden, hidden], 1)
    gates = graph.add("Sigmoid", graph.add("Add", gates_in, gates_state))
    reset, update = graph.pieces(gates, [hidden, hidden], 1)
    new = graph.add("Tanh", graph.add("Add", new_in, graph.add("Mul", reset, new_state)))
    kept = graph.add("Mul", update, graph.add("Sub", state, new))
    out = graph.output(graph.add("Add", new, kept, name=f"new_state{block}"), bands, hidden)
    return graph.linear(graph.add("Relu", out), f"{scope}.linear")


def attention_across_bands(graph, x, block):
    bands, size, scope = len(graph.config["bands"]), graph.config["size"], f"blocks.{block}.bands.attention"
    weight = graph.constant(graph.tensors[f"{scope}.in_proj_weight"].T.copy())
    bias = graph.constant(graph.tensors[f"{scope}.in_proj_bias"])
    x = graph.shaped(x, 1, bands, size)
    mixed = graph.add("Attention", x, weight, bias, domain=MICROSOFT, num_heads=graph.config["heads"])
    return graph.linear(graph.shaped(mixed, bands, size), f"{scope}.out_proj")


def recurrence_across_bands(graph, x, block):
    bands, size, hidden = (len(graph.config["bands"]), *(graph.config[k] for k in ("size", "band_hidden")))
    scope = f"blocks.{block}.bands"
    weights = [graph.constant(w) for w in gru_weights(graph.tensors, [f"{scope}.gru", f"{scope}.gru_reverse"])]
    both = graph.add(
        "GRU", graph.shaped(x, bands, 1, size), *weights, hidden_size=hidden, linear_before_reset=1, direction="bidirectional"
    )
    return graph.linear(graph.add("Relu", graph.shaped(both, bands, 2 * hidden)), f"{scope}.linear")


def masks(graph, x):
    """Masks that already add up to one; a group of bands each has an output of its own."""
    config, tensors = graph.config, graph.tensors
    bands, size, taps, hidden = (len(config["bands"]), *(config[k] for k in ("size", "taps", "mask_hidden")))
    # One more unit, whose tanh is 1 and whose weights below are the biases.
    weight = np.stack([np.pad(tensors[f"masks.{b}.hidden.weight"].T, ((0, 0), (0, 1))) for b in range(bands)])
    bias = np.stack([np.append(tensors[f"masks.{b}.hidden.bias"], np.float32(20))[None] for b in range(bands)])
    x = graph.add("MatMul", graph.shaped(graph.norm(x, "masks.norm"), bands, 1, size), graph.constant(weight))
    x = graph.add("Tanh", graph.add("Add", x, graph.constant(bias)))
    groups = list(runs(config))
    for part, (first, count) in zip(graph.pieces(x, [count for _, count in groups], 0), groups):
        weights, width = [], config["bands"][first]
        for band in range(first, first + count):
            weight = tensors[f"masks.{band}.output.weight"].reshape(width, taps, 4, 4, hidden)
            bias = tensors[f"masks.{band}.output.bias"].reshape(width, taps, 4, 4)
            weight, bias = (values - values.mean(2, keepdims=True) for values in (weight, bias))
            bias[:, 0, :, ::2] += 0.25
            weights.append(np.concatenate([weight.reshape(-1, hidden).T, bias.reshape(1, -1)]))
        graph.add("MatMul", part, graph.constant(np.stack(weights)), name=f"masks{first}")
        graph.output(f"masks{first}", count, 1, width * taps * 16)


def build(config, tensors):
    """The graph of one hop."""
    graph = Graph(config, tensors)
    x = split(graph)
    for block in range(config["blocks"]):
        along, across = f"blocks.{block}.time", f"blocks.{block}.bands"
        layers = [
            (attention_along_time, f"{along}.norm1"),
            (recurrence_along_time, f"{along}.norm2"),
            (attention_across_bands, f"{across}.norm1"),
            (recurrence_across_bands, f"{across}.norm2"),
        ]
        for layer, norm in layers if config["attention_span"] else layers[1:]:
            x = graph.add("Add", x, layer(graph, graph.norm(x, norm), block))
    masks(graph, x)
    return graph


class Step:
    """One hop after another on one thread; inputs, outputs and states stay in place."""

    def __init__(self, config, tensors):
        graph = build(config, tensors)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        # As ours: no slow arithmetic in silence.
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        self.session = onnxruntime.InferenceSession(graph.model(), options, providers=["CPUExecutionProvider"])
        self.config, self.hops = config, 0
        self.inputs = band_inputs(config, tensors)
        self.distances = [
            tensors[f"blocks.{block}.time.attention.distance_bias"]
            for block in range(config["blocks"] if config["attention_span"] else 0)
        ]
        shapes = graph.inputs | graph.outputs
        self.arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        bind = lambda to, name, array: to(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self.bindings = []
        for turn in range(2):
            binding = self.session.io_binding()
            for names, to in ((graph.inputs, binding.bind_input), (graph.outputs, binding.bind_output)):
                for name in names:
                    # One hop's new state is the next one's state.
                    swapped = name.removeprefix("new_") if name.startswith("new_state") else f"new_{name}"
                    swap = turn == 1 and "state" in name
                    bind(to, name, self.arrays[swapped if swap else name])
            self.bindings.append(binding)

    def run(self, features):
        """Takes one hop's features, leaves masks for `masks`; gives the seconds that the network took."""
        start = 0
        for first, count in runs(self.config):
            size = count * self.inputs[first]
            array = self.arrays[f"features{first}"]
            array[:, 0, :-1] = features[start : start + size].reshape(count, -1)
            array[:, 0, -1] = 1.0
            start += size
        span = self.config["attention_span"]
        slot = self.hops % max(span, 1)
        for block, distances in enumerate(self.distances):
            # A place holds the frame of so many hops ago; the place of the newest one still holds the oldest.
            age = (slot - np.arange(span) - 1) % span + 1
            held = (age < span) & (age <= self.hops)
            self.arrays[f"places{block}"][0, :, 0] = np.where(held, distances[:, np.minimum(age, span - 1)], MASKED)
        binding = self.bindings[self.hops % 2]
        begun = time.perf_counter()
        self.session.run_with_iobinding(binding)
        seconds = time.perf_counter() - begun
        for block in range(len(self.distances)):
            keys, values = self.arrays[f"keys{block}"], self.arrays[f"values{block}"]
            keys[..., slot] = self.arrays[f"new_key{block}"].reshape(keys.shape[:3])
            values[:, :, slot] = self.arrays[f"new_value{block}"].reshape(keys.shape[:3])
        self.hops += 1
        return seconds

    def masks(self):
        """Of the last hop: complex [bins, taps, stems, channels]."""
        parts = [self.arrays[f"masks{first}"].ravel() for first, _ in runs(self.config)]
        return np.concatenate(parts).view(np.complex64).reshape(-1, self.config["taps"], 4, 2)
