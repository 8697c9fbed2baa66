"""``towpath serve CHECKPOINT``: an HTTP server with a chat page."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint and settings of the table [serve]."""
    from towpath.cli.inputs import add_checkpoint

    add_checkpoint(parser)
    parser.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", help="change a setting, for example serve.port=8080"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until stopped."""
    from towpath.cli.inputs import find_checkpoint
    from towpath.core import runfile
    from towpath.core.config import Section
    from towpath.serve import serve
    from towpath.serve.config import ServeConfig

    class ServeFile(Section):
        serve: ServeConfig = ServeConfig()

    config = runfile.parse(ServeFile, "", "command line", options.overrides).config.serve
    serve(find_checkpoint(options.checkpoint).path, config)
    return 0
