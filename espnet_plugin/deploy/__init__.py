"""A trained size on the device: export, a client that decodes with it, packs."""
