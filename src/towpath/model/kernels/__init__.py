"""Kernels of the model room, in C++17; as in ``towpath.data.kernels``, each ``.cpp`` has a ``.py`` beside it
with the public function and the torch that stands in where nothing is compiled.
"""
