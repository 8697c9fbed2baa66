"""Tokens and a model in, checkpoints out.

``training_loop`` is the specification's loop; ``run_stage`` starts it or goes on with it;
``make_checkpoint`` makes the artifact. To add an optimizer or a schedule: a section in
``config.py``, a line in its catalogue, and its class beside ``muon.py`` or a method ``factor``.
"""
