"""The synthetic corpus of the demonstration."""
