"""towpath: from raw text to a served language model, every stage in one package.

The rooms, in the order in which data flows and in which imports may point:
core, data, tokenizer, model, train, evaluate, tune, compress, serve, monitor, recipes, cli.
"""

__version__ = "0.1.0"
