"""The state machine of a hybrid agent: which policy acts, and when another takes its place. It is data, not code.

    states:
      walk:                                     # the first state: an episode begins here
        policy: walker
        without: [use]                          # buttons that the policy does not press
      pour:
        policy: pour_water                      # a script (`agents.hybrid.scripts`), `walker`, or the folder of a run
        enter: [soon_water_poured, ">=", tune, 6]
        at_most: 120
        then: walk

    heads: [drop_ahead]                         # further heads, for scripts

In the first state the `enter` conditions of all states are watched, in the order of the file. A state is left for
`then` when its `leave` condition holds or its script is finished, and for `else` after `at_most` steps. A condition is
[head, comparison, threshold, hold]: the probability by that head compares so with the threshold on as many frames in a row.
"""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from yaml import YAMLError

from basalt.core.actions import BUTTONS
from basalt.core.registry import did_you_mean
from basalt.core.settings import Count, fault_line
from basalt.io.errors import ConfigError

WALKER = "walker"
"""Policy of the state that plays the run given by the setting `walker`."""

TUNE = "tune"
"""Threshold that is chosen in training."""


def _threshold(value: Any) -> float | str:
    if value == TUNE:
        return TUNE
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"expected a probability from 0 to 1, or {TUNE}, got {value!r}")
    return float(value)


