import subprocess
import sys

import pytest

from espnet_plugin.errors import UserError
from espnet_plugin.registry import ADDITIONS, add


def test_espnets_own_choices_hold_our_names():
    import espnet2.tasks.abs_task as abs_task
    import espnet2.tasks.asr as asr

    names = {"encoder": "mhssm_supernet", "model": "todm", "decoder": "stateless", "frontend": "kaldi_fbank"}
    for part, name in names.items():
        assert getattr(asr, f"{part}_choices").get_class(name).__module__.startswith("espnet_plugin.")
        assert name in getattr(asr, f"{part}_choices").choices()
    assert abs_task.optim_classes["scaledadam"].__name__ == "ScaledAdam"
    assert abs_task.scheduler_classes["eden"].__name__ == "Eden"
    assert "transducer" in asr.decoder_choices.choices()


@pytest.mark.parametrize(
    "order", ["import espnet_plugin, espnet2.tasks.asr", "import espnet2.tasks.asr, espnet_plugin"]
)
def test_order_of_imports_does_not_matter(order):
    code = f"{order}\nfrom espnet2.tasks.asr import encoder_choices\nassert 'mhssm_supernet' in encoder_choices.classes"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_import_alone_is_light():
    code = "import sys, espnet_plugin\nassert 'torch' not in sys.modules and 'espnet2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_taken_is_refused():
    table = {"todm": int}
    with pytest.raises(UserError, match="'todm' is taken by builtins"):
        add(table, "todm", float)
    assert table == {"todm": int}
    add(table, "todm", int)  # the same class again is no clash


def test_every_name_stands_once():
    names = [(module, table, name) for module, rows in ADDITIONS.items() for table, name, _ in rows]
    assert len(names) == len(set(names))
