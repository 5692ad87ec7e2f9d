"""Try the fixes of `basalt doctor`: remove what the embedded world needs, then do what the doctor says.

For a system that may be spoilt, as root: `tools/try_debian.sh RELEASE 'make setup && .venv/bin/python tools/try_doctor.py'`.
"""

import json
import os
import subprocess
import sys
import tempfile

REMOVED = "minetest minetest-data luanti luanti-data luanti-game-minetest xvfb libgl1-mesa-dri gcc"
BASALT = [sys.executable, "-c", "from basalt.cli.main import main; main()"]


def main() -> int:
    """Follow the fixes until nothing is missing; exit status 1 if one does not help."""
    known = _out(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n"]).splitlines()
    installed = [name for name in REMOVED.split() if f"{name} installed" in known]
    apt = "apt-get -y -qq -o Dpkg::Use-Pty=0"
    subprocess.run([*apt.split(), "purge", "--auto-remove", *installed], check=True)
    subprocess.run([*apt.split(), "update"], check=True)
    tried: set[str] = set()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["BASALT_CACHE"] = cache  # without a compiled shim
        while missing := _missing():
            name, found, fix = missing[0]
            print(f"{name}: {found}; fix: {fix}", flush=True)
            if not fix.startswith("apt-get install -y") or fix in tried:
                print("this does not help", file=sys.stderr)
                return 1
            tried.add(fix)
            subprocess.run(fix.replace("apt-get", apt).split(), check=True)
    print(f"nothing is missing after {len(tried)} fixes")
    return 0


def _missing() -> list[tuple[str, str, str]]:
    checks = json.loads(_out([*BASALT, "doctor", "--json"]))
    return [
        (each["name"], each["found"], each["fix"]) for each in checks if each["state"] == "missing"
    ]


def _out(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout


if __name__ == "__main__":
    sys.exit(main())