class Condition(BaseModel):
    """When a state is entered or left; in a file the list [head, comparison, threshold, hold].

    Attributes:
        head: Name of the head.
        comparison: `>=` or `<=`.
        threshold: Probability with which that of the head is compared, or `tune`.
        hold: Number of frames in a row on which it has to hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: str
    comparison: Literal[">=", "<="]
    threshold: Annotated[float | str, BeforeValidator(_threshold)]
    hold: Count

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        if len(value) != len(cls.model_fields):
            raise ValueError(f"expected [head, comparison, threshold, hold], got {value!r}")
        return dict(zip(cls.model_fields, value, strict=True))

    def holds(self, probabilities: Mapping[str, float]) -> bool:
        """Whether the comparison holds on a frame; never for a head without a probability."""
        assert not isinstance(self.threshold, str), "a threshold was not chosen"
        probability = probabilities.get(self.head)
        if probability is None:
            return False
        if self.comparison == ">=":
            return probability >= self.threshold
        return probability <= self.threshold

    def __str__(self) -> str:
        threshold = self.threshold if isinstance(self.threshold, str) else f"{self.threshold:.3g}"
        return f"{self.head} {self.comparison} {threshold} for {self.hold} frames"


class State(BaseModel):
    """A state.

    Attributes:
        policy: `walker`, a script, or the folder of a run of `bc`, `dagger` or `search`.
        without: Buttons that a run does not press here, such as one that decides the task; scripts press what they like.
        enter: Condition on which it is entered from the first state; None if only `then` or `else` lead here.
        leave: Condition on which it is left for `then`; None for none.
        at_most: Number of steps after which it is left for `else`; needed by all but the first state.
        then: State that follows; None for the first state.
        else_: State that follows after `at_most` steps (`else` in a file); None for `then`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    policy: str
    without: tuple[str, ...] = ()
    enter: Condition | None = None
    leave: Condition | None = None
    at_most: Count | None = None
    then: str | None = None
    else_: str | None = Field(default=None, alias="else")

    @field_validator("without")
    @classmethod
    def _are_buttons(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in BUTTONS:
                raise ValueError(
                    f"unknown button {name!r}; {did_you_mean(name, BUTTONS)}available: {', '.join(BUTTONS)}"
                )
        return value


class Machine(BaseModel):
    """A state machine.

    Attributes:
        states: The states by name; an episode begins in the first one.
        heads: Names of heads that its scripts use besides those that they need.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    states: Annotated[dict[str, State], Field(min_length=1)]
    heads: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> "Machine":
        named = {name for state in self.states.values() for name in (state.then, state.else_)}
        for name, state in self.states.items():
            for key, other in (("then", state.then), ("else", state.else_)):
                if other is not None and other not in self.states:
                    raise ValueError(
                        f"states.{name}.{key}: expected one of {', '.join(self.states)}, got {other!r}"
                    )
            if name == self.first:
                if state.enter is not None:
                    raise ValueError(
                        f"states.{name}.enter: expected none, since an episode begins in the first state"
                    )
                if (state.leave or state.at_most) and (state.then or state.else_) is None:
                    raise ValueError(
                        f"states.{name}.then: expected the state that follows the first one"
                    )
            elif state.at_most is None:
                raise ValueError(
                    f"states.{name}.at_most: expected a number of steps, so that the state is left"
                )
            elif state.enter is None and name not in named:
                raise ValueError(
                    f"states.{name}.enter: expected a condition, since no other state leads to this one"
                )
        return self

    @property
    def first(self) -> str:
        """Name of the state in which an episode begins."""
        return next(iter(self.states))

    def conditions(self) -> Iterator[tuple[str, str, Condition]]:
        """All conditions: name of the state, `enter` or `leave`, condition."""
        for name, state in self.states.items():
            for key in ("enter", "leave"):
                if (condition := getattr(state, key)) is not None:
                    yield name, key, condition

    def with_thresholds(self, chosen: Mapping[tuple[str, str], float]) -> "Machine":
        """The machine with other thresholds.

        Args:
            chosen: Threshold by name of the state and `enter` or `leave`.
        """
        content = self.model_dump(by_alias=True)
        for (name, key), threshold in chosen.items():
            content["states"][name][key]["threshold"] = threshold
        return Machine.model_validate(content)


def read_machine(path: str | Path, task: str) -> Machine:
    """The machine in a YAML file.

    Args:
        path: The file; "" for the task's default.
        task: Name of the task.

    Raises:
        ConfigError: The file is missing or not a machine; one line says where and why.
    """
    file: Any = Path(path) if path else files("configs") / "hybrid" / f"{task}.yaml"
    if not file.is_file():
        raise ConfigError(
            f"machine: expected a YAML file, but {path} is not a file; give machine=FILE.yaml"
            if path
            else f"machine: expected a file, since {task} has no default; give machine=FILE.yaml"
        )
    try:
        content = OmegaConf.to_container(OmegaConf.create(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as err:
        text = " ".join(str(err).split())
        raise ConfigError(f"{file}: expected YAML ({text})") from err
    try:
        return Machine.model_validate(content)
    except ValidationError as err:
        faults = err.errors()
        # A misspelt name is the reason why another one is missing.
        fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
        of_states = (field.alias or name for name, field in State.model_fields.items())
        known = [*Machine.model_fields, *(f"states.NAME.{name}" for name in of_states)]
        raise ConfigError(f"{file}: {fault_line(fault, known)}") from err


class MachineRun:
    """A machine in one episode.

    Args:
        machine: Machine whose thresholds are numbers.

    Attributes:
        state: Name of the present state.
        steps: Number of frames that it has acted on.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._enter(machine.first)

    def step(self, probabilities: Mapping[str, float]) -> str:
        """Take a frame; returns the name of the state that acts on it.

        Args:
            probabilities: Probability by each head on this frame.
        """
        present = self._machine.states[self.state]
        if self.steps == present.at_most:
            self._enter(present.else_ or present.then or self._machine.first)
        elif self._holds("", present.leave, probabilities):
            self._enter(present.then or self._machine.first)
        elif self.state == self._machine.first:
            held = [
                name
                for name, state in self._machine.states.items()
                if self._holds(name, state.enter, probabilities)
            ]
            if held:
                self._enter(held[0])
        self.steps += 1
        return self.state

    def finish(self) -> None:
        """Leave the present state, whose script is finished, for the one that follows."""
        self._enter(self._machine.states[self.state].then or self._machine.first)
        self.steps = 1

    def _enter(self, name: str) -> None:
        self.state = name
        self.steps = 0
        self._held: dict[str, int] = {}

    def _holds(
        self, key: str, condition: Condition | None, probabilities: Mapping[str, float]
    ) -> bool:
        """Whether a condition has held for long enough, this frame included."""
        if condition is None:
            return False
        self._held[key] = self._held.get(key, 0) + 1 if condition.holds(probabilities) else 0
        return self._held[key] >= condition.hold
