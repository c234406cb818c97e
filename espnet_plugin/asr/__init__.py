"""What joins encoder, transducer and supernet to ESPnet."""
