import json
import os
import subprocess
import sys
import threading
from concurrent.futures.process import BrokenProcessPool

import pytest

from basalt.cli import main as cli
from basalt.io.errors import BasaltError


def test_every_command_can_be_loaded():
    for command in cli.COMMANDS.values():
        assert callable(command.load())


def test_help_names_every_command_with_an_example(capsys):
    assert cli.run([]) == 0
    text = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert f"  {name} " in text and command.example in text


def test_commands_load_from_the_wheel():
    packages = {command.target.partition(".")[0] for command in cli.COMMANDS.values()}
    assert packages == {"basalt"}


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from basalt.cli import main as cli; cli.run(['--help']); "
        "heavy = {'torch', 'streamlit', 'sqlalchemy', 'gymnasium', 'hydra', 'numpy'}; "
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "" and done.returncode == 0


def run_without_reader(code: str, *arguments: str) -> tuple[int, str]:
    """Exit status and stderr of a Python program whose output nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    # Output is buffered, as Python does by default, and meets the closed pipe at the end.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"], ["bench", "--help"]])
def test_a_reader_that_goes_away_is_no_failure(arguments):
    """As with `basalt --help | head -1`."""
    code = "import sys; from basalt.cli import main as cli; sys.argv = ['basalt', *sys.argv[1:]]; cli.main()"
    assert run_without_reader(code, *arguments) == (0, "")


def test_a_command_that_failed_says_so_though_its_reader_went_away():
    code = "from basalt.cli import main as cli; cli.run = lambda argv: print('missing') or 1; cli.main()"
    assert run_without_reader(code) == (1, "")


def test_a_launcher_that_is_not_installed_names_its_extra():
    from hydra.errors import MissingConfigException

    from basalt.cli.hydra_app import one_line

    err = MissingConfigException("", "hydra/launcher/joblib", ["basic"])
    assert "install it with: pip install 'basalt-benchmark[launch-joblib]'" in one_line(err)


def test_an_unknown_choice_is_one_line_with_the_known_ones(capsys):
    assert cli.run(["rollout", "task=find_cav"]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith(
        "basalt rollout: task: unknown option 'find_cav'; did you mean 'find_cave'?"
    )
    assert "make_waterfall" in said and said.count("\n") == 1


@pytest.mark.parametrize("setting", ["jobs=two", "crf=1.5", "max_steps=all", "jobs=null"])
def test_a_number_that_is_none_is_one_line(setting, tmp_path, capsys):
    assert cli.run(["rollout", setting, f"out={tmp_path / 'out'}"]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith(f"basalt rollout: {setting.split('=')[0]}: ")
    assert "expected an integer, got " in said and not (tmp_path / "out").exists()


@pytest.mark.parametrize("setting", ["task=3", "+task=3", "world=[1]", "~task"])
def test_a_choice_that_is_no_name_is_one_line(setting, tmp_path, capsys):
    assert cli.run(["rollout", setting, f"out={tmp_path / 'out'}"]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith(f"basalt rollout: {setting}") and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_sweep_over_choices_that_are_no_names_is_one_line(tmp_path, capsys):
    settings = ["-m", "agent=3,4", f"hydra.sweep.dir={tmp_path}"]
    assert cli.run(["rollout", *settings]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith("basalt rollout: -m agent=3,4") and said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["rollout", "out=3"],
        ["embed", "policy=1e3", "out=x", "data=sample"],
        ["probe", "scope", "checkpoint=x", "out=nan"],
    ],
)
def test_a_path_that_reads_as_a_number_is_one_line(arguments, capsys):
    assert cli.run(arguments) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert "expected a path, got the number" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    [
        "lr=1e-3",
        "epoch=3-step=100",
        "Zoë",
        "run(2)",
        "run#2",
        "my run",
        "run[1]",
        "it's",
        'a"b',
        "a{b}",
    ],
)
def test_a_path_is_read_as_typed(name, tmp_path, capsys):
    folder = tmp_path / name / "bc"
    assert cli.run(["probe", "sites", f"checkpoint={folder}"]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith("basalt probe: checkpoint: expected a checkpoint or a run")
    assert f"got {folder};" in said


@pytest.mark.parametrize(
    ("arguments", "quotes"),
    [
        (["checkpoint=runs/a,b"], "'checkpoint=\"runs/a,b\"' for one value"),
        (["checkpoint=[a]"], "quote it: 'checkpoint=\"...\"'"),
        (["-m", "checkpoint=a=1,b=2"], 'quote each value: \'checkpoint="a=1","b=2"\''),
    ],
)
def test_a_path_that_may_mean_several_things_says_its_quotes(arguments, quotes, capsys):
    assert cli.run(["probe", "sites", *arguments]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith("basalt probe: checkpoint: ") and quotes in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("out", "folders"),
    [
        ("runs/${checkpoint}", ["runs/a", "runs/b"]),
        ("runs/${hydra:job.num}", ["runs/0", "runs/1"]),
        ("x,y", ["x", "y", "x", "y"]),
    ],
)
def test_a_sweep_may_sweep_its_folder(out, folders, tmp_path, monkeypatch):
    from basalt.cli import probe

    given = []
    monkeypatch.setattr(probe, "_run", lambda _, settings: given.append(settings))
    monkeypatch.chdir(tmp_path)
    assert cli.run(["probe", "scope", "-m", "checkpoint=a,b", f"out={out}"]) == 0
    assert [settings.out for settings in given] == folders


@pytest.mark.parametrize("flags", [[], ["-m", "device=cpu,auto"]])
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("sae.widht=3", "sae.widht: unknown setting; did you mean 'sae.width'?"),
        ("sae.width=ten", "sae.width: expected an integer, got 'ten'"),
        (
            "sae.architecture=relux",
            "architecture: unknown architecture 'relux'; did you mean 'relu'?",
        ),
    ],
)
def test_a_wrong_nested_setting_is_one_line(flags, setting, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["probe", "sae", "checkpoint=x", setting, *flags]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith(f"basalt probe: {message}") and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_embedding_may_choose_a_task(capsys):
    assert cli.run(["embed", "policy=x", "out=y", "task=make_waterfall", "--cfg", "job"]) == 0
    assert "name: make_waterfall" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["safety", "run"], ["probe", "sites", "checkpoint=x"]])
def test_a_group_of_other_commands_is_an_unknown_setting(command, capsys):
    assert cli.run([*command, "task=find_cave"]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith(f"basalt {command[0]}: task: unknown setting; available: ")
    assert said.count("\n") == 1


def test_an_unknown_command_is_wrong_usage(capsys):
    assert cli.run(["rolout"]) == cli.USAGE_ERROR
    assert "did you mean 'basalt rollout'" in capsys.readouterr().err


@pytest.fixture
def failing(monkeypatch):
    def install(error):
        def command(argv):
            raise error

        monkeypatch.setitem(cli.COMMANDS, "fail", cli.Command("", "", "x:y", "train"))
        monkeypatch.setattr(cli.Command, "load", lambda self: command)

    return install


def test_a_users_mistake_is_one_line(failing, capsys):
    failing(BasaltError("file a: field b: fix it"))
    assert cli.run(["fail"]) == cli.USER_ERROR
    assert capsys.readouterr().err == "basalt fail: file a: field b: fix it\n"


def test_a_missing_package_names_the_extra(failing, capsys):
    failing(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert cli.run(["fail"]) == cli.USER_ERROR
    assert (
        "missing dependency 'torch'; install it with: pip install 'basalt-benchmark[train]'"
        in capsys.readouterr().err
    )


def test_a_bug_of_ours_keeps_its_traceback(failing):
    failing(ModuleNotFoundError("No module named 'basalt.gone'", name="basalt.gone"))
    with pytest.raises(ModuleNotFoundError):
        cli.run(["fail"])


def test_a_killed_worker_is_one_line(failing, capsys):
    failing(BrokenProcessPool("A process in the process pool was terminated abruptly"))
    assert cli.run(["fail"]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said.startswith("basalt fail: a worker process was killed") and said.count("\n") == 1
    assert "fewer jobs" in said
    failing(RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        cli.run(["fail"])


@pytest.mark.parametrize(
    "arguments",
    [["train", "steps"], ["train", "-m", "steps"], ["rollout", "runs/bc"], ["probe", "sae", "x"]],
)
def test_a_word_that_is_not_a_setting_is_one_line(arguments, capsys):
    assert cli.run(arguments) == cli.USER_ERROR
    assert capsys.readouterr().err == (
        f"basalt {arguments[0]}: {arguments[-1]!r}: expected a setting key=value; --help lists the "
        "settings\n"
    )


@pytest.mark.parametrize("setting", ["world.args={bogus: 1}", "world.args.bogus=1"])
def test_an_unknown_key_in_a_mapping_is_named(setting, capsys):
    assert cli.run(["rollout", setting]) == cli.USER_ERROR
    said = capsys.readouterr().err
    assert said == (
        "basalt rollout: world.args.bogus: world.args has no 'bogus' yet; to add it, write +world.args.bogus=...\n"
    )


def test_values_of_hydras_flags_are_not_settings(capsys):
    assert cli.run(["train", "--cfg", "job", "steps=3"]) == 0
    assert "steps: 3" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["validate"], ["analyse"]])
def test_a_file_instead_of_a_folder_is_one_line(command, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    assert cli.run(["data", *command, str(file)]) == cli.USER_ERROR
    assert capsys.readouterr().err == (
        f"basalt data: {file}: expected a folder of recordings, got a file\n"
    )


def test_interruption_is_quiet(failing, capsys):
    failing(KeyboardInterrupt())
    assert cli.run(["fail"]) == cli.INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_doctor_as_json_names_what_the_world_needs(capsys):
    status = cli.run(["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert {"Luanti engine", "Xvfb", "C compiler", "H.264 encoder", "torch", "disk"} <= set(checks)
    assert status == int(any(check["state"] == "missing" for check in checks.values()))


def test_doctor_says_what_mends_a_lack(monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)
    assert cli.run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "MISSING  Xvfb" in text and "fix: apt-get install -y xvfb" in text


def test_doctor_reports_an_unusable_cache(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BASALT_CACHE", str(tmp_path / "file" / "cache"))
    assert cli.run(["doctor"]) == 1
    assert "set BASALT_CACHE" in capsys.readouterr().out


MINECRAFT_CHECKS = ("built jar", "Java 8", "display", "port")


def minecraft_checks(capsys):
    cli.run(["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    return [checks[f"Minecraft: {name}"] for name in MINECRAFT_CHECKS]


def test_doctor_says_what_minecraft_lacks_and_calls_it_optional(monkeypatch, tmp_path, capsys):
    for name in ("MINERL_HOME", "JAVA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("BASALT_MINERL", "127.0.0.1:1")
    monkeypatch.setattr("shutil.which", lambda *args, **kwargs: None)
    monkeypatch.setattr("basalt.worlds.minerl.process.java_version", lambda java: 17)
    jar, java, display, port = minecraft_checks(capsys)
    assert {check["state"] for check in (jar, java, display, port)} == {"optional"}
    assert "docker build" in jar["fix"] and "openjdk-8" in java["fix"]
    assert "xvfb" in display["fix"] and "docker run" in port["fix"]
    assert "127.0.0.1:1" in port["found"]


def test_doctor_finds_a_minecraft_that_is_there(monkeypatch, tmp_path, capsys):
    from tools.minerl_server import Game, Server

    class NoGame(Game):
        def begin(self, task, seed, size):
            raise AssertionError

        def step(self, action):
            raise AssertionError

        def close(self):
            pass

    (tmp_path / "build" / "libs").mkdir(parents=True)
    for name in ("launchClient.sh", "build/libs/mcprec-6.13.jar"):
        (tmp_path / name).write_text("")
    server = Server(NoGame())
    thread = threading.Thread(target=server.serve)
    thread.start()
    monkeypatch.setenv("MINERL_HOME", str(tmp_path))
    monkeypatch.setenv("BASALT_MINERL", f"127.0.0.1:{server.port}")
    jar, _, _, port = minecraft_checks(capsys)
    server.stop()
    thread.join(10)
    assert (jar["state"], jar["found"]) == ("ok", str(tmp_path))
    assert (port["state"], port["found"]) == ("ok", f"127.0.0.1:{server.port} answers")


BROKEN = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from basalt.cli.main import main
sys.argv = ["basalt", *sys.argv[1:]]
main()
"""


