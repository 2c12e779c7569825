"""A text classifier for seqlab: a task, a data module, a metric and the recipe that names them."""

from text_classifier.data import LabelledText
from text_classifier.metric import LabelAccuracy
from text_classifier.task import TextClassifier

__all__ = ["LabelAccuracy", "LabelledText", "TextClassifier"]
