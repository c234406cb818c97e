"""Package metadata. Exact versions of a known-good environment are in constraints.txt."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="espnet-todm",
    version="0.2.0.dev0",
    description="TODM for ESPnet and icefall: train one transducer, deploy many sizes of it",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.12,<3.14",
    packages=find_packages(include=["espnet_plugin", "espnet_plugin.*"]),
    package_data={"espnet_plugin.search": ["page.html"]},
    install_requires=[
        "torch",
        "torchaudio",  # full transducer loss
        "lhotse",  # Kaldi features in batches, LibriSpeech's layout, icefall's manifests
        "urllib3",  # lhotse imports it and does not ask for it
        "numpy",
        "scipy",  # fast lengths of Fourier transforms
        "PyYAML",
        "sentencepiece",
        "kaldialign",  # edit distances
        "av",  # formats that libsndfile does not read, as m4a
        "soundfile",
        "soxr",  # one resampler for training and for use
        "tqdm",
        "wrapt",  # registration when ESPnet is imported, not before
    ],
    extras_require={
        # Training and use in ESPnet; for icefall's recipes the rest is enough.
        "espnet": [
            "espnet==202611",
            "humanfriendly",
            "tensorboard",
        ],  # ESPnet's trainer writes to tensorboard by default
        "recipe": ["espeakng-loader", "matplotlib"],
        "lm": ["ufal.kenlm"],  # KenLM as wheels: n-grams in beam search
        "export": ["onnx", "onnxruntime", "sherpa-onnx"],
        "docs": ["mkdocs-material", "mkdocstrings[python]"],
        "tests": [
            "hypothesis",
            "kaldi-native-fbank",
            "mypy",
            "opt-einsum",
            "pytest",
            "pytest-xdist",
            "ruff",
            "types-PyYAML",
            "types-tqdm",
            "warprnnt-numba",
        ],
    },
    entry_points={"console_scripts": ["espnet-todm = espnet_plugin.bin.main:main"]},
)
