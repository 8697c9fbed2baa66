"""Settings of the server, and the API key, which is a secret and so never a setting."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from pydantic import Field

from towpath.core.config import Section
from towpath.core.errors import ServeError

API_KEY_VARIABLE = "TOWPATH_API_KEY"
MIN_API_KEY_CHARS = 16


class ServeConfig(Section):
    """Where the server listens, and how much one request may ask of it."""

    host: str = "127.0.0.1"
    """Address to listen on. One that other machines can reach needs an API key."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    allowed_hosts: tuple[str, ...] = ()
    """Names, without port, that a request's Host header may carry, as a proxy in front sends it. On
    this machine's own address its own names are always taken; elsewhere any name, when none is given."""
    api_key_file: Path | None = None
    """File that holds the API key. The environment variable TOWPATH_API_KEY comes before it."""
    model_name: str | None = None
    """What clients call the model, besides its id; the checkpoint's folder name when absent."""
    records_folder: Path | None = None
    """Folder for requests.jsonl: what was answered when, by which model; never the text itself."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of the model. More than one pays for large models on an idle machine only."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Longest prompt in tokens; the model's context is the limit when absent."""
    max_new_tokens: int = Field(default=2048, ge=1)
    """Most tokens that one answer may have; the model's context limits it further."""
    max_body_bytes: int = Field(default=1 << 20, ge=1024)
    """Largest request body."""
    queue_size: int = Field(default=16, ge=0)
    """Requests that may wait while one is answered; the next is told to come back (429)."""
    queue_seconds: float = Field(default=60.0, gt=0)
    """Longest wait for the model; after it the request is given up (503)."""
    generation_seconds: float = Field(default=300.0, gt=0)
    """Longest time spent on one answer; after it the answer ends as if it had reached its length."""
    client_seconds: float = Field(default=30.0, gt=0)
    """Longest wait for a client to send its body or to take what was streamed to it."""
    drain_seconds: float = Field(default=10.0, ge=0)
    """Time that answers in progress get to end after SIGTERM or Ctrl+C."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_api_key(config: ServeConfig) -> str | None:
    """The API key of the environment or of ``config.api_key_file``; None when there is neither.

    Raises:
        ServeError: the file cannot be read, the key is too weak, or the address needs one.
    """
    key = os.environ.get(API_KEY_VARIABLE, "").strip() or _key_in_file(config.api_key_file)
    if key is None:
        if not is_loopback(config.host):
            raise ServeError(
                f"serve.host = {config.host!r} lets other machines in, so it needs an API key. "
                f"{_HOW_TO_SET_A_KEY}, or keep serve.host = '127.0.0.1'."
            )
        return None
    if len(key) < MIN_API_KEY_CHARS or not key.isascii() or not key.isprintable() or " " in key:
        raise ServeError(
            f"The API key has {len(key)} characters; it takes {MIN_API_KEY_CHARS} or more, "
            f"all of them visible ASCII. {_HOW_TO_SET_A_KEY}."
        )
    return key


_HOW_TO_SET_A_KEY = (
    f"Set one: export {API_KEY_VARIABLE}=$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"
)


def _key_in_file(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ServeError(f"serve.api_key_file = {str(path)!r} cannot be read: {error}.") from error
    if not key:
        raise ServeError(f"serve.api_key_file = {str(path)!r} is empty. {_HOW_TO_SET_A_KEY}.")
    return key