def broken(missing, *arguments):
    """Run a command where packages are missing."""
    code = BROKEN.format(missing=set(missing))
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("missing", ["gymnasium", "omegaconf", "pydantic", "numpy", "typer"])
def test_doctor_works_on_a_broken_installation(missing):
    done = broken([missing], "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert {"Python", "dependencies", "Luanti engine", "disk"} <= set(checks)
    assert "Traceback" not in done.stderr


def test_a_missing_core_package_is_not_blamed_on_an_extra():
    done = broken(["omegaconf"], "train")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert (
        "missing dependency 'omegaconf'; install it with: pip install basalt-benchmark\n"
        in done.stderr
    )


def test_doctor_names_missing_dependencies(monkeypatch, capsys):
    from basalt import machine_checks

    monkeypatch.setattr(
        machine_checks, "requirements", lambda: {"no-such-thing": [], "other": ["train"]}
    )
    assert cli.run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "MISSING  dependencies" in text and "not installed: no-such-thing" in text
    assert "fix: pip install basalt-benchmark" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "index", "--tsk", "find_cave"], "No such option: --tsk"),
        (["data", "validate", ".", "--jobs", "0"], "--jobs"),
        (["leaderboard", "shw"], "No such command 'shw'"),
        (["data", "analyze"], "Did you mean 'analyse'? see basalt"),
        (["references", "--players", "nobody"], "unknown option 'nobody'"),
        (["doctor", "here"], "unexpected extra argument"),
        (["ui", "--port", "x"], "--port"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.run(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == cli.USAGE_ERROR
    assert said.startswith(f"basalt {arguments[0]}: ") and message in said
    assert said.count("\n") == 1 and f"see basalt {arguments[0]} --help" in said


def test_a_file_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    for out in ("taken", "taken/below"):
        arguments = ["sample", "--out", str(tmp_path / out), "--no-plots", "--quiet"]
        assert cli.run(["data", "analyse", *arguments]) == cli.USER_ERROR
        said = capsys.readouterr().err
        assert said.startswith("basalt data: ") and "taken" in said and said.count("\n") == 1


def test_a_terminal_without_the_letters_shows_escapes():
    code = (
        "from basalt.cli import main as cli; cli.run = lambda argv: print('Zoë') or 0; cli.main()"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout) == (0, "Zo\\xeb\n")
