"""Many environments side by side, each in its own process, none of which waits for another one's reset."""

import contextlib
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, cast

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState
from numpy.typing import NDArray

from basalt.io.errors import ConfigError, WorldError
from basalt.worlds.base import Frame, WorldEnv

_POLL_S = 0.002
"""Real time in seconds between two looks at whether one of the environments can play again."""

StepResult = tuple[
    dict[str, Frame], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
]


class WorldVectorEnv(AsyncVectorEnv[Any, Any]):
    """Environments of one task in processes of their own, whose frames are in shared memory.

    Episodes follow each other by Gymnasium's `AutoresetMode.NEXT_STEP`, with one difference: a step does not wait for
    a reset. An environment whose episode has ended is reset in the background. Until its next episode has begun,
    every step returns its last frame, the reward 0 and `terminated` and `truncated` False, and its action is not
    played; then one step returns the first frame of the episode, with the info of its reset, as in NEXT_STEP.
    `infos["played"]`, bool [num_envs], is True where the action was played: leave the other transitions out. Where
    no environment can play, a step waits for the first that can.

    With `AutoresetMode.DISABLED` an episode that has ended is reset by `reset(options={"reset_mask": mask})`.

    `observations["pov"]` is uint8 [num_envs, height, width, 3]. The worlds write their frames into memory that all
    processes share. By default a step returns a copy of it; with `copy=False` it returns the shared memory itself,
    which the next step overwrites.

    An environment that fails is one error, as without a vector: a step raises its `WorldError`, or with
    `on_failure="truncate"` its episode ends (`infos["ended"]` is `crash`) and the others continue.

    Args:
        make: Functions that make the environments; each is called in its own process.
        copy: Whether steps return a copy of the frames.
        autoreset_mode: `NEXT_STEP` or `DISABLED`.

    Raises:
        ConfigError: The autoreset mode is not supported.
    """

    def __init__(
        self,
        make: Sequence[Callable[[], WorldEnv]],
        *,
        copy: bool = True,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        if autoreset_mode is AutoresetMode.SAME_STEP:
            raise ConfigError(
                "autoreset_mode: expected NEXT_STEP or DISABLED, got SAME_STEP, in which a step would wait for a reset"
            )
        worker: Any = _work  # Gymnasium's annotation of it is out of date
        super().__init__(make, copy=copy, autoreset_mode=autoreset_mode, worker=worker)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Frame], dict[str, Any]]:
        """Begin an episode in every environment, or in those of `options["reset_mask"]`; see `VectorEnv.reset`.

        Raises:
            ConfigError: A seed or an option is not valid.
            WorldError: An environment failed, or its process was killed.
        """
        with self._one_error():
            return super().reset(seed=seed, options=options)

    def step(self, actions: Any) -> StepResult:
        """Play one step in every environment that has an episode.

        Args:
            actions: Actions of all environments, in `action_space`.

        Raises:
            ActionError: An action is not valid.
            WorldError: An environment failed, or its process was killed.
        """
        while True:
            with self._one_error():
                result = cast(StepResult, super().step(actions))
            infos = result[-1]
            infos.pop("_waiting"), infos.pop("_played")
            if not infos.pop("waiting").all():
                return result
            time.sleep(_POLL_S)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of every environment, or read an attribute; see `VectorEnv.call`.

        Raises:
            ConfigError: The method is one that this vector has itself.
            WorldError: An environment failed, or its process was killed.
        """
        if name in ("reset", "step", "close"):
            raise ConfigError(f"call: expected another method than {name!r}; use the vector's own")
        with self._one_error():
            return super().call(name, *args, **kwargs)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every environment; see `VectorEnv.set_attr`.

        Raises:
            WorldError: A process was killed.
        """
        with self._one_error():
            super().set_attr(name, values)

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """End the processes. One that has ended already, as after Ctrl-C, is not an error."""
        if (
            self._state is not AsyncState.DEFAULT
        ):  # a call was interrupted: nobody waits for its answers
            self._state, terminate = AsyncState.DEFAULT, True
        try:
            super().close_extras(timeout, terminate)
        except (EOFError, ConnectionError):
            super().close_extras(timeout, terminate=True)

    @contextlib.contextmanager
    def _one_error(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError) as err:
            self.close(terminate=True)
            raise WorldError(
                "a process of the vector was killed, so all its environments were closed; make the vector again"
            ) from err

    def _raise_if_errors(self, successes: Iterable[bool]) -> None:
        """Raise the error of the first environment that failed; Gymnasium would also print its stack."""
        failures = [self.error_queue.get() for success in successes if not success]
        for index, *_ in failures:
            self.parent_pipes[index].close()
            self.parent_pipes[index] = None  # type: ignore[call-overload]  # as Gymnasium marks it
        if failures:
            self._state = AsyncState.DEFAULT
            index, _, error, _ = min(failures, key=lambda failure: failure[0])
            error.add_note(f"in environment {index} of {self.num_envs}; close the vector")
            raise error


