"""What the README.md of an exported folder tells to run."""

import ast
import re
import shlex

import pytest

from espnet_plugin.deploy.readme import readme


@pytest.mark.parametrize("streaming", [False, True])
def test_files_of_any_name_are_given_whole(streaming):
    names = {part: f'{part}-my "größte" $size\'s.onnx' for part in ("encoder", "decoder", "joiner")}
    text = readme(names, streaming, False, hotwords=True)
    commands = re.findall(r"^sherpa-onnx.*", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        given = dict(word[2:].split("=", 1) for word in shlex.split(command) if word.startswith("--"))
        assert given | names == given and shlex.split(command)[-1] == "audio.wav"
    tree = ast.parse(re.search(r"<<'EOF'\n(.*)EOF\n", text, re.DOTALL).group(1))
    (call,) = (node for node in ast.walk(tree) if getattr(getattr(node, "func", None), "attr", "") == "from_transducer")
    given = {keyword.arg: keyword.value.value for keyword in call.keywords}
    assert given | names == given
