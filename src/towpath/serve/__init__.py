"""serve: a checkpoint in, answers out, over HTTP.

``serve(checkpoint, config)`` loads a checkpoint and serves OpenAI's API, the specification's
``/generate``, a chat page, health and figures until it is stopped. Each answered request leaves a
``RequestRecord``. Importing this room loads neither FastAPI nor torch.

To serve something else than a checkpoint, meet ``text_model.TextModel`` and hand it to
``app.build_app``.
"""

from __future__ import annotations

from pathlib import Path

from towpath.serve.config import ServeConfig

__all__ = ["ServeConfig", "serve"]


def serve(checkpoint: str | Path, config: ServeConfig | None = None) -> None:
    """Serve ``checkpoint`` until SIGTERM or Ctrl+C; see ``towpath.serve.server.serve``."""
    from towpath.serve.server import serve as run

    run(checkpoint, config)
