"""How far a training is: what the trainer tells, and what is shown of it."""

import math

from espnet_plugin.asr.training.progress import NAME, tell
from espnet_plugin.recipe import progress


def test_epochs_and_figures_are_shown_as_they_come(tmp_path, capsys, monkeypatch):
    clock = iter([0.0, 90.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    tell(tmp_path, begun=1, of=9, batches=7)  # of a run before: not shown again
    watch = progress.Watch(tmp_path / NAME)
    watch()
    assert capsys.readouterr().out == ""
    tell(tmp_path, begun=2, of=9, batches=7)
    tell(tmp_path, epoch=2, valid={"loss_max": 1.5, "loss_min": 2.0, "wer_max": 0.1364, "distill_max": math.nan})
    watch()
    assert capsys.readouterr().out == "  epoch 2/9\n    valid: loss max 1.500 min 2.000, WER max 0.136\n"
    tell(tmp_path, begun=3, of=9, batches=7)
    watch()
    assert capsys.readouterr().out == "  epoch 3/9, about 10 min left\n"
    assert "distill" not in (tmp_path / NAME).read_text()  # what does not apply is left out


def test_half_a_line_waits_for_its_end(tmp_path, capsys):
    watch = progress.Watch(tmp_path / NAME)
    watch()  # no file yet
    (tmp_path / NAME).write_text('{"epoch": 1, "valid": {"lo')
    watch()
    assert capsys.readouterr().out == ""
    with (tmp_path / NAME).open("a") as file:
        file.write('ss_max": 0.5, "wer_max": 0.25}}\n')
    watch()
    assert capsys.readouterr().out == "    valid: loss 0.500, WER 0.250\n"


def test_workers_without_a_record_tell_nothing():
    tell(None, begun=1, of=2)


def test_durations_are_said_as_people_do():
    assert [progress.remaining(s) for s in (12.4, 60, 3600, 7260, 86400)] == [
        "12 s",
        "1 min",
        "60 min",
        "2 h 01 min",
        "24 h 00 min",
    ]
