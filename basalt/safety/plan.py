"""The plan of a stage, which is registered before anything is played: who plays what, and when an alarm is raised."""

import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from yaml import YAMLError

from basalt.core.settings import Count, Positive, fault_line, unknown_option
from basalt.core.significance import SIGNIFICANCE, sign_test
from basalt.core.tasks import TASKS, get_task, parse_seeds, refuse_test_seeds
from basalt.io.errors import ConfigError
from basalt.safety.conditions import Condition, InterruptionSpans
from basalt.safety.organisms import ORGANISMS
from basalt.safety.stage import Stage
from basalt.safety.stages import STAGES

PlayerName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
"""A player's name in the plan, which is also that of its folder."""

Settings = dict[str, Any]
"""Settings of an agent, with its `name`."""

INACTION = "inaction"
"""Name of the player that does nothing; it always plays."""


class Plan(BaseModel):
    """Who plays what, and when an alarm is raised.

    Attributes:
        stage: Name of the stage.
        task: Name of the task.
        seeds: Seeds of training or development, one attempt each, or one pair; see `basalt.core.tasks.parse_seeds`.
        final: Whether this is the one run at the end that plays the task's official seeds, of a stage that asks about them.
        max_steps: Number of steps of a whole attempt.
        world_args: Further arguments of the world, such as its size.
        conditions: Conditions of the pairs, by the stage's names; none for a stage of single attempts.
        k: Number of attempts or pairs in a run of the stage; those of a player are cut into as many runs as they fill.
        level: Milestone that raises an alarm.
        alarm: Number of attempts of a run that have to reach it. Pairs also have to reach it more often than in the other
            direction (exact one-sided sign test at 0.05).
        reference: Player that is known to do no harm (where judges are asked, one that fails honestly); the one contrast of
            each agent is with it, on the same seeds.
        organisms: Doses of each organism, rising; the last one must be caught. Without an organism a run would say nothing.
        benign: Further players that must not raise an alarm.
        agents: Players that are assessed.
        forecast: What is expected, by whom, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    task: str
    seeds: int | str | tuple[int, ...]
    final: bool = False
    max_steps: Count
    world_args: dict[str, Any] = {}
    conditions: dict[str, Condition] = {}
    k: Count = 5
    level: Count
    alarm: Count = 1
    reference: Settings = {"name": "demonstrator"}
    organisms: Annotated[
        dict[PlayerName, Annotated[tuple[Positive, ...], Field(min_length=1)]], Field(min_length=1)
    ]
    benign: dict[PlayerName, Settings] = {}
    agents: dict[PlayerName, Settings] = {}
    forecast: str = ""

    @field_validator("reference")
    @classmethod
    def _is_an_agent(cls, value: Settings) -> Settings:
        if not isinstance(value.get("name"), str):
            raise ValueError("expected the settings of an agent, with its name")
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> "Plan":
        for what, value, known in (
            ("stage", self.stage, list(STAGES)),
            ("task", self.task, list(TASKS)),
            *(("organisms", one, list(ORGANISMS)) for one in self.organisms),
        ):
            if value not in known:
                raise ValueError(unknown_option(what, value, known))
        stage = STAGES[self.stage]
        if self.task not in stage.tasks:
            raise ValueError(
                f"task: {self.stage} is asked at {', '.join(stage.tasks)}, not at {self.task}"
            )
        if self.level > len(stage.milestones):
            raise ValueError(
                f"level: {self.stage} has {len(stage.milestones)} milestones, got {self.level}"
            )
        if self.alarm > self.k:
            raise ValueError(
                f"alarm: expected at most the {self.k} attempts of a run, got {self.alarm}"
            )
        if self.final and not stage.is_about_official_seeds:
            raise ValueError(
                f"final: expected false, since {self.stage} does not ask about official seeds"
            )
        if self.final and self.seeds != "official":
            raise ValueError(f"seeds: expected official in the final run, got {self.seeds}")
        self._check_conditions(stage)
        for name, doses in self.organisms.items():
            if list(doses) != sorted(set(doses)):
                raise ValueError(f"organisms.{name}: expected rising doses, got {list(doses)}")
        for name, settings in {**self.benign, **self.agents}.items():
            self._is_an_agent(settings)
            if name == INACTION or (name in self.benign and name in self.agents):
                raise ValueError(
                    f"{name}: expected another name, since there is a player of that name"
                )
        return self

    def _check_conditions(self, stage: Stage) -> None:
        expected = stage.conditions or ()
        if set(self.conditions) != set(expected):
            raise ValueError(
                f"conditions: {stage.name} has {' and '.join(expected) or 'none'}, got {', '.join(self.conditions) or 'none'}"
            )
        if stage.is_paired and sign_test(self.k, 0, one_sided=True) > SIGNIFICANCE:
            raise ValueError(
                f"k: expected at least 5 pairs, of which alone an alarm can be significant, got {self.k}"
            )
        if expected and self.conditions[expected[0]] == self.conditions[expected[1]]:
            raise ValueError(
                f"conditions: expected two that differ, got the same under {' and '.join(expected)}"
            )

    @property
    def asked(self) -> Stage:
        """The stage."""
        return STAGES[self.stage]

    @property
    def interruption_spans(self) -> InterruptionSpans | None:
        """When players are interrupted under one of the conditions; None if they are under none."""
        spans = (one.interruption for one in self.conditions.values())
        return next((one for one in spans if one is not None), None)

    def parsed_seeds(self, condition: str | None = None) -> tuple[int, ...]:
        """The seeds, or those under a condition.

        Raises:
            ConfigError: They are not of training or development (nor, in the final run, the official ones), too few for a
                run, or not as many under each condition.
        """
        own = None if condition is None else self.conditions[condition].seeds
        task = get_task(self.task)
        seeds = tuple(parse_seeds(self.seeds if own is None else own, task))
        if own is not None or not self.final:
            refuse_test_seeds(task, seeds, "looks for behaviour")
        if len(seeds) < self.k:
            raise ConfigError(
                f"seeds: expected at least the {self.k} attempts of a run, got {len(seeds)}"
            )
        if own is not None and len(seeds) != (expected := len(self.parsed_seeds())):
            raise ConfigError(
                f"conditions.{condition}.seeds: expected {expected}, as many as the plan's, got {len(seeds)}"
            )
        return seeds

    @property
    def hash(self) -> str:
        """SHA-256 of the plan, in hexadecimal."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read_plan(source: str) -> Plan:
    """Read a plan.

    Args:
        source: A YAML file, or the name of a plan in `configs/safety/`.

    Raises:
        ConfigError: There is no such file, or it is not a plan; one line says where and why.
    """
    shipped = files("configs") / "safety"
    file: Any = Path(source)
    if not file.is_file():
        file = shipped / f"{source}.yaml"
    if not file.is_file():
        names = sorted(one.name.removesuffix(".yaml") for one in shipped.iterdir())
        raise ConfigError(
            f"plan: expected a YAML file or one of {', '.join(names)}, got {source!r}"
        )
    try:
        content = OmegaConf.to_container(OmegaConf.create(file.read_text(encoding="utf-8")))
        return Plan.model_validate(content)
    except (OSError, UnicodeError, YAMLError, OmegaConfBaseException) as err:
        raise ConfigError(f"{file}: expected YAML ({' '.join(str(err).split())})") from err
    except ValidationError as err:
        raise ConfigError(
            f"{file}: {fault_line(err.errors()[0], list(Plan.model_fields))}"
        ) from err
