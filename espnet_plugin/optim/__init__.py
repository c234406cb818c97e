"""ScaledAdam and Eden, the optimizer and schedule of icefall's zipformer; knows nothing of ESPnet."""
