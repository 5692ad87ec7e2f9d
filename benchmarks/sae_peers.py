"""SAELens and eai-sparsify on the same activations: a script for an environment that has them.

`basalt bench sae` runs it as `PYTHON -m benchmarks.sae_peers` with one JSON request on stdin; the answer
is one JSON object on the last line of stdout. The peers bring a hundred packages, so they are never
dependencies.
"""

import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from basalt.probes.sae.files import load_sae
from basalt.probes.sae.model import SAE
from benchmarks.synthetic_sparse import SyntheticData, recovery, synthetic

PEERS = {"jumprelu": "sae_lens", "gated": "sae_lens", "batchtopk": "sae_lens", "topk": "sparsify"}
"""Our architectures, and the module that each is compared with."""

TRIES: dict[str, list[dict[str, float]]] = {
    "jumprelu": [
        {"l0_coefficient": 0.025, "beta1": 0.0},
        {"l0_coefficient": 0.05, "beta1": 0.0},
    ],
    "gated": [{"l1_coefficient": 0.35, "beta1": 0.0}],
    "batchtopk": [{"beta1": 0.9}],
    "topk": [{"beta1": 0.0}],
}
"""Settings of each peer's quality runs, beside our step size and schedule; the best run counts.

SAELens' defaults suit runs a hundred times as long. Left out because their results were worse: the
quadratic penalty for JumpReLU, a first moment of 0 for BatchTopK.
"""


