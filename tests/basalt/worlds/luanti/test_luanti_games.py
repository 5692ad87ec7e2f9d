"""Which games an environment keeps, starts and ends; the games themselves are stand-ins."""

import threading

import pytest

from basalt.core.tasks import get_task
from basalt.worlds.luanti import games
from basalt.worlds.luanti.games import Games, Start

A, B, C = (Start(seed, None) for seed in (1, 2, 3))


class StandInGame:
    """Counts what is done with it; `interrupted` makes its soft reset fail as Ctrl-C does."""

    made: list["StandInGame"]
    gate: threading.Event

    def __init__(self, task, start, size, display, *, snapshot):
        self.gate.wait(60)
        self.start, self.display, self.snapshot = start, display or object(), snapshot
        self.running, self.restored, self.interrupted = True, 0, False
        self.made.append(self)

    def restore(self):
        if self.interrupted:
            raise KeyboardInterrupt
        self.restored += 1
        return self.snapshot and self.running

    def release_display(self):
        self.running = False
        display, self.display = self.display, None
        return display

    def close(self):
        self.running = False


@pytest.fixture
def made(monkeypatch):
    StandInGame.made, StandInGame.gate = [], threading.Event()
    StandInGame.gate.set()
    monkeypatch.setattr(games, "Game", StandInGame)
    return StandInGame.made


def games_of(kept):
    return Games(get_task("find_cave"), (160, 90), kept)


def test_without_kept_games_each_reset_starts_one_on_the_same_x_server(made):
    games = games_of(0)
    display = games.begin(A).display
    assert games.begin(A).display is display and games.begin(B).display is display
    assert [game.running for game in made] == [False, False, True]


def test_the_games_played_last_are_kept(made):
    games = games_of(2)
    for start in (A, B, A, C):
        assert games.begin(start).start == start
    assert [(game.start, game.restored, game.running) for game in made] == [
        (A, 1, True), (B, 0, False), (C, 0, True),
    ]  # fmt: skip


def test_a_game_that_ended_while_it_was_kept_or_waited_is_started_again(made):
    games = games_of(1)
    games.begin(A).running = False
    assert games.begin(A) is made[1]
    games.prepare(B)
    games._background.wait().running = False
    assert games.begin(B) is made[3] and made[3].running


def test_close_ends_all_also_after_an_interrupted_soft_reset_and_those_that_still_start(made):
    games = games_of(2)
    games.begin(A)
    games.begin(B).interrupted = True
    with pytest.raises(KeyboardInterrupt):
        games.begin(B)
    StandInGame.gate.clear()
    games.prepare(C)
    opener = threading.Timer(0.1, StandInGame.gate.set)
    opener.start()
    games.close()
    opener.join()
    assert len(made) == 3 and not any(game.running for game in made)
