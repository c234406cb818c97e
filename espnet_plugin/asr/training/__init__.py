"""The model, its training step and ESPnet's task."""
