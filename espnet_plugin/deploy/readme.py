"""README.md of an exported folder."""

import json
import shlex
from collections.abc import Sequence

TEXT = """\
# A speech recogniser for sherpa-onnx

{kind}, {number} weights. Sums: `sha256sum -c SHA256SUMS`.
{sizes}
With sherpa-onnx's program, in this folder:

```sh
{command}
```

With its Python package (`pip install sherpa-onnx soundfile`), in this folder:

```sh
python - audio.wav <<'EOF'
{script}EOF
```

{hotwords}Audio: 16 kHz, one channel. The model type must be given: the client ends without a message where it is missing.
"""

OFFLINE = """\
import sys

import sherpa_onnx
import soundfile

recognizer = sherpa_onnx.OfflineRecognizer.from_transducer(
    encoder={encoder}, decoder={decoder}, joiner={joiner}, tokens="tokens.txt", model_type="transducer"
)
audio, rate = soundfile.read(sys.argv[1], dtype="float32")
stream = recognizer.create_stream()
stream.accept_waveform(rate, audio)
recognizer.decode_stream(stream)
print(stream.result.text)
"""

STREAMING = """\
import sys

import sherpa_onnx
import soundfile

recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(
    encoder={encoder}, decoder={decoder}, joiner={joiner}, tokens="tokens.txt", model_type="lstm"
)
audio, rate = soundfile.read(sys.argv[1], dtype="float32")
stream = recognizer.create_stream()
for start in range(0, len(audio), rate // 10):
    stream.accept_waveform(rate, audio[start : start + rate // 10])
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
stream.accept_waveform(rate, [0.0] * int(0.4 * rate))  # a last chunk that is not full would be dropped
stream.input_finished()
while recognizer.is_ready(stream):
    recognizer.decode_stream(stream)
print(recognizer.get_result(stream))
"""


SIZES = """
One model in several sizes, largest first: {sizes}. They share `weights.bin`; a device chooses by the files' names.
"""


HOTWORDS = """\
**Hotwords**, names and terms that the model should prefer: one phrase a line, in the letters of the training transcripts, with a bonus of
its own behind it if wanted. They need the client's beam search.

```sh
printf 'MY PHRASE\\nANOTHER ONE :2.5\\n' > hotwords.txt
{command}
```

The bonus is added for each symbol of a phrase and taken back where the phrase is not finished. Begin with 1.5; with much more, phrases come
up where nobody said them. In Python the same names are arguments of `from_transducer`: `decoding_method`, `hotwords_file`,
`hotwords_score`, `modeling_unit`, `bpe_vocab`. A word with letters that `tokens.txt` lacks is passed over by the client.

"""


def readme(
    names: dict[str, str], streaming: bool, int8: bool, sizes: Sequence[str] = (), hotwords: bool = False
) -> str:
    """Text of README.md.

    Args:
        names: encoder, decoder, joiner -> file name.
        sizes: of a family, largest first.
        hotwords: whether bpe.vocab lies beside.
    """
    program, kind = ("sherpa-onnx", "lstm") if streaming else ("sherpa-onnx-offline", "transducer")
    options = [f"--{part}={name}" for part, name in names.items()]
    command = [program, f"--model-type={kind}", *options, "--tokens=tokens.txt"]
    literals = {part: json.dumps(name, ensure_ascii=False) for part, name in names.items()}
    biased = ["--decoding-method=modified_beam_search", "--hotwords-file=hotwords.txt", "--hotwords-score=1.5"]
    biased += ["--modeling-unit=bpe", "--bpe-vocab=bpe.vocab"]
    return TEXT.format(
        kind="Streaming, chunks of 0.32 s" if streaming else "Whole utterances",
        sizes=SIZES.format(sizes=", ".join(f"`{name}`" for name in sizes)) if sizes else "",
        number="int8" if int8 else "float",
        command=shlex.join([*command, "audio.wav"]),
        hotwords=HOTWORDS.format(command=shlex.join([*command, *biased, "audio.wav"])) if hotwords else "",
        script=(STREAMING if streaming else OFFLINE).format(**literals),
    )
