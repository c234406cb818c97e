"""Trained models in use: loading, cutting out, decoding."""
