"""From a recipe, a config file and flags to what is built: what wins, what is refused, and how it is said."""

import itertools
import sys

import pytest
import torch
import yaml
from lightning.pytorch import Callback

from seqlab import registry
from seqlab.config import Settings, parse
from seqlab.errors import UserError
from seqlab.metrics import BLEU, Accuracy, Perplexity
from seqlab.tasks import Translation

TRANSLATION = registry.recipe_path("translation")
SHIPPED = sorted(TRANSLATION.parent.glob("*.yaml"))


def configure(*flags: str, recipe=TRANSLATION) -> Settings:
    return parse(recipe, list(flags), prog="seqlab fit")


@pytest.fixture
def write(tmp_path):
    """Writes values or text to a YAML file of the test's own."""

    def write(content):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def changed(write):
    """Writes the translation recipe with one value changed, or removed."""

    def changed(key: str, *value):
        values = yaml.safe_load(TRANSLATION.read_text(encoding="utf-8"))
        *groups, last = key.split(".")
        place = values
        for group in groups:
            place = place[group]
        place.pop(last, None)
        if value:
            place[last] = value[0]
        return write(values)

    return changed


@pytest.fixture
def build(tmp_path):
    """Builds the task of a configuration, small and on a small corpus."""
    lines = [" ".join(words) for words in itertools.permutations(("red", "old", "new", "big", "wet"), 3)]
    for language in ("en", "de"):
        (tmp_path / f"train.{language}").write_text("\n".join(lines), encoding="utf-8")
    sizes = [(f"--model.{name}_size", "4") for name in ("embedding", "encoder", "decoder")]
    small = [("--data.train", str(tmp_path / "train")), ("--data.tokenizer.kind", "word"), *sizes]

    def build(*flags: str, recipe=TRANSLATION) -> Translation:
        settings = configure(*itertools.chain(*small), *flags, recipe=recipe)
        return settings.make_task(settings.make_data())

    return build


