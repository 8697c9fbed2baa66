"""The Chit Chat Challenge: 7,168 chats of two people, from the package chitchat-dataset (MIT).

A document's text is its turns, one a line; ``messages`` holds them as turns of a user, who speaks
first, and an assistant. What one speaker says in a row is one message. In 3,150 chats nobody
answered; they hold a user's message alone, and are mostly too short to stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from towpath.data.document import Document, Domain, Message, Role
from towpath.data.sources import Digest, Piece, Source
from towpath.data.sources.packages import packaged_file

_FILE = "dataset.json"


class ChitchatSource(Source):
    """Chats of the package chitchat-dataset."""

    type: Literal["chitchat"] = "chitchat"
    domain: Domain = "chat"
    """Kind of text."""
    licence: str = "MIT"
    """SPDX identifier of the texts' licence."""

    def read(self, piece: Piece) -> Iterator[Document]:
        """Every chat, in the file's order."""
        chats = json.loads(packaged_file("chitchat_dataset", _FILE, self.type).read_bytes())
        for key, chat in chats.items():
            messages = tuple(turns(chat["messages"]))
            text = "\n".join(message.content for message in messages)
            yield self.document(text, path=f"{_FILE}#{key}", date=chat.get("start"), messages=messages)

    def fingerprint(self, sha256: Digest) -> str:
        """Digest of the package's file."""
        return sha256(packaged_file("chitchat_dataset", _FILE, self.type))


def turns(groups: Iterable[Iterable[dict[str, Any]]]) -> Iterator[Message]:
    """The messages of a chat: lines in a row by one sender become one message."""
    said = [(line["sender"], line["text"].strip()) for group in groups for line in group]
    said = [(sender, text) for sender, text in said if text]
    start = 0
    for end in range(1, len(said) + 1):
        if end == len(said) or said[end][0] != said[start][0]:
            role: Role = "user" if said[start][0] == said[0][0] else "assistant"
            yield Message(role, "\n".join(text for _, text in said[start:end]))
            start = end