def batches(x: Tensor, batch: int) -> Iterator[Tensor]:
    """Endless batches in a fixed order."""
    return cycle(x.split(batch)[: len(x) // batch])


def measure(
    train: Callable[[Iterator[Tensor], int], None], x: Tensor, batch: int, steps: int
) -> float:
    """Activations per CPU second over `steps` steps, after one step to warm up."""
    source = batches(x, batch)
    train(source, 1)
    began = time.process_time()
    train(source, steps)
    return steps * batch / (time.process_time() - began)


class SAELensPeer:
    """SAELens' own trainer with our step size, warm-up and decay."""

    def __init__(
        self, architecture: str, d: int, width: int, l0: float, batch: int, steps: int,
        tried: Mapping[str, float],
    ) -> None:  # fmt: skip
        from sae_lens import (
            BatchTopKTrainingSAE,
            BatchTopKTrainingSAEConfig,
            GatedTrainingSAE,
            GatedTrainingSAEConfig,
            JumpReLUTrainingSAE,
            JumpReLUTrainingSAEConfig,
        )

        shared: dict[str, Any] = {"d_in": d, "d_sae": width, "normalize_activations": "none"}
        warm = round(0.2 * steps)
        self._beta1 = tried["beta1"]
        if architecture == "jumprelu":
            self.sae: Any = JumpReLUTrainingSAE(
                JumpReLUTrainingSAEConfig(
                    **shared, jumprelu_sparsity_loss_mode="step", l0_coefficient=tried["l0_coefficient"],
                    l0_warm_up_steps=warm, jumprelu_bandwidth=0.1,
                )
            )  # fmt: skip
        elif architecture == "gated":
            self.sae = GatedTrainingSAE(
                GatedTrainingSAEConfig(
                    **shared, l1_coefficient=tried["l1_coefficient"], l1_warm_up_steps=warm
                )
            )
        else:
            self.sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(**shared, k=l0))
        self._settings = {"batch": batch, "steps": max(steps, 2)}

    def train(self, source: Iterator[Tensor], steps: int) -> None:
        """Train for `steps` more steps."""
        from sae_lens.config import SAETrainerConfig
        from sae_lens.training.sae_trainer import SAETrainer

        batch = self._settings["batch"]
        whole = SAETrainerConfig(
            total_training_samples=steps * batch, train_batch_size_samples=batch, lr=3e-3, lr_end=0.0 if steps > 100 else 3e-3,
            lr_warm_up_steps=steps // 10, lr_decay_steps=steps // 5 if steps > 100 else 0, adam_beta1=self._beta1,
        )  # fmt: skip
        trainer = SAETrainer(whole, self.sae, data_provider=iter(source))
        self.sae = trainer.fit()

    def finished(self) -> SAE:
        """The trained autoencoder, by way of SAELens' own file format."""
        with tempfile.TemporaryDirectory() as folder:
            self.sae.save_inference_model(folder)
            return _read_lens(Path(folder))


def _read_lens(folder: Path) -> SAE:
    """SAELens' inference files as our function; Gated is folded in the same way as ours."""
    from safetensors.torch import load_file

    file = folder / "cfg.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    if config["architecture"] != "gated" and not config.get("apply_b_dec_to_input"):
        return load_sae(folder)[0]
    tensors = load_file(folder / "sae_weights.safetensors")
    sae = SAE(config["d_in"], config["d_sae"])
    gain = tensors["r_mag"].exp() if "r_mag" in tensors else torch.ones(config["d_sae"])
    bias = tensors["b_mag"] if "b_mag" in tensors else tensors["b_enc"]
    shift = tensors["b_dec"] @ tensors["W_enc"] if config.get("apply_b_dec_to_input") else 0
    sae.W_enc.copy_(tensors["W_enc"] * gain)
    sae.W_dec.copy_(tensors["W_dec"])
    sae.b_enc.copy_(bias - gain * shift)
    sae.b_dec.copy_(tensors["b_dec"])
    if "b_gate" in tensors:
        sae.threshold.copy_((tensors["b_mag"] - gain * tensors["b_gate"]).clamp(min=0))
    elif "threshold" in tensors:
        sae.threshold.copy_(tensors["threshold"])
    return sae


class SparsifyPeer:
    """eai-sparsify's SparseCoder in the loop of its trainer, with Adam and our schedule."""

    def __init__(
        self, architecture: str, d: int, width: int, l0: float, batch: int, steps: int,
        tried: Mapping[str, float],
    ) -> None:  # fmt: skip
        from sparsify import SparseCoder, SparseCoderConfig

        self.coder = SparseCoder(d, SparseCoderConfig(num_latents=width, k=round(l0)))
        self._optimizer = torch.optim.Adam(
            self.coder.parameters(), lr=3e-3, betas=(tried["beta1"], 0.999)
        )
        self._k = round(l0)

    def train(self, source: Iterator[Tensor], steps: int) -> None:
        """Train for `steps` more steps."""
        for step in range(steps):
            rate = min(1.0, 0.1 + 9 * step / steps, 5 * (1 - step / steps)) if steps > 100 else 1.0
            for group in self._optimizer.param_groups:
                group["lr"] = 3e-3 * rate
            self.coder.set_decoder_norm_to_unit_norm()
            self.coder(next(source)).fvu.backward()
            self.coder.remove_gradient_parallel_to_decoder_directions()
            torch.nn.utils.clip_grad_norm_(self.coder.parameters(), 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad()

    @torch.no_grad()
    def finished(self) -> SAE:
        """The trained autoencoder as our function."""
        weight = self.coder.encoder.weight
        sae = SAE(weight.shape[1], weight.shape[0], k=self._k)
        sae.W_enc.copy_(weight.T)
        sae.W_dec.copy_(self.coder.W_dec)
        sae.b_enc.copy_(self.coder.encoder.bias - weight @ self.coder.b_dec)
        sae.b_dec.copy_(self.coder.b_dec)
        return sae


def main() -> None:
    """Answer one request from stdin."""
    request = json.load(sys.stdin)
    torch.set_num_threads(1)
    speed, quality = request["speed"], request["quality"]
    makers: dict[str, Any] = {"sae_lens": SAELensPeer, "sparsify": SparsifyPeer}
    answer: dict[str, Any] = {}
    fast = synthetic(**speed["data"]).activations
    data, held_out = synthetic(**quality["data"]).split(quality["train"])
    train = data.activations
    scale = float(train.square().sum(1).mean().sqrt())
    for architecture, module in PEERS.items():
        if importlib.util.find_spec(module) is None:
            answer[architecture] = {"missing": f"{module} is not installed in {sys.executable}"}
            continue
        torch.manual_seed(0)
        shape = (speed["d"], speed["width"], speed["l0"], speed["batch"], speed["steps"])
        peer = makers[module](architecture, *shape, TRIES[architecture][0])
        figure: dict[str, Any] = {
            "activations_per_second": measure(peer.train, fast, speed["batch"], speed["steps"])
        }
        shape = (quality["d"], quality["width"], quality["l0"], quality["batch"], quality["steps"])
        scaled = SyntheticData(held_out.activations / scale, held_out.directions, held_out.active)
        runs: list[dict[str, Any]] = []
        for tried in TRIES[architecture]:
            torch.manual_seed(0)
            peer = makers[module](architecture, *shape, tried)
            began = time.process_time()
            peer.train(batches(train / scale, quality["batch"]), quality["steps"])
            seconds = time.process_time() - began
            found = recovery(peer.finished(), scaled)
            runs.append({"settings": tried, "quality": found, "quality_cpu_seconds": seconds})
        best = max(runs, key=lambda run: run["quality"]["mmcs"])
        answer[architecture] = figure | best | {"tried": runs}
        print(architecture, answer[architecture], file=sys.stderr)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
