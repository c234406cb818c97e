"""From a dictionary of a YAML file to a frozen dataclass."""

import dataclasses

from espnet_plugin.errors import UserError


def build_conf(key: str, cls, values: dict):
    """Build a configuration value.

    Args:
        key: name of the dictionary in the YAML file, for the message.
        cls: a dataclass.
        values: its fields.

    Raises:
        UserError: a field that the dataclass lacks.
    """
    allowed = [field.name for field in dataclasses.fields(cls)]
    for name in values:
        if name not in allowed:
            raise UserError(f"{key}.{name}: unknown key, allowed are {', '.join(allowed)}")
    return cls(**values)
