"""Training steps of the same network in Tributary's trainer and in PyTorch, side by side.

`cargo xtask bench training` builds the trainer, installs PyTorch and runs this script. It first shows that both sides
compute the same: on weights that the trainer wrote, outputs and all gradients must agree. Then the two take turns, and
the medians over all their steps are compared.

On a machine with an NVIDIA card and PyTorch, without building anything: `training.py --trainer ./start.sh --device cuda`,
with --precision f32, tf32 or bf16 for both sides.

A step is forward, mean square error, backward, Adam. The network is stated here anew, channels first as PyTorch wants
it, in PyTorch's own layers.
"""

import argparse
import json
import math
import os
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

RATE = 44100
STEMS = 4
GROUP = 8

SEED = {"name": "wave_unet_dpt"}
STUDIO = {
    "name": "wave_unet_dpt",
    "features": 8,
    "hidden": 96,
    "dropout": 0.0,
    "normalise": True,
    "add_up": True,
}
# What is compared: name, network, excerpts a step, least output frames of an excerpt.
CASES = {
    "seed": (SEED, 8, 3 * RATE),
    "studio": (STUDIO, 8, 3 * RATE),
}


class Gated(nn.Module):
    """Convolution, group norm, ReLU, 1x1 convolution, gated linear unit."""

    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.filter = nn.Conv1d(inputs, outputs, kernel)
        self.norm = nn.GroupNorm(outputs // GROUP, outputs)
        self.conv2 = nn.Conv1d(outputs, 2 * outputs, 1)

    def forward(self, x):
        return F.glu(self.conv2(F.relu(self.norm(self.filter(x)))), dim=1)


class Transposed(nn.Module):
    """Transposed convolution that shrinks like a valid one, group norm, ReLU."""

    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.filter = nn.ConvTranspose1d(inputs, outputs, kernel, padding=kernel - 1)
        self.norm = nn.GroupNorm(outputs // GROUP, outputs)

    def forward(self, x):
        return F.relu(self.norm(self.filter(x)))


class Resample(nn.Module):
    """One trained filter per channel over a reflected signal, down or up by `stride`."""

    def __init__(self, channels, taps, stride, up):
        super().__init__()
        self.filter = nn.Parameter(torch.zeros(channels, 1, taps))
        self.stride, self.up = stride, up

    def forward(self, x):
        channels, _, taps = self.filter.shape
        half = taps // 2
        x = F.pad(x, (half, half), mode="reflect")
        if not self.up:
            return F.conv1d(x, self.filter, stride=self.stride, groups=channels)
        # Padding takes off what the reflected frames make of the edges.
        edge = half * (self.stride + 1)
        return F.conv_transpose1d(x, self.filter, stride=self.stride, padding=edge, groups=channels)


class Transformer(nn.Module):
    """DPTNet's improved transformer layer: a bidirectional LSTM in place of the first linear layer."""

    def __init__(self, size, heads, hidden, layers, dropout):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(size, heads, batch_first=True)
        self.norm1 = nn.LayerNorm(size)
        self.lstm = nn.LSTM(size, hidden, layers, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * hidden, size)
        self.norm2 = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        attended, _ = self.self_attn(x, x, x, need_weights=False)
        y = self.norm1(x + self.dropout(attended))
        fed = self.linear(self.dropout(F.relu(self.lstm(y)[0])))
        return self.norm2(y + self.dropout(fed))


class Network(nn.Module):
    """The seed's network; see engine/src/model/unet.rs for ours."""

    def __init__(self, features=32, levels=6, kernel=5, stride=4, heads=4, hidden=0, dropout=0.2, **extras):
        super().__init__()
        self.normalise, self.add_up = extras.get("normalise", False), extras.get("add_up", False)
        sizes = [features << level for level in range(levels)]
        taps = 21
        encoder, decoder = [], []
        for level in range(levels - 1):
            inputs = sizes[level] if level else 2
            encoder.append(
                nn.ModuleDict(
                    {
                        "pre_shortcut": Gated(inputs, sizes[level], kernel),
                        "post_shortcut": Gated(sizes[level], sizes[level + 1], kernel),
                        "resample": Resample(sizes[level + 1], taps, stride, up=False),
                    }
                )
            )
            decoder.insert(
                0,
                nn.ModuleDict(
                    {
                        "resample": Resample(sizes[level + 1], taps, stride, up=True),
                        "pre_shortcut": Transposed(sizes[level + 1], sizes[level], kernel),
                        "post_shortcut": Transposed(2 * sizes[level], sizes[level], kernel),
                    }
                ),
            )
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.bottleneck = nn.ModuleDict(
            {"transformer": Transformer(sizes[-1], heads, hidden or sizes[-1], 1, dropout)}
        )
        self.output_conv = nn.Conv1d(features, 2 * STEMS, 1)

    def forward(self, mixture):
        x = mixture
        if self.normalise:
            level = mixture.square().mean((1, 2), keepdim=True).sqrt() + 1e-5
            x = mixture / level
        shortcuts = []
        for block in self.encoder:
            shortcut = block["pre_shortcut"](x)
            shortcuts.append(shortcut)
            x = block["resample"](block["post_shortcut"](shortcut))
        x = self.bottleneck["transformer"](x.transpose(1, 2)).transpose(1, 2)
        for block, shortcut in zip(self.decoder, reversed(shortcuts)):
            x = block["pre_shortcut"](block["resample"](x))
            x = block["post_shortcut"](torch.cat([centre(shortcut, x.shape[2]), x], dim=1))
        x = self.output_conv(x)
        if self.normalise:
            x = x * level
        stems = x.unflatten(1, (STEMS, 2))
        if self.add_up:
            missing = centre(mixture, stems.shape[3]) - stems.sum(1)
            stems = stems + missing.unsqueeze(1) / STEMS
        return stems


def centre(x, frames):
    cut = (x.shape[2] - frames) // 2
    return x[:, :, cut : cut + frames]


def build(architecture):
    return Network(**{key: value for key, value in architecture.items() if key != "name"})


def read_tensors(path):
    """All tensors of a safetensors file of 32-bit floats."""
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    data = memoryview(content)[8 + length :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", name
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
        tensors[name] = torch.from_numpy(values.copy())
    return tensors


def trainer(arguments, threads, architecture, *options):
    """The trainer's answer to `bench-training` with these options."""
    command = [arguments.trainer, "bench-training", "--architecture", json.dumps(architecture)]
    command += ["--threads", str(threads), "--device", arguments.device, *map(str, options)]
    if arguments.precision != "f32":
        command += ["--precision", arguments.precision]
    # candle has threads of its own beside ours.
    environment = {**os.environ, "CANDLE_NUM_THREADS": str(threads)}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def check_same_network(arguments, architecture):
    """Shows that both sides have the same parameters, outputs and gradients; ends the program if they differ."""
    still = {**architecture, "dropout": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "reference.safetensors")
        exact = argparse.Namespace(**{**vars(arguments), "precision": "f32"})
        trainer(exact, 2, still, "--batch", 2, "--frames", 20000, "--reference", path)
        written = read_tensors(path)
    network = build(still)
    prefix = "weight/unets.joint."
    weights = {name[len(prefix) :]: t for name, t in written.items() if name.startswith(prefix)}
    shapes = {(name, tuple(t.shape)) for name, t in weights.items()}
    different = shapes ^ {(name, tuple(p.shape)) for name, p in network.named_parameters()}
    if different:
        sys.exit(f"error: the two networks have different parameters: {sorted(different)}")
    network.load_state_dict(weights)
    output = network(written["mixture"])
    F.mse_loss(output, written["target"]).backward()
    furthest = (output.detach() - written["output"]).abs().max().item()
    worst, worst_name = 0.0, ""
    total = math.sqrt(sum(p.grad.square().sum().item() for p in network.parameters()))
    for name, parameter in network.named_parameters():
        difference = parameter.grad - written[f"gradient/unets.joint.{name}"]
        # Against the tensor's own size, or a hundred thousandth of the whole gradient for those that are almost 0.
        distance = difference.norm().item() / max(parameter.grad.norm().item(), 1e-5 * total)
        if distance > worst:
            worst, worst_name = distance, name
    count = sum(t.numel() for t in weights.values())
    print(f"  same network: {count} parameters in {len(weights)} tensors of the same names and shapes,")
    print(f"  largest difference of outputs {furthest:.1e}, of gradients {worst:.1e} (relative, {worst_name})")
    if not furthest <= 1e-4 or not worst <= 1e-2:
        sys.exit("error: the two networks do not compute the same")


def time_torch(architecture, batch, input_frames, output_frames, steps, threads, device, precision):
    """Prints the seconds of each step, the first one left out, as the trainer does."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    network = build(architecture).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    mixture = torch.rand(batch, 2, input_frames, device=device) * 0.6 - 0.3
    target = torch.rand(batch, STEMS, 2, output_frames, device=device) * 0.6 - 0.3
    kind = torch.device(device).type
    seconds = []
    for _ in range(steps + 1):
        begun = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
            loss = F.mse_loss(network(mixture).float(), target)
        loss.backward()
        optimizer.step()
        if kind == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    print(json.dumps({"seconds": seconds[1:]}))


def compare(arguments, name, threads):
    architecture, batch, frames = CASES[name]
    batch = arguments.batch or batch
    frames = int(arguments.seconds * RATE) if arguments.seconds else frames
    ours, theirs = [], []
    for turn in range(arguments.turns):
        sizes = ["--batch", batch, "--frames", frames, "--steps", arguments.steps]
        result = json.loads(trainer(arguments, threads, architecture, *sizes))
        ours += result["seconds"]
        frames_of = [result["input_frames"], result["output_frames"]]
        where = [arguments.device, arguments.precision]
        task = [architecture, batch, *frames_of, arguments.steps, threads, *where]
        command = [sys.executable, __file__, "--torch-side", json.dumps(task)]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        theirs += json.loads(run.stdout)["seconds"]
        print(f"    turn {turn + 1}: ours {ours[-1]:.2f} s, PyTorch {theirs[-1]:.2f} s a step", file=sys.stderr)
    audio = batch * result["output_frames"] / RATE
    mine, its = statistics.median(ours), statistics.median(theirs)
    print(
        f"| {name} | {batch} x {result['output_frames'] / RATE:.2f} s | {threads} | {mine:.2f} | {its:.2f} "
        f"| {audio / mine:.2f} | {audio / its:.2f} | **{its / mine:.2f}** |",
        flush=True,
    )


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", help="the trainer's program")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 1])
    parser.add_argument("--turns", type=int, default=3, help="how often each side has its turn")
    parser.add_argument("--steps", type=int, default=2, help="timed steps in each turn")
    parser.add_argument("--batch", type=int, help="excerpts a step, instead of the case's")
    parser.add_argument("--seconds", type=float, help="length of an excerpt, instead of the case's")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N, for both sides")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="f32", help="of both sides, on a card")
    parser.add_argument("--torch-side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.torch_side:
        return time_torch(*json.loads(arguments.torch_side))
    if not arguments.trainer:
        parser.error("--trainer is needed; `cargo xtask bench training` gives it")
    place = f"{processor()}, {os.cpu_count()} cores"
    if arguments.device != "cpu":
        place = f"{torch.cuda.get_device_name(arguments.device)}, {arguments.precision}"
    print(f"{place}; PyTorch {torch.__version__}")
    for name in arguments.cases:
        print(f"{name}: {json.dumps(CASES[name][0])}")
        check_same_network(arguments, CASES[name][0])
    print()
    print("| network | excerpts a step | threads | s/step, ours | PyTorch | audio s/s, ours | PyTorch | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.cases:
        for threads in arguments.threads:
            compare(arguments, name, threads)


if __name__ == "__main__":
    main()
