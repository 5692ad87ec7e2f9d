"""What a policy's files hold."""

from typing import Any

import torch

from basalt.policies.idm import load_official_idm
from basalt.policies.official import LoadReport, load_official_policy, read_model_file
from basalt.policies.source import fingerprint, official_files, open_policy


def policy_facts(source: str) -> dict[str, Any]:
    """JSON-ready facts: kind, parameters, sizes, SHA-256 of the weights, missing and unexpected names.

    Raises:
        ConfigError: The files cannot be used.
    """
    files = official_files(source, "SOURCE")
    report: LoadReport | None = None
    module: Any
    if files is None:
        kind, module = "checkpoint", open_policy(source, torch.device("cpu"), "SOURCE")
    elif "conv3d_params" in read_model_file(files[0]).policy_kwargs:
        kind, (module, report) = "published idm", load_official_idm(*files)
    else:
        kind, (module, report) = "published policy", load_official_policy(*files)
    return {
        "source": source,
        "kind": kind,
        "parameters": sum(value.numel() for value in module.state_dict().values()),
        "sha256": fingerprint(module),
        "missing": list(report.missing) if report else [],
        "unexpected": list(report.unexpected) if report else [],
        **module.config.to_dict(),
    }
