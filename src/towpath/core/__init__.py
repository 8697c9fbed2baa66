"""What every room stands on: sections, run files, artifacts, runs, metrics, errors.

Comes in: a TOML run file. Goes out: validated sections, and folders that survive a kill at any
instant. Knows nothing of text, tokens or models. To add a setting, declare a field in the section
of the room that uses it; to add a choice, add a line to the room's ``Catalogue``.
"""
