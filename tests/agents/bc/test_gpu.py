"""On a CUDA GPU the policy gives the same numbers, and training runs in mixed precision."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.bc.agent import BCAgent
from agents.bc.config import TrainConfig
from agents.bc.train import train
from basalt.policies.config import VPTConfig
from basalt.policies.vpt import VPTPolicy
from tests.support.synthetic import BLUE, RED, picture, write_episodes

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@torch.no_grad()
@pytest.mark.parametrize("compiled", [False, True])
def test_golden_latents(golden: Path, compiled: bool) -> None:
    golden = golden / "vpt"
    kwargs = json.loads((golden / "tiny_policy_kwargs.json").read_text())
    policy = VPTPolicy(VPTConfig.from_kwargs(kwargs["policy_kwargs"], kwargs["pi_head_kwargs"]))
    with np.load(golden / "tiny_policy_weights_f16.npz") as stored:
        weights = {k: torch.from_numpy(stored[k].astype(np.float32)) for k in stored.files}
    policy.load_state_dict(weights, strict=False)
    policy.cuda().eval()
    run = torch.compile(policy) if compiled else policy
    with np.load(golden / "tiny_policy_io.npz") as io:
        img, first, want = io["img"], io["first_step"], io["step.latent"]
    state = policy.initial_state(2)
    latents = []
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for start in range(0, 36, 12):
            part = slice(start, start + 12)
            images, flags = torch.from_numpy(img[:, part]), torch.from_numpy(first[:, part])
            out = run(images.cuda(), flags.cuda(), state)
            state = out.state
            latents.append(out.latent.cpu())
    np.testing.assert_allclose(torch.cat(latents, 1).numpy(), want, rtol=0, atol=2e-3)


def test_trains_resumes_and_plays(tmp_path: Path) -> None:
    data = write_episodes(tmp_path / "data", range(100_000, 100_008), 60)
    cfg = TrainConfig(
        out=str(tmp_path / "run"), data=str(data), steps=60, batch_size=4, seq_len=12, lr=3e-3,
        held_out=0.4, device="cuda", progress=False,
    )  # fmt: skip
    train(cfg)
    result = train(replace(cfg, steps=120))
    assert result.step == 120
    assert result.report.policy.loss < 0.5 * result.report.marginals.loss
    rng = np.random.default_rng(0)
    screens = np.stack([picture(BLUE, rng), picture(RED, rng)])
    for device in ("cuda", "cpu"):
        agent = BCAgent(result.run, device=device, deterministic=True)
        agent.act(screens, np.array([True, True]))
        blue, red = agent.act(screens, np.array([False, False]))
        assert (blue["forward"], red["forward"], red["attack"]) == (1, 0, 1)
