"""From a trained supernet to the right subnet: search, cost on a device, choice, picture."""
