"""A library of twins on disk: recordings in pairs, and from when on they differ in what is seen and in what is true."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from basalt.io.errors import ConfigError
from basalt.probes.records import Part, ProbeRecord, number

FILE = "twins.json"

PLAIN = "plain"
"""Name of the play in the world without an edit."""

SEEN = 0.5
"""Mean absolute difference of two pictures, of 255, above which something is seen. Two plays of the same world differ by
up to 0.2, since the engine draws some lights in another order and videos are lossy."""


class Twin(Part):
    """A play in a world with one thing changed, beside the same actions in the world as it is.

    Attributes:
        seed: Seed of both.
        change: Name in `basalt.probes.twins.changes.CHANGES`.
        edit: What was changed.
        seen: First frame whose picture differs; None if none does.
        differs: First state whose telemetry differs in more than what the edit itself changes; None if none does.
        fields: Names of the fields that differ then.
        moment: The last frame before telemetry differs at which the pictures differ about as much as ever; None if none does.
        picture: Mean absolute difference of the pictures at that frame, of 255.
    """

    seed: int
    change: str
    edit: dict[str, Any]
    seen: int | None
    differs: int | None
    fields: tuple[str, ...]
    moment: int | None
    picture: float

    @property
    def plain(self) -> str:
        """Path of the plain recording in the library, without suffix."""
        return stem(self.seed, PLAIN)

    @property
    def changed(self) -> str:
        """Path of the changed recording in the library, without suffix."""
        return stem(self.seed, self.change)


def stem(seed: int, change: str) -> str:
    """Path of a recording in a library, without suffix."""
    return f"{seed}/{change}/seed_{seed}"


class TwinLibrary(ProbeRecord):
    """Twins of the plays of a folder (`twins.json`).

    Attributes:
        task, world, world_version: Task and world of all recordings.
        steps: Number of steps of each recording.
        twins: The twins, by seed.
        left_out: Why a seed or a change has none.
    """

    FORMAT: ClassVar[str] = "basalt-twins"

    task: str
    world: str
    world_version: str
    steps: int
    twins: tuple[Twin, ...]
    left_out: tuple[str, ...]

    @classmethod
    def open(cls, folder: str | Path) -> "TwinLibrary":
        """Read the library of a folder.

        Raises:
            ConfigError: The folder holds no library, or a damaged one.
        """
        file = Path(folder) / FILE
        if not file.is_file():
            raise ConfigError(
                f"data: expected a folder that `basalt probe twins` wrote, got {folder}; use data=folder data.source=FOLDER"
            )
        return cls.read(file)

    def select(self, changes: Sequence[str], frames: int) -> list[Twin]:
        """The twins of some changes whose moment has a window of frames before it.

        Args:
            changes: Names of changes; empty takes all.
            frames: Number of frames of a window that ends at the moment.

        Raises:
            ConfigError: No twin is of these changes, or an unknown change is named.
        """
        known = sorted({twin.change for twin in self.twins})
        if unknown := [name for name in changes if name not in known]:
            raise ConfigError(f"changes: expected some of {', '.join(known)}, got {unknown[0]!r}")
        found = [
            twin
            for twin in self.twins
            if (not changes or twin.change in changes)
            and twin.moment is not None
            and twin.moment + 1 >= frames
        ]
        if not found:
            raise ConfigError(
                f"data: expected twins that are seen at frame {frames - 1} or later, found none among "
                f"{len(self.twins)}; lower frames, or make twins of more steps"
            )
        return found

    def lines(self) -> list[str]:
        """One line for each twin, and what was left out."""
        found = [
            f"{self.task} in {self.world_version}: {len(self.twins)} twins of "
            f"{len({twin.seed for twin in self.twins})} plays, {self.steps} steps each",
            f"{'seed':>8}  {'change':<14}{'seen':>6}{'moment':>8}{'picture':>9}{'differs':>9}  first fields",
        ]
        for one in self.twins:
            found.append(
                f"{one.seed:>8}  {one.change:<14}{number(one.seen, ''):>6}{number(one.moment, ''):>8}"
                f"{one.picture:>9.2f}{number(one.differs, ''):>9}  {', '.join(one.fields)}"
            )
        return [*found, *(f"left out: {reason}" for reason in self.left_out)]
