"""`basalt doctor`: what this machine can run, and how to install what is missing.

It also works where packages are missing, so only the standard library is imported up here.
"""

from dataclasses import asdict
from json import dumps

from basalt.machine_checks import all_checks

SIGNS = {"ok": "ok     ", "missing": "MISSING", "optional": "-      "}


def main(argv: list[str]) -> int:
    """Run `basalt doctor ARGUMENTS`; exit status 1 where something that the embedded world needs is missing."""
    try:
        from basalt.cli.flags import Json, run

        def doctor(as_json: Json = False) -> int:
            """Check what this machine can run, and how to install what is missing."""
            return _report(as_json)

        return run("doctor", doctor, argv)
    except ImportError:  # a broken installation, which is what this command is for
        return _report(as_json="--json" in argv)


def _report(as_json: bool) -> int:
    checks = all_checks()
    if as_json:
        print(dumps([asdict(check) for check in checks], indent=1))
    else:
        for check in checks:
            print(f"{SIGNS[check.state]}  {check.name:<22} {check.found}")
            if check.fix:
                print(f"{'':33}fix: {check.fix}")
    return int(any(check.state == "missing" for check in checks))
