"""The recipe: corpora, stages, results and tables."""