class _Reset(threading.Thread):
    """A reset in the background.

    Args:
        env: The environment.
    """

    def __init__(self, env: WorldEnv) -> None:
        super().__init__(daemon=True)
        self._env = env
        self._result: tuple[dict[str, Frame], dict[str, Any]] | None = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._env.reset()
        except BaseException as err:
            self._error = err

    def result(self) -> tuple[dict[str, Frame], dict[str, Any]]:
        """Wait for the reset, and return what it returned.

        Raises:
            WorldError: The reset failed.
        """
        self.join()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result


class _Worker:
    """One environment of a vector, and where its frames go.

    Args:
        env: The environment.
        frame: Its part of the shared memory.
        autoreset: Whether an episode that has ended is followed by the next one.
    """

    def __init__(self, env: WorldEnv, frame: Frame, *, autoreset: bool) -> None:
        self.env = env
        self._frame = frame
        self._autoreset = autoreset
        self._reset: _Reset | None = None

    def reset(self, **arguments: Any) -> dict[str, Any]:
        self.wait()
        self._reset = None  # its episode is not wanted
        observation, info = self.env.reset(**arguments)
        self._begin(observation)
        return info

    def step(self, action: Any) -> tuple[float, bool, bool, dict[str, Any]]:
        if self._reset is not None:
            if self._reset.is_alive():
                return 0.0, False, False, {"played": False, "waiting": True}
            reset, self._reset = self._reset, None
            observation, info = reset.result()
            self._begin(observation)
            return 0.0, False, False, {**info, "played": False, "waiting": False}
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._show(observation)
        if self._autoreset and (terminated or truncated):
            self.env.frame_buffer = None  # the last frame stays until the next episode begins
            self._reset = _Reset(self.env)
        return reward, terminated, truncated, {**info, "played": True, "waiting": False}

    def wait(self) -> None:
        """Wait for a reset in the background; a step returns its result later."""
        if self._reset is not None:
            self._reset.join()

    def _begin(self, observation: dict[str, Frame]) -> None:
        self._show(observation)
        self.env.frame_buffer = self._frame

    def _show(self, observation: dict[str, Frame]) -> None:
        if observation["pov"] is not self._frame:
            np.copyto(self._frame, observation["pov"])


def _work(
    index: int,
    make: Callable[[], WorldEnv],
    pipe: Connection,
    parent_pipe: Connection,
    shared_memory: Any,
    errors: Any,
    autoreset_mode: AutoresetMode,
    semaphore: Any,
) -> None:
    """Answer Gymnasium's commands, in the process of one environment; its own worker resets in a step."""
    parent_pipe.close()
    worker = None
    try:
        env = make()
        shape = cast(tuple[int, ...], env.observation_space["pov"].shape)  # type: ignore[index]
        memory = np.frombuffer(shared_memory["pov"].get_obj(), np.uint8)
        frame = memory.reshape(-1, *shape)[index]
        worker = _Worker(env, frame, autoreset=autoreset_mode is AutoresetMode.NEXT_STEP)
        while True:
            command, data = pipe.recv()
            if command == "close":
                pipe.send((None, True))
                return
            pipe.send((_answer(worker, command, data), True))
    except (KeyboardInterrupt, Exception):
        kind, error, _ = sys.exc_info()
        errors.put((index, kind, _sendable(error), traceback.format_exc()))
        pipe.send((None, False))
    finally:
        if worker is not None:
            worker.wait()
            worker.env.close()


def _sendable(error: BaseException | None) -> BaseException | None:
    """Return the error, or its text where it cannot be pickled: the vector would wait for it without end."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return WorldError(f"{type(error).__name__}: {error}")
    return error


def _answer(worker: _Worker, command: str, data: Any) -> Any:
    """Return what Gymnasium's vector expects of a command; the observation is in the shared memory."""
    env = worker.env
    if command == "reset":
        return None, worker.reset(**data)
    if command == "step":
        return None, *worker.step(data)
    if command == "reset-noop":
        return None, {}
    if command == "_check_spaces":
        _, observations, actions = data
        return observations == env.observation_space, actions == env.action_space
    worker.wait()
    if command == "_setattr":
        env.set_wrapper_attr(*data)
        return None
    name, arguments, named = data
    attribute = env.get_wrapper_attr(name)
    return attribute(*arguments, **named) if callable(attribute) else attribute
