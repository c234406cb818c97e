"""Encoders: the multi-head state space model and ESPnet's Conformer, of one size and elastic."""
