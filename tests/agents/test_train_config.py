"""The shipped training config composes into the trainer's own settings."""

from dataclasses import fields
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from agents.bc import TrainConfig


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_module("configs", version_base=None):
        cfg = compose("train", overrides=list(overrides))
    settings = {str(k): v for k, v in cfg.items() if k not in ("task", "agent", "data")}
    plain = OmegaConf.to_container(OmegaConf.create(settings), resolve=False)
    assert isinstance(plain, dict)
    return {**plain, "out": str(cfg.out), "task": cfg.task.name, "data": cfg.data.source}


def test_the_defaults_are_the_trainers_own() -> None:
    assert TrainConfig.from_mapping(composed("out=x")) == TrainConfig(out="x")


def test_every_setting_is_in_the_config() -> None:
    assert set(composed()) == {field.name for field in fields(TrainConfig)}


def test_overrides_reach_the_trainer() -> None:
    cfg = TrainConfig.from_mapping(
        composed("data=folder", "data.source=demos", "lr=1e-4", "task=make_waterfall", "steps=7")
    )
    assert (cfg.data, cfg.lr, cfg.task, cfg.steps) == ("demos", 1e-4, "make_waterfall", 7)
    assert cfg.out == "runs/train/make_waterfall/bc"
