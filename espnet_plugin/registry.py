"""The one place that adds names to ESPnet's own tables.

A name is added when ESPnet builds the table, that is on import of the module that holds it, so that ``import espnet_plugin`` stays light.
"""

from abc import ABCMeta
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

import wrapt

from espnet_plugin.errors import UserError

ASR = "espnet2.tasks.asr"

# module of ESPnet -> (its table, name, our class or function)
ADDITIONS = {
    "espnet2.tasks.abs_task": [
        ("optim_classes", "scaledadam", "espnet_plugin.optim.scaled_adam.ScaledAdam"),
        ("scheduler_classes", "eden", "espnet_plugin.optim.eden.Eden"),
    ],
    ASR: [
        ("frontend_choices", "kaldi_fbank", "espnet_plugin.frontend.kaldi_fbank.KaldiFbank"),
        ("specaug_choices", "device_specaug", "espnet_plugin.asr.training.device_specaug.DeviceSpecAug"),
        ("encoder_choices", "mhssm_supernet", "espnet_plugin.encoder.mhssm.supernet.MHSSMSupernetEncoder"),
        ("encoder_choices", "mhssm", "espnet_plugin.encoder.mhssm.encoder.MHSSMEncoder"),
        ("encoder_choices", "conformer_supernet", "espnet_plugin.encoder.conformer.supernet.ConformerSupernetEncoder"),
        ("encoder_choices", "conformer_sized", "espnet_plugin.encoder.conformer.encoder.SizedConformerEncoder"),
        ("decoder_choices", "stateless", "espnet_plugin.transducer.prediction.StatelessDecoder"),
        ("decoder_choices", "stateless_supernet", "espnet_plugin.transducer.elastic.ElasticStatelessDecoder"),
        ("model_choices", "todm", "espnet_plugin.asr.training.model.TODMModel"),
        ("specaug_choices", "perturbed_specaug", "espnet_plugin.asr.training.specaug.PerturbedSpecAug"),
    ],
    "espnet2.layers.augmentation": [
        ("effects_dict", "noise", "espnet_plugin.frontend.augment.noise"),
        ("effects_dict", "bandwidth", "espnet_plugin.frontend.augment.bandwidth"),
    ],
}


ENTRY_POINTS = "espnet_plugin.encoders"  # group of functions that call `register_encoder`


# What ESPnet asks a class of each table to be; ours know nothing of it, so they are registered there.
BASES = {
    "frontend_choices": "espnet2.asr.frontend.abs_frontend.AbsFrontend",
    "encoder_choices": "espnet2.asr.encoder.abs_encoder.AbsEncoder",
    "decoder_choices": "espnet2.asr.decoder.abs_decoder.AbsDecoder",
}


def add(table, name: str, value: type) -> None:
    """Add a class to a table of ESPnet, as a virtual subclass of what the table asks for: our classes know nothing of ESPnet.

    Args:
        table: dictionary, or ESPnet's ClassChoices.

    Raises:
        UserError: another class has the name already.
    """
    base = getattr(table, "base_type", None)
    if base is not None and not issubclass(value, base):
        base.register(value)
    taken = getattr(table, "classes", table).setdefault(name, value)
    if taken is not value:
        raise UserError(
            f"ESPnet's name '{name}' is taken by {taken.__module__}.{taken.__qualname__}, so espnet_plugin cannot add its own"
        )


def register(module) -> None:
    """Add our classes to the tables of an imported module of ESPnet."""
    for table_name, name, path in ADDITIONS[module.__name__]:
        table = getattr(module, table_name, None)
        if table is None:
            raise UserError(f"{module.__name__} has no {table_name}: espnet_plugin needs ESPnet 202611")
        value = named(path)
        add(table, name, value)
        if table_name == "scheduler_classes":
            # ESPnet's trainer asks each scheduler for its kind; optim/ itself knows nothing of ESPnet.
            import_module("espnet2.schedulers.abs_scheduler").AbsBatchStepScheduler.register(value)


def our_class(table_name: str, name: str | None) -> type | None:
    """The class that has a name in a table of ESPnet's ASR task, None where it is not one of ours; ESPnet's task is not imported."""
    for table, ours, path in ADDITIONS["espnet2.tasks.asr"]:
        if (table, ours) == (table_name, name):
            value, base = named(path), cast(ABCMeta, named(BASES[table]))
            if not issubclass(value, base):
                base.register(value)
            return value
    return None


def named(path: str) -> type:
    module_name, class_name = path.rsplit(".", 1)
    return getattr(import_module(module_name), class_name)


def replace_search(module) -> None:
    """Let ESPnet's Speech2Text search a model of one symbol a frame with our beam search, and any other as ever."""
    choose = import_module("espnet_plugin.asr.inference.speech2text").chooser
    module.BeamSearchTransducer = choose(module.BeamSearchTransducer)


def register_encoder(name: str, elastic_class: Any, plain_class: Any) -> None:
    """Add an encoder of another package: the supernet as ``NAME_supernet``, one size of it as ``NAME``.

    A package calls it when it is imported, or in a function that it names as an entry point of the group ``espnet_plugin.encoders``, which
    is called when ESPnet's tables are made.

    Args:
        name: in configurations.
        elastic_class: an `encoder.interface.ElasticEncoder`, whose ``plain_class`` is the other.
        plain_class: an `encoder.interface.Encoder`.

    Raises:
        UserError: other classes, or a name that is taken.
    """
    contract = import_module("espnet_plugin.encoder.interface")
    if not issubclass(elastic_class, contract.ElasticEncoder) or not issubclass(plain_class, contract.Encoder):
        raise UserError(f"encoder '{name}': its classes must be subclasses of ElasticEncoder and of Encoder")

    def put_in(_) -> None:
        for key, value in ((f"{name}_supernet", elastic_class), (name, plain_class)):
            add(import_module(ASR).encoder_choices, key, value)
            value.name = key

    wrapt.register_post_import_hook(put_in, ASR)


def load_entry_points(_=None) -> None:
    """Let installed packages register their encoders.

    Raises:
        UserError: an entry point cannot be loaded.
    """
    for point in entry_points(group=ENTRY_POINTS):
        try:
            put_in = point.load()
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"entry point '{point.name}' ({point.value}) of {ENTRY_POINTS} cannot be loaded: {error}"
            ) from error
        put_in()


def encoder_names() -> list[str]:
    """Names of the encoders that this package knows how to run, in ESPnet's table."""
    encoder = import_module("espnet_plugin.encoder.interface").Encoder
    classes = import_module(ASR).encoder_choices.classes
    return [name for name, value in classes.items() if issubclass(value, encoder)]


def register_on_import() -> None:
    """Register now where ESPnet is already imported, otherwise when it will be."""
    wrapt.register_post_import_hook(replace_search, "espnet2.bin.asr_inference")
    for module_name in ADDITIONS:
        wrapt.register_post_import_hook(register, module_name)
    wrapt.register_post_import_hook(load_entry_points, ASR)
