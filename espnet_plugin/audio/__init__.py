"""Audio before any model: where it comes from, what is wrong with it, where it can be cut."""
