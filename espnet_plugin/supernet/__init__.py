"""What makes a network elastic; knows nothing of speech and nothing of ESPnet."""
