"""``basalt embed``: embeddings of recordings by a frozen policy."""

from omegaconf import DictConfig

from basalt.cli.hydra_app import hydra_app, plain
from basalt.policies.embed import EmbedConfig, embed


def main(argv: list[str]) -> int:
    """Run ``basalt embed ARGUMENTS``."""
    return hydra_app("embed", _job, argv)


def _job(cfg: DictConfig) -> None:
    config = EmbedConfig.from_mapping(plain(cfg))
    done = embed(config)
    present = done["plays"] - done["embedded"]
    print(
        f"{done['embedded']} plays embedded, {done['frames']} frames; {present} were embedded before; "
        f"{config.out}"
    )
