"""The Multi-Head State Space encoder."""
