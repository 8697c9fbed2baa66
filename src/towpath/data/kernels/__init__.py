"""Kernels of the data room: hot loops over the bytes of a column of texts, in C++17.

Each is a pair of a ``.cpp`` file and a ``.py`` file of the same name: the Python module has the public
function, its types, and the short Python that is its oracle in tests and its stand-in where
nothing is compiled. Texts come as Arrow large strings; ``Texts`` gives a kernel their buffers.
To add one: both files here; ``python setup.py build_ext --inplace`` compiles what is new.
"""
