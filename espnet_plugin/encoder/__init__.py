"""Encoders: the multi-head state space model, plain and elastic."""
