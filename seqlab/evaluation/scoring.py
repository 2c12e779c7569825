"""Scores of a run on a split of its data."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from seqlab.data.parallel_text import ParallelText
from seqlab.data.tokenizers import Tokenizer
from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.evaluation.collecting import Collected, Score, Text
from seqlab.metrics import Metric
from seqlab.runs import Run, default_device, restore
from seqlab.tasks.adaptive import DynamicEvaluation, NeuralCache
from seqlab.tasks.language_model import LanguageModel


@dataclass(frozen=True)
class Options:
    """What of an evaluation is not a setting of the run.

    Args:
        split: The split; ``test``, or ``val`` if there is no test, if None.
        search: Settings of the search by name, in place of the run's own.
        scoring: Settings of all metrics that take them, such as ``tokenize`` and ``lowercase``.
        adaptive: What else to score a language model with, by the suffix of its scores.
        windows: Tokens between two updates of those that learn, by the same suffix.
    """

    split: str | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    scoring: Mapping[str, Any] = field(default_factory=dict)
    adaptive: Mapping[str, NeuralCache | DynamicEvaluation] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Scores:
    """Scores of a run, and what it made of the data.

    Args:
        scores: The scores by name.
        texts: Outputs that are text: for each output, for each of its parts, such as ``hypotheses``, the examples in
            their order.
        log_probabilities: Log-probability and number of tokens of what each example has to foresee; none where text is
            not scored by examples.
    """

    scores: dict[str, Score]
    texts: dict[str, dict[str, list[Text]]]
    log_probabilities: list[tuple[float, int]]


class Evaluation:
    """A run that is ready to be scored on a split.

    Args:
        run: The run.
        flags: Flags that change its settings.
        options: What else is asked for.

    Raises:
        UserError: The run has no checkpoint, a flag is wrong, the split has no corpus, or an option is not for the
            run's task.
    """

    def __init__(self, run: Run, flags: Sequence[str], options: Options):
        prog = f"seqlab evaluate {run}"
        self.run, self.flags, self.options = run, flags, options
        self.settings = run.settings(list(flags), prog=prog)
        self._check_languages(run.settings(prog=prog))
        task: Any  # its class is the recipe's
        task, self.data, self.checkpoint = restore(run, self.settings)
        self.task = task
        self.split = options.split or ("test" if self.data.has("test") else "val")
        self._set_search()
        self._add_metrics()
        if options.adaptive and not isinstance(task, LanguageModel):
            raise UserError(f"--{next(iter(options.adaptive))} is for language models, not for {type(task).__name__}")
        self.described = self.data.describe(self.split)

    def _check_languages(self, trained: Any) -> None:
        """Refuses other languages than those it was trained on, which would give scores of nothing."""
        if not issubclass(trained.data_class, ParallelText):
            return
        for side in ("source", "target"):
            before, now = (getattr(settings.config.data, side) for settings in (trained, self.settings))
            if now != before:
                raise UserError(
                    f"--data.{side} {now}: {self.run} was trained with {before!r}; for files or keys of another name "
                    f"give two files with a comma between them, or --data.{side}_key"
                )

    def _set_search(self) -> None:
        search, given = getattr(self.task, "search", None), dict(self.options.search)
        if search is not None:
            self.task.search = replace(search, **{"n_best": 1, **given})
        elif given:
            raise UserError(
                f"--{next(iter(given))}: {type(self.task).__name__}, the task of {self.run}, does not search"
            )

    def _add_metrics(self) -> None:
        """Adds the task's further scores to the run's, and sets what is asked of all but those that a flag names."""
        own = self.settings.config.model.metrics
        named = {flag.split(".")[2].partition("=")[0] for flag in self.flags if flag.startswith("--model.metrics.")}
        makers: dict[str, Callable[..., Metric]] = {}
        for name, metric in self.task.metrics.items():
            makers[name] = type(metric)
            arguments = dict(getattr(own[name], "init_args", None) or {})
            if name not in named and (settings := self._taken(type(metric))):
                self.task.metrics[name] = type(metric)(**{**arguments, **settings})
        for name, make in self.task.evaluation_metrics().items():
            if name not in makers:
                makers[name] = make
                self.task.metrics[name] = make(**self._taken(make))
        for setting in self.options.scoring:
            if not any(setting in inspect.signature(make).parameters for make in makers.values()):
                raise UserError(f"--{setting}: no score of {self.run} takes it (scores: {', '.join(makers)})")

    def _taken(self, make: Callable[..., Metric]) -> dict[str, Any]:
        """The settings of all metrics that a metric takes."""
        known = inspect.signature(make).parameters
        return {name: value for name, value in self.options.scoring.items() if name in known}

    @property
    def decoding(self) -> dict[str, Any]:
        """The settings of the search, in full; nothing where the task has none."""
        search = getattr(self.task, "search", None)
        return {} if search is None else {name: value for name, value in asdict(search).items() if name != "n_best"}

    @property
    def search_told(self) -> str:
        """The settings of the search that are not as by default, and the beam, for people."""
        default = asdict(Search())
        chosen = {name: value for name, value in self.decoding.items() if name == "beam" or value != default[name]}
        return "".join(f", {name.replace('_', ' ')} {value}" for name, value in chosen.items())

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What cuts text into the tokens that are scored."""
        return getattr(self.task, "target_tokenizer", None) or getattr(self.task, "tokenizer", None)

    @property
    def vocabulary(self) -> str | None:
        """Checksum of the tokenizer: scores per token compare only where it is the same."""
        return hashlib.sha256(self.tokenizer.model).hexdigest() if self.tokenizer is not None else None

    def sources(self) -> dict[str, list[str]]:
        """The source sentences, where examples have one."""
        rows = self.data.text(self.split)
        return {"sources": [row["source"] for row in rows]} if "source" in rows[0] else {}

    def score(self) -> Scores:
        """Scores the split."""
        self.task.to(default_device())
        plain = Collected(self.task)
        batches = self.data.evaluation_batches(self.split)
        plain.take(_shown(self.task.score(batches), len(batches), f"scoring {self.split}"))
        scores = plain.scores()
        for name, adapted in self.options.adaptive.items():
            window = {"window": self.options.windows[name]} if name in self.options.windows else {}
            batches, collected = self.data.evaluation_batches(self.split, **window), Collected(self.task)
            collected.take(_shown(adapted.score(self.task, batches), len(batches), f"scoring with {name}"))
            signature = "".join(f"|{part}:{value}" for part, value in window.items())
            scores |= collected.scores(f"+{name}", f"|{adapted.signature()}{signature}")
        return Scores(scores, plain.texts(), plain.log_probabilities())


def _shown(steps: Iterable, count: int, label: str) -> Iterable:
    """Steps with a progress bar, on a terminal."""
    from tqdm import tqdm

    return tqdm(steps, total=count, desc=label, leave=False, disable=not sys.stderr.isatty())
