"""A chat model behind an OpenAI-compatible address: vLLM, llama.cpp, Ollama or a hosted one.

The wire is one POST, so it needs no client library, and says nothing about this machine beyond the request.
"""

import http.client
import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from basalt.core.records import first_fault
from basalt.io.console import note
from basalt.io.errors import BasaltError, ConfigError
from basalt.io.untrusted import parse_json

MAX_REPLY_BYTES = 2**20
"""Longest reply that is read."""

MOST_TOKENS = 10**9
"""Largest number of tokens that is believed."""

RETRIED = (408, 409, 429)
"""Statuses below 500 that are asked again; other 4xx are mistakes of the settings."""

LONGEST_WAIT = 60.0
"""Longest pause before another attempt in seconds, whatever the server asks for."""

Sleep = Callable[[float], None]


class EndpointError(BasaltError):
    """A model's address that does not answer, or refuses what it is asked."""


class _RefusedError(Exception):
    """The server refused the request as it is (400)."""


class _TransientError(Exception):
    """Worth another attempt, after a pause in seconds that the server asked for (None: it did not)."""

    def __init__(self, why: str, pause: float | None = None) -> None:
        super().__init__(why)
        self.pause = pause


class _Reply(BaseModel):
    """What is read of a reply; other fields are ignored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    class Choice(BaseModel):
        """One of the answers."""

        class Message(BaseModel):
            """Its text."""

            content: str | None = None

        message: Message
        finish_reason: str | None = None

    class Usage(BaseModel):
        """Numbers of tokens."""

        prompt_tokens: int = Field(ge=0, le=MOST_TOKENS)
        completion_tokens: int = Field(ge=0, le=MOST_TOKENS)

    model: str | None = None
    choices: list[Choice]
    usage: Usage | None = None


@dataclass(frozen=True)
class Completion:
    """An answer.

    Attributes:
        text: Its text; None if it is empty, cut short or filtered.
        why: Why there is no text.
        tokens_in: Tokens of the request; None if unknown.
        tokens_out: Tokens of the answer; None if unknown.
    """

    text: str | None
    why: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None


@dataclass
class Endpoint:
    """A model at an address.

    Attributes:
        url: Address up to and including the version, e.g. http://localhost:8000/v1.
        model: Name of the model.
        key_variable: Environment variable with the key; it is read for each request and kept nowhere.
        timeout: Seconds that an attempt may take as a whole.
        attempts: Number of attempts.
        max_tokens: Longest answer in tokens.
        sleep: Pauses between attempts.

    Raises:
        ConfigError: The address is not valid.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    attempts: int = 5
    max_tokens: int = 400
    sleep: Sleep = field(default=time.sleep, repr=False)
    _served: str | None = field(default=None, init=False, repr=False)
    _takes_schema: bool = field(default=True, init=False, repr=False)
    _is_announced: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if not _is_address(self.url):
            raise ConfigError(
                "endpoint: expected an address such as http://localhost:8000/v1, without a user or key in it"
            )

    def complete(
        self, messages: Sequence[Mapping[str, Any]], schema: Mapping[str, Any], seed: int
    ) -> Completion:
        """Ask for an answer in a JSON schema.

        A server that refuses schemas is asked for plain JSON from then on. The same seed and temperature 0 are sent, but
        promise nothing: only recorded answers are reproducible.

        Args:
            messages: Messages in OpenAI's form.
            schema: JSON schema of the answer.
            seed: Seed that is sent.

        Raises:
            EndpointError: The server does not answer in time after all attempts, or refuses the request.
            ConfigError: Another model answers than before.
        """
        if not self._is_announced:
            self._is_announced = True
            note(
                f"asking {self.model} at {urlsplit(self.url).netloc}; texts and frames are sent there"
            )
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "temperature": 0,
            "seed": seed,
            "max_tokens": self.max_tokens,
        }
        try:
            reply = self._attempts({**body, "response_format": self._format(schema)})
        except _RefusedError as err:
            if not self._takes_schema:
                raise EndpointError(str(err)) from err
            self._takes_schema = False
            note(f"{self.model}: refuses a JSON schema; asking for plain JSON")
            try:
                reply = self._attempts({**body, "response_format": self._format(schema)})
            except _RefusedError as again:
                raise EndpointError(str(again)) from again
        return self._read(reply)

    def _format(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        if not self._takes_schema:
            return {"type": "json_object"}
        return {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": dict(schema)},
        }

    def _attempts(self, body: Mapping[str, Any]) -> _Reply:
        content = json.dumps(body).encode()
        for number in range(1, self.attempts + 1):
            try:
                return self._post(content)
            except _TransientError as err:
                if number == self.attempts:
                    raise EndpointError(
                        f"{self._place}: expected an answer, got {err} in {number} attempts; run the same command to resume"
                    ) from None
                pause = 2.0 ** (number - 1) * (0.5 + random.random() / 2)
                self.sleep(min(LONGEST_WAIT, pause if err.pause is None else err.pause))
        raise AssertionError("attempts is at least 1")

    @property
    def _place(self) -> str:
        return f"{self.model} at {urlsplit(self.url).netloc}"

    def _post(self, content: bytes) -> _Reply:
        """One attempt."""
        parts = urlsplit(self.url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        assert parts.hostname is not None
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_variable):
            if not (key.isascii() and key.isprintable()):  # an error further down would show it
                raise ConfigError(f"{self.key_variable}: expected a key of printable ASCII letters")
            headers["Authorization"] = f"Bearer {key}"
        deadline = time.monotonic() + self.timeout
        connection = kind(parts.hostname, parts.port, timeout=self.timeout)
        try:
            connection.request(
                "POST", f"{parts.path.rstrip('/')}/chat/completions", content, headers
            )
            response = connection.getresponse()
            text = self._bounded(connection, response, deadline)
        except (OSError, http.client.HTTPException) as err:
            # The message of some errors has the whole request's header in it.
            raise _TransientError(f"no whole answer ({type(err).__name__})") from None
        finally:
            connection.close()
        status = response.status
        if status in RETRIED or status >= 500:
            raise _TransientError(f"status {status}", _seconds(response.getheader("Retry-After")))
        if status == 400:
            raise _RefusedError(
                f"{self._place}: refuses the request (400); check model and endpoint"
            )
        if status != 200:  # redirections are not followed: they could carry the key elsewhere
            raise EndpointError(
                f"{self._place}: expected status 200, got {status}; check endpoint, model and the key in "
                f"{self.key_variable}"
            )
        try:
            return _Reply.model_validate(parse_json(text))
        except ValidationError as err:
            raise EndpointError(
                f"{self._place}: expected a chat completion, got another reply ({first_fault(err, 'the whole')}); check "
                "endpoint"
            ) from err
        except ValueError:
            raise _TransientError("a reply that is cut short") from None

    def _bounded(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        deadline: float,
    ) -> bytes:
        found = b""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if connection.sock is not None:
                connection.sock.settimeout(left)
            part = response.read1(2**16)
            if not part:
                if response.length:
                    raise http.client.IncompleteRead(found)
                return found
            found += part
            if len(found) > MAX_REPLY_BYTES:
                raise EndpointError(
                    f"{self._place}: expected a reply of at most {MAX_REPLY_BYTES:,} bytes, got more; check endpoint"
                )

    def _read(self, reply: _Reply) -> Completion:
        if self._served is not None and reply.model != self._served:
            raise ConfigError(
                f"{self._place}: expected answers of {self._served!r} as before, got one of {reply.model!r}; name one model"
            )
        self._served = reply.model
        used = reply.usage
        tokens = (None, None) if used is None else (used.prompt_tokens, used.completion_tokens)
        if not reply.choices:
            return Completion(None, "no choices", *tokens)
        one = reply.choices[0]
        if one.finish_reason in ("length", "content_filter"):
            return Completion(None, one.finish_reason, *tokens)
        if one.message.content is None:
            return Completion(None, "no content", *tokens)
        # Half of a surrogate pair cannot be stored.
        text = one.message.content.encode("utf-8", "replace").decode()
        return Completion(text, "", *tokens)


def _is_address(url: str) -> bool:
    """Whether a text is an address without a user in it, and can be sent as it is."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # not a port, or half of a pair of brackets
        return False
    is_plain = url.isascii() and url.isprintable() and " " not in url
    return (
        is_whole and is_plain and parts.username is None and not parts.query and not parts.fragment
    )


def _seconds(header: str | None) -> float | None:
    """Seconds in a Retry-After; None if it has none (a date is not waited for)."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
