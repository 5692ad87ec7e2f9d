"""Commands that are Hydra applications: `key=value` settings over `configs/`, with errors of one line."""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import product
from typing import Any, TypeVar

import hydra
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from basalt.core.registry import load
from basalt.core.settings import defaults, descriptions, flat, unknown_option, unknown_setting
from basalt.core.tasks import TASKS
from basalt.io.errors import ConfigError
from basalt.runners.choice import RUNNERS

GROUPS = {"task": "name", "data": "source", "world": "", "agent": "", "runner": ""}
"""Groups of settings that are chosen by name, and which of a group's settings stands for it."""

T = TypeVar("T")


def hydra_app(
    config: str,
    function: Callable[[T], None],
    argv: Sequence[str],
    *,
    settings: Callable[..., T],
    described: type | None = None,
) -> int:
    """Compose `configs/{config}.yaml` with the arguments, check the settings and call the function.

    With `-m` each combination of a sweep is checked before the first one runs; then Hydra's launcher
    runs them, in this process or elsewhere.

    Args:
        config: Name of the configuration.
        function: What the command does.
        argv: Command line: settings and Hydra's flags.
        settings: Makes the checked settings from their values by name.
        described: Class of the settings, for `--help`, where `settings` is not one.

    Raises:
        BasaltError: What the function raised, or a ConfigError for a wrong setting.
    """
    if described is None:
        assert isinstance(settings, type)
        described = settings
        values = {k: v for k, v in defaults(described).items() if k not in GROUPS or v != "???"}
        add_option("settings", described.__name__, values, package="_global_")
    for task in TASKS:
        add_option("task", task, {"name": task})
    if "world" in descriptions(described):
        _add_worlds(argv)
    for name, runner in RUNNERS.items():
        add_option("runner", name, {"name": name, **defaults(load(runner))})
    renamed: Mapping[str, str] = getattr(described, "RENAMED", {})
    if removed := next((arg for arg in argv if arg.startswith("~")), None):
        raise ConfigError(
            f"{removed}: deleting a setting is not supported; unset it with {removed[1:]}=null"
        )
    for before, arg in zip(["", *argv], argv, strict=False):
        takes_value = before.startswith("-") and before not in ("-m", "--multirun")
        if "=" not in arg and not arg.startswith("-") and not takes_value:
            raise ConfigError(f"{arg!r}: expected a setting key=value; --help lists the settings")
        name, _, value = arg.removeprefix("--").partition("=")
        if arg.startswith("--") and name.replace("-", "_") in descriptions(described):
            name = name.replace("-", "_")
            raise ConfigError(
                f"{arg}: settings are written key=value here: {name}={value or '...'}"
            )
    sweep = bool({"-m", "--multirun"} & set(argv))
    overrides = [_as_typed(arg, renamed, sweep) for arg in argv]

    composed: list[dict[str, Any] | OmegaConfBaseException] = []

    def job(cfg: DictConfig) -> None:
        if sweep:
            function(settings(**plain(cfg)))
            return
        # The rest comes later: Hydra would print a line of its own above that of an error.
        try:
            composed.append(plain(cfg))
        except OmegaConfBaseException as err:
            composed.append(err)

    # Hydra would print a traceback and end the process; we want the exception, to print one line.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    launched = False
    try:
        if {"-h", "--help"} & set(argv):
            print(_help(config, described, _choices(overrides)))
            return 0
        if sweep:
            out = _check_sweep(config, overrides, settings)
            if not any(arg.startswith("hydra.sweep.dir=") for arg in argv):
                # A job's value may depend on what is swept; the folder of the whole sweep may not.
                overrides.append(f"hydra.sweep.dir={_quoted(out)}")
        sys.argv = [f"basalt {config}", *overrides]
        launched = sweep
        hydra.main(version_base="1.3", config_path="pkg://configs", config_name=config)(job)()
    except (HydraException, OmegaConfBaseException) as err:
        raise ConfigError(_one_line(err, config, overrides)) from err
    except (TypeError, ValueError) as err:
        if launched:
            raise
        # Hydra's own, for an option that is not a name (task=3).
        raise ConfigError(f"{' '.join(argv)}: {one_line(err)}; --help lists the options") from err
    for one in composed:
        if isinstance(one, OmegaConfBaseException):
            raise ConfigError(one_line(one))
        function(settings(**one))
    return 0


