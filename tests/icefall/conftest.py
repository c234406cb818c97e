import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMES = ("encoder_interface", "model", "decoder", "joiner", "train", "ragged")


@pytest.fixture(scope="session", autouse=True)
def stand_in():
    """The stand-in recipe on the path, as a recipe's folder is; its names, which are common ones, leave again."""
    sys.path[:0] = [str(HERE / "stand_in"), str(HERE)]
    yield
    sys.path.remove(str(HERE / "stand_in"))
    sys.path.remove(str(HERE))
    for name in NAMES:
        sys.modules.pop(name, None)
