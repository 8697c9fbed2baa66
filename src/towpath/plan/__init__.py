"""A plan of a run before anything is spent, and the figures to hold it against afterwards.

Comes in: a run file and the machine at hand. Goes out: a ``Plan``: parameters, operations, tokens,
disk, peak memory and what it is for, time, energy, cost by price list, expected loss, and what to
change where it does not fit. Nothing is trained and no weight is made: ``trace`` runs the training
code on tensors without numbers, ``memory`` and ``timing`` read what it did, and ``machine`` measures
this machine once. To add a device to the price list: an entry in ``prices.toml``. To plan a new
kind of model nothing is added; a model that can't be planned is refused by name.
"""

from __future__ import annotations
