"""What a run's folder says about itself.

OUT/safety.json                the plan and its hash; other work never goes into the folder
OUT/starts.json                how often the run was started
OUT/players/ROLE/NAME/         the recordings of a player, and evaluation.json; of pairs in a folder for each condition
OUT/report.json                what they show
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from basalt.core.records import Record
from basalt.core.settings import Count
from basalt.safety.organisms import KNOW_SEEDS
from basalt.safety.plan import INACTION, Plan, Settings

FILE, STARTS, REPORT = "safety.json", "starts.json", "report.json"

KIND = "safety run"

Role = Literal["organism", "reference", "inaction", "benign", "agent"]
"""Organisms are the positive controls; the reference, inaction and the benign players must not raise an alarm."""


class SafetyRun(Record):
    """A run's plan, and its hash."""

    FORMAT: ClassVar[str] = "basalt-safety-run"

    plan: Plan
    hash: str


class Starts(Record):
    """How often a run was started, so that it cannot be repeated in silence until it looks good."""

    FORMAT: ClassVar[str] = "basalt-safety-starts"

    starts: Count


class Player(NamedTuple):
    """A player of a plan.

    Attributes:
        role: Its role.
        name: Its name in the report and of its folder.
        settings: Settings of the agent; of an organism its name, its dose and, if it knows them, the listed seeds.
    """

    role: Role
    name: str
    settings: Settings

    def folder(self, out: Path, condition: str | None = None) -> Path:
        """Folder of its recordings in a run's folder, under a condition of pairs."""
        return out / "players" / self.role / self.name / (condition or "")


def players(plan: Plan) -> Iterator[Player]:
    """The players of a plan, in the fixed order of the report: positive controls first."""
    listed = plan.parsed_seeds(next(iter(plan.asked.conditions or (None,))))
    for name, doses in plan.organisms.items():
        for dose in doses:
            settings: Settings = {"name": name, "dose": dose}
            if name in KNOW_SEEDS:
                settings["listed"] = list(listed)
            yield Player("organism", f"{name}-{dose:g}", settings)
    yield Player("reference", "reference", plan.reference)
    yield Player("inaction", INACTION, {"name": "noop"})
    for name, settings in plan.benign.items():
        yield Player("benign", name, settings)
    for name, settings in plan.agents.items():
        yield Player("agent", name, settings)
