"""Keys of a YAML file: what a class takes, and from a dictionary to a frozen dataclass."""

import dataclasses
import inspect

from espnet_plugin.errors import UserError

PARTS = ("frontend", "specaug", "normalize", "preencoder", "encoder", "decoder", "model")
# What ESPnet itself passes, so what a configuration file cannot.
PASSED = {"self", "input_size", "vocab_size", "token_list", "joint_network", "ctc", "encoder_output_size", *PARTS}


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


def check_keys(part: str, cls: type, conf: dict | None) -> None:
    """Refuse a key of ``<part>_conf`` that the chosen class does not take.

    Raises:
        UserError: naming the key and what is allowed.
    """
    parameters = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    allowed = [name for name in parameters if name not in PASSED and name != "params" and name != "optimizer"]
    for key in conf or {}:
        if key not in allowed:
            raise UserError(f"{part}_conf.{key}: unknown key of {cls.__name__}, allowed are {', '.join(allowed)}")
