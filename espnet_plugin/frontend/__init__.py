"""Features that match the device."""
