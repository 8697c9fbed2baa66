"""Duplicates: rows of hashes and signatures in, the row that each row repeats out.

Rows stand in order of preference, the first of a group is the one that stays. Knows nothing of
documents or text. Each kind of duplicate is one file with one function.
"""
