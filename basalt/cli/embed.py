"""`basalt embed`: embeddings of recordings by a frozen policy."""

from basalt.cli.hydra_app import hydra_app
from basalt.policies.embed import EmbedConfig, embed


def main(argv: list[str]) -> int:
    """Run `basalt embed ARGUMENTS`; returns the exit status."""
    return hydra_app("embed", _embed, argv, settings=EmbedConfig)


def _embed(config: EmbedConfig) -> None:
    done = embed(config)
    before = done["plays"] - done["embedded"]
    print(
        f"{done['embedded']} plays embedded, {done['frames']} frames; {before} were embedded before; "
        f"{config.out}"
    )
