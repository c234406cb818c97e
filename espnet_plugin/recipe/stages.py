"""The stages of the recipe: each is a method that yields its pieces of work, in the order in which they are done.

As in ESPnet's egs3 systems a stage is a method, named in the tuple ``stages``.
"""

import shlex
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from espnet_plugin.common.compose import compose
from espnet_plugin.common.files import remove
from espnet_plugin.recipe import cuts, legacy, tokens, training
from espnet_plugin.recipe.configured import FILE_KEYS, Configuration
from espnet_plugin.recipe.corpus import Corpus, Preparation
from espnet_plugin.recipe.engine import Spec, Work
from espnet_plugin.recipe.launch import Machines, own_program, show_lines, verb
from espnet_plugin.recipe.layout import Dump, Experiment
from espnet_plugin.recipe.options import Options
from espnet_plugin.recipe.record import cksum, marker_of, read_record, sum_of
from espnet_plugin.recipe.size_names import size_names
from espnet_plugin.recipe.transcripts import text_words

TOOL = "espnet-todm"
# s; held-out losses of more would take gigabytes. LibriSpeech's dev-other has an utterance of 35.2 s.
LONGEST_TEST = 60.0


class Recipe:
    """From a corpus to a table of model sizes with their word error rates.

    Args:
        options: of the command line.
        corpus: that they name.
        conf: training configuration.
        machines: where commands run.
        command: that the user typed, for the record.
        given: training configuration that was named together with --init_from: of how to train, not of what.
    """

    stages: ClassVar[tuple[Spec, ...]] = (
        Spec(1, "data", "the corpus: made, downloaded, read or checked"),
        Spec(
            2,
            "formatting",
            "mono audio at the configured rate, unusable utterances left out and listed; features, if dumped; lhotse's cuts",
        ),
        Spec(3, "bpe", "sentencepiece model and token list; with --init_from those of the model, and its weights"),
        Spec(4, "statistics", "lengths and global mean and variance of the features"),
        Spec(5, "training", "the supernet"),
        Spec(6, "averaging", "mean of the last checkpoints"),
        Spec(7, "sizes", "subnets between min and max, searched for on the development set; front.html shows them"),
        Spec(8, "extraction", "each size as a stand-alone ESPnet model directory"),
        Spec(9, "decoding", "each size on each test set"),
        Spec(10, "scoring", "word and character error rates"),
        Spec(11, "results", "RESULTS.md, results.json, pareto.png"),
        Spec(12, "export", "each size for sherpa-onnx, float and int8; bytes, speed and memory join the results"),
    )

    def __init__(
        self,
        options: Options,
        corpus: Corpus,
        conf: Configuration,
        machines: Machines,
        command: str,
        given: Path | None = None,
    ):
        self.options, self.corpus, self.conf, self.machines, self.command = options, corpus, conf, machines, command
        self.dump, self.exp = Dump(Path(options.dumpdir)), Experiment(Path(options.expdir))
        self.source = corpus.source(self.dump.data)
        self.tokens = tokens.source(options, self.dump, given)

    # What stages depend on.

    @property
    def data_inputs(self) -> dict:
        return {"corpus": self.options.corpus, **self.corpus.inputs(), **self.corpus.sounds()}

    def formatted(self, *names: str) -> dict:
        """What formatted sets hold. Not wav.scp: its paths change when a folder is moved."""
        found = {}
        for name in names:
            folder = self.dump.raw(name)
            found[f"text and lengths of {name}"] = sum_of(folder / "text", folder / "utt2num_samples")
            if (folder / "utt2crc").is_file():  # an earlier version did not write it
                found[f"audio of {name}"] = sum_of(folder / "utt2crc")
        return found

    @property
    def prepared_sets(self) -> tuple[str, ...]:
        """Sets of stage 1: those that are there, where they hold all that are asked for. Fewer test sets prepare nothing again."""
        asked = self.options.kaldi_sets
        record = read_record(marker_of(self.dump.data, "data"))
        there = tuple(str(record.get("sets", "")).split()) if isinstance(record, dict) else ()
        return asked if self.options.redo or not set(asked) <= set(there) else there

    @property
    def read_in_training(self) -> dict:
        """The supernet depends on no test set: another one must not train it again."""
        sets = self.formatted(self.options.train_set, self.options.valid_set)
        backend = {"data_backend": self.options.data_backend}
        return {"fs": self.conf.fs, **self.tokens.asked, **sets, **self.tokens.facts, **backend}

    @property
    def model_inputs(self) -> dict:
        options = self.options
        if options.sizes:
            asked: dict = {"sizes": list(options.sizes)}
        else:
            asked = {"num_sizes": options.num_sizes, "num_candidates": options.num_candidates}
        asked |= {"streaming": options.streaming, "metric": options.metric}
        return {"averaged model": sum_of(self.exp.averaged), **asked}

    @property
    def size_inputs(self) -> dict:
        sets = self.formatted(self.options.valid_set)
        return self.model_inputs | sets | {"sizes.json": sum_of(self.exp.sizes_json)}

    def made(self, pattern: str) -> str:
        """Sum of files of all sizes."""
        return sum_of(*sorted(self.exp.sizes.glob(pattern)))

    # Stages.

    def data(self) -> Iterator[Work]:
        sets = self.prepared_sets

        def run() -> None:
            self.dump.data.mkdir(parents=True, exist_ok=True)
            options = self.options

            def logged(name: str, command: list[str]) -> Path:
                log = self.exp.log / f"{name}.log"
                self.machines.train(log, command)
                return log

            job = Preparation(sets, self.dump.data, options.nj, options.redo, logged)
            self.corpus.prepare(job)

        yield Work(self.dump.data, self.data_inputs | self.corpus.checks() | {"sets": " ".join(sets)}, run)

    def formatting(self) -> Iterator[Work]:
        options = self.options
        for name in options.kaldi_sets:
            speeds = (
                options.speed_perturb_factors if name == options.train_set else ("1.0",)
            )  # only training is perturbed
            source = self.source / name
            files = sum_of(*(source / file for file in ("wav.scp", "segments", "text", "utt2spk")))
            inputs = self.data_inputs | {"fs": self.conf.fs, "speeds": " ".join(speeds), f"files of {name}": files}
            inputs["transcripts"] = self.tokens.text.as_dict()
            words = ["--data", str(source), "--out", str(self.dump.raw(name)), "--fs", str(self.conf.fs)]
            words += ["--nj", str(options.nj), "--speeds", *speeds, *text_words(self.tokens.text)]
            if name not in (options.train_set, options.valid_set):
                words += ["--max_duration", str(LONGEST_TEST)]
            yield Work(self.dump.raw(name), inputs, partial(own_program, "format_data", words), of=name)
        if options.feats_type == "fbank":
            for name in (options.train_set, options.valid_set):
                inputs = {"frontend": self.conf.frontend, **self.formatted(name)}
                words = ["--config", str(self.exp.composed), "--data", str(self.dump.raw(name))]
                words += ["--out", str(self.dump.features(name)), "--nj", str(options.nj)]
                run = partial(own_program, "dump_features", words)
                yield Work(self.dump.features(name), inputs, run, kind="features", of=name)
        if options.data_backend == "lhotse":
            yield cuts.looked_through(self) if options.train_cuts else cuts.made(self)

    def bpe(self) -> Iterator[Work]:
        name = self.options.train_set
        program, words = self.tokens.program(self.dump.raw(name) / "text")
        if program == "tokenizer" and self.options.train_cuts:
            words += ["--most", str(cuts.SENTENCES)]
        inputs = {**self.tokens.asked, **self.formatted(name), "symbols": list(self.tokens.text.symbols)}
        yield Work(self.tokens.folder, inputs, partial(own_program, program, words))

    @property
    def stats_folder(self) -> Path:
        """Runs that differ in length, seed or model share statistics."""
        backend = "" if self.options.data_backend == "kaldi" else f" {self.options.data_backend}"
        new = self.stats_named(" ".join(self.conf.feature_words) + backend)
        old = self.stats_named(legacy.stats_arguments(self) + backend)
        return old if old.is_dir() and not new.is_dir() else new

    def stats_named(self, arguments: str) -> Path:
        number = cksum(f"{self.conf.features_number} {arguments}\n".encode())
        return self.dump.stats(self.options.train_set, self.tokens.folder.name, number)

    def statistics(self) -> Iterator[Work]:
        yield Work(self.stats_folder, self.read_in_training, partial(training.collect, self))

    def training(self) -> Iterator[Work]:
        inputs = self.training_inputs
        train = partial(training.train, self, inputs)
        yield Work(self.exp.supernet, inputs, train, told_by=training.inputs_file(self.exp.supernet))

    @property
    def training_inputs(self) -> dict:
        conf = {} if self.options.init_from else {"asr_config": self.conf.shaping}
        conf |= {"train_args": self.conf.shaping_arguments}
        return self.read_in_training | conf | self.corpus.sounds()

    def averaging(self) -> Iterator[Work]:
        exp, count = self.exp, self.options.average
        inputs = {"supernet": training.recorded(exp.supernet) or "", "average": count}
        if not exp.trained.is_file():  # more epochs may come
            inputs["checkpoints so far"] = len([*exp.supernet.glob("*epoch.pth")])

        def run() -> None:
            log = exp.log / "average.log"
            command = [TOOL, "average", "--dir", str(exp.supernet), "--last", str(count), "--out", str(exp.averaged)]
            self.machines.train(log, command)
            show_lines(log, "mean of epochs")  # fewer than asked for, where training kept fewer

        yield Work(exp.averaged, inputs, run)

    def sizes(self) -> Iterator[Work]:
        inputs = self.model_inputs | self.formatted(self.options.valid_set)
        yield Work(self.exp.sizes_json, inputs, self.named_sizes if self.options.sizes else self.chosen_sizes)

    @property
    def supernet_words(self) -> list[str]:
        return ["--train_config", str(self.exp.config), "--model_file", str(self.exp.averaged)]

    @property
    def direction_words(self) -> list[str]:
        return ["--direction", "forward"] if self.options.streaming else []

    def named_sizes(self) -> None:
        command = [sys.executable, "-m", "espnet_plugin.recipe.named_sizes", *self.supernet_words]
        command += ["--sizes", *self.options.sizes, "--out", str(self.exp.sizes_json), *self.direction_words]
        self.machines.train(self.exp.log / "sizes.log", command)

    def chosen_sizes(self) -> None:
        options = self.options
        words = [*self.supernet_words, "--data", str(self.dump.raw(options.valid_set))]
        words += ["--num_sizes", str(options.num_sizes), "--num_candidates", str(options.num_candidates)]
        words += ["--nj", str(options.nj), "--metric", options.metric, "--out", str(self.exp.sizes_json)]
        verb("choose", [*words, *self.direction_words])
        verb("page", ["--expdir", str(self.exp.root)])

    def extraction(self) -> Iterator[Work]:
        yield Work(self.exp.sizes, self.size_inputs, self.extract)

    def extract(self) -> None:
        exp = self.exp
        names = size_names(exp.sizes_json)
        later = [marker_of(exp.sizes, kind) for kind in ("decoding", "export")]
        if self.options.redo:  # done again, too, even if this is cut short
            for marker in later:
                remove(marker)
        # Each size takes its place when it is complete, after all have been checked: one that is refused costs nothing that is there.
        log = exp.log / "extract.log"
        command = [TOOL, "extract", *self.supernet_words, "--sizes", str(exp.sizes_json), "--out", str(exp.sizes)]
        self.machines.train(log, command)
        for marker in later:
            remove(marker)
        for folder in exp.sizes.iterdir():
            if folder.is_dir() and folder.name not in names:
                shutil.rmtree(folder)
        show_lines(log, " parameters, ")

    @property
    def decoding_inputs(self) -> dict:
        return self.size_inputs | self.formatted(*self.options.test_sets)

    def decoding(self) -> Iterator[Work]:
        conf = compose(Path(self.options.inference_config))
        files = {key: sum_of(Path(value)) for key, value in conf.items() if key.endswith(FILE_KEYS) and value}
        inputs = self.decoding_inputs | {"inference_config": conf}
        yield Work(self.exp.sizes, inputs | {"files of inference_config": files} if files else inputs, self.decode)

    def decode(self) -> None:
        options = ["--config", self.options.inference_config, "--streaming", str(self.options.streaming).lower()]
        self.for_each_size("decode", [TOOL, "decode"], options)
        self.for_each_size("heldout", [sys.executable, "-m", "espnet_plugin.recipe.heldout"], [])

    def for_each_size(self, name: str, program: list[str], options: list[str]) -> None:
        """Run a program that takes models and test sets; an array of jobs, one for each model, where there is Slurm."""
        models = [str(self.exp.size(size)) for size in size_names(self.exp.sizes_json)]
        options = ["--data", *(str(self.dump.raw(test_set)) for test_set in self.options.test_sets), *options]
        if self.machines.backend == "slurm":
            script = f'count=$1; {shlex.join(program)} --model_dir "${{@:1+JOB:1}}" "${{@:2+count}}"'
            command = ["bash", "-c", script, name, str(len(models)), *models, *options]
            return self.machines.decode(self.exp.log / f"{name}.JOB.log", command, jobs=len(models))
        command = [*program, "--model_dir", *models, *options, "--nj", str(self.options.nj)]
        self.machines.decode(self.exp.log / f"{name}.log", command)

    @property
    def score_inputs(self) -> dict:
        speakers = {f"speakers of {name}": sum_of(self.dump.raw(name) / "utt2spk") for name in self.options.test_sets}
        made = {"decoded texts": self.made("*/decode/*/text"), "losses": self.made("*/decode/*/loss")}
        return self.decoding_inputs | speakers | made

    def scoring(self) -> Iterator[Work]:
        yield Work(self.exp.sizes, self.score_inputs, self.score)

    def score(self) -> None:
        for name in size_names(self.exp.sizes_json):
            for test_set in self.options.test_sets:
                decoded = self.exp.decoded(name, test_set)
                words = ["--ref", str(self.dump.raw(test_set) / "text"), "--hyp", str(decoded / "text")]
                words += ["--model_dir", str(self.exp.size(name))]
                words += ["--loss", str(decoded / "loss")] if (decoded / "loss").is_file() else []
                own_program("score", [*words, "--out", str(self.exp.score(name, test_set))])

    @property
    def result_inputs(self) -> dict:
        counts = {f"counts of {name}": sum_of(self.dump.raw(name) / "set.json") for name in self.options.sets}
        return self.score_inputs | counts | {"scores": self.made("*/score/*/score.json")}

    def results(self) -> Iterator[Work]:
        yield Work(self.exp.results, self.result_inputs, self.show_results)

    def show_results(self) -> None:
        words = ["--expdir", str(self.exp.root), "--test_sets", *self.options.test_sets, "--command", self.command]
        own_program("results", [*words, "--data", *(str(self.dump.raw(name)) for name in self.options.sets)])
        if self.exp.search.is_file():
            verb("page", ["--expdir", str(self.exp.root)])  # anew, with the word error rates on test sets

    def export(self) -> Iterator[Work]:
        yield Work(self.exp.sizes, self.result_inputs, self.export_sizes)

    def export_sizes(self) -> None:
        models = [str(self.exp.size(name)) for name in size_names(self.exp.sizes_json)]
        command = [sys.executable, "-m", "espnet_plugin.recipe.device", "--model_dir", *models]
        command += ["--data", str(self.dump.raw(self.options.test_sets[0]))]
        command += ["--streaming", str(self.options.streaming).lower()]
        self.machines.decode(self.exp.log / "export.log", command)
        self.show_results()