def error(function, *arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_and_its_dump_are_the_same_configuration(recipe, write):
    dump = write(configure(recipe=recipe).dump())
    one, two = (configure(recipe=file).config.as_dict() for file in (recipe, dump))
    assert (str(one.pop("__default_config__")), str(two.pop("__default_config__"))) == (str(recipe), str(dump))
    assert one == two and set(one) > {"task", "data_module", "seed", "data", "model", "trainer", "checkpoint"}


@pytest.mark.parametrize("recipe", SHIPPED, ids=lambda path: path.stem)
def test_what_a_shipped_recipe_says_arrives(recipe):
    config = configure(recipe=recipe).config
    values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    for group in ("data", "model", "trainer", "checkpoint"):
        plain = {key: value for key, value in values[group].items() if not isinstance(value, dict)}
        assert plain and {key: config[group][key] for key in plain} == plain


def test_flags_are_in_the_dump(write):
    """The run's config.yaml holds what was asked for, whatever its type."""
    flags = ["--model.cell", "{name: rrnn, feedback: updated}", "--data.val", "[a.en, a.de]", "--seed", "7"]
    config = configure(recipe=write(configure(*flags, "--checkpoint.patience", "3").dump())).config
    assert config.model.cell == {"name": "rrnn", "feedback": "updated"}
    assert config.data.val == ["a.en", "a.de"]
    assert (config.seed, config.checkpoint.patience, config.data.test) == (7, 3, None)


def test_precedence(changed, write):
    """Class default, then recipe, then --config, then flag."""
    key = "data.batch_tokens"
    default, recipe, file = changed(key), changed(key, 111), write({"data": {"batch_tokens": 222}})
    flag = ["--data.batch_tokens", "333"]
    assert configure(recipe=default).config.data.batch_tokens == 2000
    assert configure(recipe=recipe).config.data.batch_tokens == 111
    assert configure("--config", str(file), recipe=recipe).config.data.batch_tokens == 222
    assert configure("--config", str(file), *flag, recipe=recipe).config.data.batch_tokens == 333
    assert configure("--config", str(file), recipe=recipe).config.data.max_length == 100


def test_a_flag_wins_wherever_the_config_file_stands(write):
    file = write({"data": {"batch_tokens": 222}})
    assert configure("--data.batch_tokens", "333", "--config", str(file)).config.data.batch_tokens == 333


@pytest.mark.parametrize("key, meant", [("data.batch_token", "batch_tokens"), ("trainer.max_step", "max_steps")])
def test_a_misspelt_setting(changed, write, key, meant):
    """As a flag, in a recipe and in a config file: named, with the nearest."""
    group, name = key.split(".")
    flags = [f"--{key}", "3"], ["--config", str(write({group: {name: 3}}))]
    messages = [error(configure, *given) for given in flags] + [error(configure, recipe=changed(key, 3))]
    for message in messages:
        assert key in message and "did you mean" in message and meant in message


@pytest.mark.parametrize("key", ["data.batch_tokens", "model.embedding_size", "trainer.max_steps", "seed"])
def test_a_value_of_the_wrong_type(changed, key):
    for message in (error(configure, f"--{key}", "many"), error(configure, recipe=changed(key, "many"))):
        assert key in message and "many" in message and "int" in message


@pytest.mark.parametrize("path", ["subprocess.Popen", "torch.os.system", "builtins.eval"])
@pytest.mark.parametrize("key", ["model.optimizer", "model.schedule", "trainer.callbacks", "model.metrics.bleu"])
def test_a_class_of_a_package_that_is_not_allowed(changed, key, path):
    assert path.split(".")[-1] in error(configure, f"--{key}", path)
    assert path.split(".")[-1] in error(configure, recipe=changed(key, {"class_path": path}))


def test_a_package_that_is_not_allowed_is_not_even_imported(tmp_path, monkeypatch, changed):
    """Though its class would fit; the message says which packages are."""
    (tmp_path / "stranger.py").write_text("from seqlab.metrics import BLEU as Metric\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = error(configure, recipe=changed("model.metrics.bleu", {"class_path": "stranger.Metric"}))
    assert "stranger.Metric" in message and "torchmetrics" in message
    assert "stranger" not in sys.modules


@pytest.mark.parametrize("path", ["subprocess.Popen", "nowhere.Task", "seqlab.tasks.Nothing", "Translation"])
@pytest.mark.parametrize("key", ["task", "data_module"])
def test_a_task_or_data_module_that_is_none(changed, key, path):
    message = error(configure, recipe=changed(key, path))
    assert key in message and path in message


@pytest.mark.parametrize("content", ["", "- a list", "a: [b", "task: 3", "data: {}"])
def test_what_is_no_recipe(write, content):
    path = write(content)
    assert str(path) in error(configure, recipe=path)


@pytest.mark.parametrize("key", ["model.optimizer", "model.metrics"])
def test_optimizer_and_metrics_have_no_default(changed, key):
    assert key in error(configure, recipe=changed(key))


@pytest.mark.parametrize("arguments", [("--task", "seqlab.tasks.Task"), ("--data_module", "nowhere.Data")])
def test_a_flag_cannot_name_another_task(arguments):
    error(configure, *arguments)


def test_weight_decay_of_the_recipe_arrives(build, changed):
    task = build(recipe=changed("model.optimizer.init_args", {"lr": 0.25, "weight_decay": 0.125}))
    optimizer = task.make_optimizer(task.parameters())
    (group,) = optimizer.param_groups
    assert (type(optimizer), group["lr"], group["weight_decay"]) == (torch.optim.AdamW, 0.25, 0.125)


def test_adamw_without_weight_decay_has_that_of_torch(build, changed):
    task = build(recipe=changed("model.optimizer.init_args", {"lr": 0.25}))
    assert task.make_optimizer(task.parameters()).param_groups[0]["weight_decay"] == 0.01


@pytest.mark.parametrize("flag", ["--model.optimizer.weight_decay", "--model.optimizer.init_args.weight_decay"])
def test_weight_decay_by_flag(build, flag):
    task = build(flag, "0.375")
    (group,) = task.make_optimizer(task.parameters()).param_groups
    assert group["weight_decay"] == 0.375
    assert len(group["params"]) == len(list(task.parameters())) > 5


@pytest.mark.parametrize("flag", ["--model.metrics.bleu.tokenize", "--model.metrics.bleu.init_args.tokenize"])
def test_an_option_of_one_metric_by_flag(build, flag):
    """The other metrics, and the other options of this one, stay."""
    metrics = build(flag, "intl", "--model.metrics.bleu.lowercase", "true").metrics
    assert list(metrics) == list(yaml.safe_load(TRANSLATION.read_text(encoding="utf-8"))["model"]["metrics"])
    metrics["bleu"].update(["x"], ["x"])
    assert "tok:intl" in metrics["bleu"].signature() and "case:lc" in metrics["bleu"].signature()


def test_another_metric_by_flag(build):
    metrics = build("--model.metrics.letters", "BLEU", "--model.metrics.letters.tokenize", "char").metrics
    assert [type(metric) for metric in metrics.values()] == [BLEU, Perplexity, Accuracy, BLEU]
    for metric in (metrics["bleu"], metrics["letters"]):
        metric.update(["eine Katze sitzt da"], ["eine Katze saß da"])
    assert float(metrics["bleu"].compute()) < float(metrics["letters"].compute())


def test_all_metrics_by_flag():
    assert list(configure("--model.metrics", "{hits: {class_path: Accuracy}}").config.model.metrics) == ["hits"]


def test_another_metric_by_config_file(write):
    file = write({"model": {"metrics": {"hits": {"class_path": "Accuracy"}}}})
    assert list(configure("--config", str(file)).config.model.metrics) == ["bleu", "perplexity", "accuracy", "hits"]


def test_seed_is_that_of_the_data_too():
    assert [configure("--seed", seed).make_data().seed for seed in ("1", "9")] == [1, 9]


@pytest.mark.parametrize(
    "flags",
    [("--model.schedule.warmup", "-1"), ("--model.metrics.bleu.tokenize", "klingon")],
    ids=["schedule", "metric"],
)
def test_a_value_that_a_nested_class_refuses(build, flags):
    assert flags[1] in error(build, *flags)


def test_trainer_gets_what_is_configured_and_what_is_given(tmp_path):
    own = Callback()
    flags = ["--trainer.accelerator", "cpu", "--trainer.max_steps", "12", "--trainer.callbacks", "[Timer]"]
    trainer = configure(*flags).make_trainer(callbacks=[own], logger=False, default_root_dir=tmp_path)
    assert trainer.max_steps == 12
    assert own in trainer.callbacks and "Timer" in [type(callback).__name__ for callback in trainer.callbacks]