def _add_worlds(argv: Sequence[str]) -> None:
    """Make the worlds of other packages options; the chosen one's own settings have their defaults."""
    from basalt.worlds import WORLDS, own_settings

    for name in WORLDS:
        if not in_configs("world", name):
            args = own_settings(name) if name in chosen("world", argv) else {}
            add_option("world", name, {"name": name, "args": args})


def chosen(group: str, argv: Sequence[str]) -> list[str]:
    """Names in the arguments `group=NAME`, several of them in a sweep (`group=NAME,NAME`)."""
    values = [arg.lstrip("+").partition("=") for arg in argv]
    return [
        name for key, _, value in values if key == group for name in re.findall(r"[\w.-]+", value)
    ]


def add_option(
    group: str, name: str, values: Mapping[str, Any], package: str | None = None
) -> None:
    """Register a name as an option of a group (`agent=NAME`), without a file in `configs/`."""
    ConfigStore.instance().store(name=name, node=dict(values), group=group, package=package)


def in_configs(group: str, name: str) -> bool:
    """Whether an option has a file in `configs/`."""
    return files("configs").joinpath(group, f"{name}.yaml").is_file()


def plain(cfg: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain values by name; a group's main setting stands for the group."""
    content = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(content, dict)
    values = {str(key): value for key, value in content.items()}
    for group, main in GROUPS.items():
        if main and isinstance(values.get(group), Mapping):
            values[group] = values[group][main]
    return values


# ---- the command line as typed ----


def _parsed(argument: str) -> Override:
    return OverridesParser.create().parse_override(argument)


def _as_typed(argument: str, renamed: Mapping[str, str], sweep: bool) -> str:
    """An argument as Hydra's grammar has it: values that it cannot read are quoted, as typed.

    Raises:
        ConfigError: The value may mean several things; the message shows the quotes to use.
    """
    parts = re.fullmatch(r"(\+{0,2})([\w./@:-]+)=(.*)", argument, re.DOTALL)
    if parts is None:
        return argument
    plus, name, value = parts.groups()
    name = renamed.get(name, name)
    # An addition may name a setting that is known by now: `+agent.steps=4`.
    prefix = "++" if plus and name not in GROUPS else plus
    try:
        override = _parsed(f"{prefix}{name}={value}")
    except HydraException:
        if sweep and "," in value:
            each = ",".join(_quoted(one) for one in value.split(","))
            raise ConfigError(
                f"{name}: Hydra cannot read {value!r}; quote each value: '{name}={each}'"
            ) from None
        return f"{prefix}{name}={_quoted(value)}"
    if override.is_sweep_override() and not sweep:
        raise ConfigError(
            f"{name}: {value!r} may be several values; write '{name}={_quoted(value)}' for one value, "
            f"'{name}=[{value}]' for a list, or add -m to run once for each"
        )
    return f"{prefix}{name}={value}"


def _quoted(text: str) -> str:
    return QuotedString(text=text, quote=Quote.double).with_quotes()


def _choices(overrides: Sequence[str]) -> list[str]:
    """The overrides that choose an option of a group."""
    return [one for one in overrides if one.lstrip("+").partition("=")[0] in GROUPS]


# ---- sweeps ----


def _check_sweep(config: str, overrides: Sequence[str], settings: Callable[..., Any]) -> str:
    """Check each combination of a sweep; returns a folder for Hydra's own files."""
    folder = "."
    with initialize_config_module("configs", version_base="1.3"):
        for number, combination in enumerate(_combinations(overrides)):
            cfg = compose(config, combination, return_hydra_config=True)
            OmegaConf.set_readonly(cfg.hydra, False)
            cfg.hydra.job.num = number
            HydraConfig.instance().set_config(cfg)  # for ${hydra:job.num}
            values = plain(OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"]))
            settings(**values)
            if number == 0:
                folder = values.get("out") or "."
    return f"{folder}/.jobs"


def _combinations(overrides: Sequence[str]) -> Iterator[list[str]]:
    each = []
    for text in (one for one in overrides if "=" in one and not one.startswith("-")):
        override = _parsed(text)
        if not override.is_discrete_sweep():
            each.append([text])
            continue
        key = override.get_key_element()
        each.append([f"{key}={value}" for value in override.sweep_string_iterator()])
    yield from map(list, product(*each))


# ---- help ----


def _help(config: str, described: type, choices: Sequence[str]) -> str:
    said = descriptions(described)
    for field in dataclasses.fields(described):
        if isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            said |= {f"{field.name}.{k}": v for k, v in descriptions(field.type).items()}
    said |= {f"{group}.name": said[group] for group in GROUPS if group in said}
    lines = [
        f"usage: basalt {config.replace('/', ' ')} key=value ...",
        "",
        (described.__doc__ or "").strip().partition("\n")[0],
        "",
        "settings and their values:",
    ]
    with initialize_config_module("configs", version_base="1.3"):
        cfg = compose(config, list(choices))
        options = {
            group: sorted({*GlobalHydra.instance().config_loader().get_group_options(group)})
            for group in GROUPS
            if isinstance(cfg.get(group), DictConfig)
        }
    values = flat(OmegaConf.to_container(cfg, resolve=False))  # type: ignore[arg-type]
    if runner := values.get("runner.name"):
        said |= {f"runner.{k}": v for k, v in descriptions(load(RUNNERS[runner])).items()}
    for name, value in values.items():
        shown = {"???": "(needed)", None: "null", True: "true", False: "false"}.get(
            value if isinstance(value, str | bool | None) else "", value
        )
        lines.append(f"  {name}={shown}")
        if what := said.get(name) or said.get(name.rpartition(".")[2]):
            lines.append(f"      {what}")
    for group, names in options.items():
        lines.append(f"options of {group}=: {', '.join(names)}")
        if group in ("agent", "world"):
            from agents.common.registry import AGENTS  # here, since they load the worlds
            from basalt.worlds import WORLDS

            lines += (AGENTS if group == "agent" else WORLDS).broken().values()
    lines += [
        "",
        "-m runs once for each combination of comma-separated values; --cfg job prints the settings;",
        "--hydra-help lists Hydra's own flags.",
    ]
    return "\n".join(lines)


# ---- errors ----

LAUNCHER_EXTRAS = {
    "joblib": "launch-joblib",
    "submitit_slurm": "launch-slurm",
    "submitit_local": "launch-slurm",
}
"""Extra of this package that installs a launcher of Hydra."""


def _one_line(err: Exception, config: str, overrides: Sequence[str]) -> str:
    text = f"{err} {err.__cause__ or ''}"
    if not (unknown := re.search(r"Could not override '\+{0,2}([^']+)'", text)):
        return one_line(err)
    with initialize_config_module("configs", version_base="1.3"):
        # A group that this command does not have is what is unknown.
        known_groups = [
            one for one in overrides if not one.lstrip("+").startswith(f"{unknown[1]}=")
        ]
        cfg = compose(config, _choices(known_groups))
    values = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(values, dict)
    known = [*flat({str(k): v for k, v in values.items()}), *(g for g in GROUPS if g in values)]
    # A mapping (world.args={bogus: 1}) has the wrong key inside.
    inside = re.search(r"full_key: ([\w.]+)", text)
    name = max(unknown[1], inside[1] if inside else "", key=len)
    parent, _, key = name.rpartition(".")
    if parent and OmegaConf.select(cfg, parent) == {}:
        return f"{name}: {parent} has no {key!r} yet; to add it, write +{name}=..."
    return unknown_setting(name, list(dict.fromkeys(known)))


def one_line(err: Exception) -> str:
    """The complaint of Hydra or OmegaConf in one line that names the setting and what to do."""
    if isinstance(err, MissingMandatoryValue):
        return f"{err.full_key}: expected a value; give {err.full_key}=..."
    if isinstance(err, MissingConfigException) and err.missing_cfg_file and err.options:
        group, _, value = err.missing_cfg_file.rpartition("/")
        if group == "hydra/launcher" and (extra := LAUNCHER_EXTRAS.get(value)):
            return (
                f"{group}: {value!r} is not installed; install it with: "
                f"pip install 'basalt-benchmark[{extra}]'"
            )
        return unknown_option(group, value, err.options)
    cause = err.__cause__
    text = f"{err} {cause}" if cause is not None and str(cause) not in str(err) else str(err)
    what, _, _ = text.partition("Config search path:")
    return "; ".join(line.strip(" ;\t") for line in what.splitlines() if line.strip(" ;\t"))
