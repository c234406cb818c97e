"""The one place that adds names to ESPnet's own tables.

A name is added when ESPnet builds the table, that is on import of the module that holds it, so that ``import espnet_plugin`` stays light.
"""

from importlib import import_module

import wrapt

from espnet_plugin.errors import UserError

# module of ESPnet -> (its table, name, our class)
ADDITIONS = {
    "espnet2.tasks.abs_task": [
        ("optim_classes", "scaledadam", "espnet_plugin.optim.scaled_adam.ScaledAdam"),
        ("scheduler_classes", "eden", "espnet_plugin.optim.eden.Eden"),
    ],
    "espnet2.tasks.asr": [
        ("frontend_choices", "kaldi_fbank", "espnet_plugin.frontend.kaldi_fbank.KaldiFbank"),
        ("encoder_choices", "mhssm_supernet", "espnet_plugin.encoder.mhssm.supernet.MHSSMSupernetEncoder"),
        ("encoder_choices", "mhssm", "espnet_plugin.encoder.mhssm.encoder.MHSSMEncoder"),
        ("encoder_choices", "conformer_supernet", "espnet_plugin.encoder.conformer.supernet.ConformerSupernetEncoder"),
        ("encoder_choices", "conformer_sized", "espnet_plugin.encoder.conformer.encoder.SizedConformerEncoder"),
        ("decoder_choices", "stateless", "espnet_plugin.transducer.prediction.StatelessDecoder"),
        ("decoder_choices", "stateless_supernet", "espnet_plugin.transducer.elastic.ElasticStatelessDecoder"),
        ("model_choices", "todm", "espnet_plugin.asr.training.model.TODMModel"),
    ],
}


def add(table: dict, name: str, value: type) -> None:
    """Add a class under a name.

    Raises:
        UserError: another class has the name already.
    """
    taken = table.setdefault(name, value)
    if taken is not value:
        raise UserError(
            f"ESPnet's name '{name}' is taken by {taken.__module__}.{taken.__qualname__}, so espnet_plugin cannot add its own"
        )


def register(module) -> None:
    """Add our classes to the tables of an imported module of ESPnet."""
    for table_name, name, path in ADDITIONS[module.__name__]:
        module_name, class_name = path.rsplit(".", 1)
        table = getattr(module, table_name, None)
        if table is None:
            raise UserError(f"{module.__name__} has no {table_name}: espnet_plugin needs ESPnet 202611")
        value = getattr(import_module(module_name), class_name)
        base = getattr(table, "base_type", None)
        if base is not None and not issubclass(value, base):
            base.register(value)  # a virtual subclass: our classes know nothing of ESPnet
        add(getattr(table, "classes", table), name, value)
        if table_name == "scheduler_classes":
            # ESPnet's trainer asks each scheduler for its kind; optim/ itself knows nothing of ESPnet.
            import_module("espnet2.schedulers.abs_scheduler").AbsBatchStepScheduler.register(value)


def our_class(table_name: str, name: str | None) -> type | None:
    """The class that has a name in a table of ESPnet's ASR task, None where it is not one of ours; ESPnet's task is not imported."""
    for table, ours, path in ADDITIONS["espnet2.tasks.asr"]:
        if (table, ours) == (table_name, name):
            module_name, class_name = path.rsplit(".", 1)
            return getattr(import_module(module_name), class_name)
    return None


def encoder_names() -> list[str]:
    """Names of the encoders that this package knows how to run, in ESPnet's table."""
    encoder = import_module("espnet_plugin.encoder.interface").Encoder
    classes = import_module("espnet2.tasks.asr").encoder_choices.classes
    return [name for name, value in classes.items() if issubclass(value, encoder)]


def register_on_import() -> None:
    """Register now where ESPnet is already imported, otherwise when it will be."""
    for module_name in ADDITIONS:
        wrapt.register_post_import_hook(register, module_name)
