"""ESPnet's Conformer as a supernet."""
