"""Explanations as a page: answers to pick from, maps, what they rest on, and where it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backtrace_onnx.report.answers import explained_answer, percent, rival_answer
from backtrace_onnx.report.bar_panel import GROUPS
from backtrace_onnx.report.continuation import continuation
from backtrace_onnx.report.explained_sample import ExplainedSample
from backtrace_onnx.report.given_reasons import GivenReasons
from backtrace_onnx.report.headlines import answered
from backtrace_onnx.report.input_kinds import kind_of
from backtrace_onnx.report.page.books_view import BooksView, books_view
from backtrace_onnx.report.page.flow_view import FlowView, flow_view
from backtrace_onnx.report.page.map_view import MapView, array_view, spectrogram_view
from backtrace_onnx.report.page.page_facts import PageFacts
from backtrace_onnx.report.page.picture_view import PictureView, picture_view
from backtrace_onnx.report.page.ranking_view import RankingView, ranking_view
from backtrace_onnx.report.page.sample_groups import samples_of
from backtrace_onnx.report.page.series_view import SeriesView, series_view
from backtrace_onnx.report.page.stylesheet import MOST
from backtrace_onnx.report.page.text_view import TextView, text_view
from backtrace_onnx.report.page.writer import make_page
from backtrace_onnx.report.pictures import drawn_inputs, question_of

_NAMED = 12  # tokens of a continuation that its heading names
Block = TextView | MapView | SeriesView


@dataclass(frozen=True)
class AnswerView:
    """One explained answer of a sample.

    Attributes:
        name: as the picker calls it. likely: its probability, from 0 to 1; None: it has none.
        question: what the explanation answers. notes: the warnings apart.
        reasons: sentences of people, where they were asked for.
        blocks: inputs that are no pictures, those of tables apart: they are in the ranking.
    """

    name: str
    likely: float | None
    chance: str
    question: str
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    blocks: tuple[Block, ...]
    ranking: RankingView
    books: tuple[BooksView, ...]
    mixed: bool
    flow: FlowView | None
    reasons: GivenReasons | None = None


@dataclass(frozen=True)
class SampleSection:
    """A sample with all that was explained of it.

    Attributes:
        source: where it came from. headline: the model's answer.
        pictures: its inputs that are pictures. chosen: the place of the answer shown first.
        left: how many answers are not on the page.
    """

    source: str
    headline: str
    pictures: tuple[PictureView, ...]
    answers: tuple[AnswerView, ...]
    chosen: int
    left: int


def explanation_page(subjects: Sequence[ExplainedSample], facts: PageFacts) -> str:
    """The page of these samples: at most 24 of them, and at most 24 answers of each.

    Raises RequestError where jinja2 is not installed.
    """
    groups = samples_of(subjects)
    samples = [_sample(group) for group in groups[:MOST]]
    first = subjects[0].explanation
    return make_page(
        "explanation",
        title=_title(samples),
        samples=samples,
        left=len(groups) - len(samples),
        explanation=first,
        facts=facts,
    )


def _title(samples: Sequence[SampleSection]) -> str:
    if len(samples) > 1:
        return f"{len(samples)} explained samples"
    (sample,) = samples
    return sample.answers[sample.chosen].question


def _sample(group: Sequence[ExplainedSample]) -> SampleSection:
    """The view of one sample; of too many answers the likeliest are kept, in their order."""
    kept = list(group)
    if len(group) > MOST:
        order = sorted(range(len(group)), key=lambda i: -_value(group[i]))
        kept = [group[i] for i in sorted(order[:MOST])]
    names = [n for n in drawn_inputs(kept[0]) if n != GROUPS]
    pictures = tuple(
        picture_view(kept, name) for name in names if kind_of(kept[0], name) == "picture"
    )
    places = _places(group)
    answers = tuple(_answer(subject, names, places.get(id(subject))) for subject in kept)
    chosen = max(range(len(kept)), key=lambda i: _value(kept[i]))
    source, headline = kept[0].source, _headline(kept)
    if places:
        source, headline, chosen = "token by token", _listed(answers), 0
    elif kept[0].task == "ctc" and len(kept) > 1:
        source, headline, chosen = source.partition(", letter ")[0], f"{len(group)} letters", 0
    left = len(group) - len(kept)
    return SampleSection(source, headline, pictures, answers, chosen, left)


def _listed(answers: Sequence[AnswerView]) -> str:
    """The first answers, in their order."""
    more = " ..." if len(answers) > _NAMED else ""
    return " ".join(answer.name for answer in answers[:_NAMED]) + more


def _headline(kept: Sequence[ExplainedSample]) -> str:
    """The model's answer, without what is explained where that is picked."""
    told = answered(kept[0])
    return told.partition("; explained: ")[0] if len(kept) > 1 else told


def _places(group: Sequence[ExplainedSample]) -> dict[int, int]:
    """Of the tokens of a continuation, by subject, the place from which each is predicted."""
    found = {}
    for row in continuation(group):
        answer = explained_answer(row.subject)
        if answer is not None:
            found[id(row.subject)] = int(answer.index[0])
    return found


def _value(subject: ExplainedSample) -> float:
    answer = explained_answer(subject)
    return 0.0 if answer is None else answer.value


def _answer(subject: ExplainedSample, names: Sequence[str], place: int | None) -> AnswerView:
    answer, other = explained_answer(subject), rival_answer(subject)
    name = "the answer" if answer is None else answer.name
    likely = None if answer is None else answer.probability
    chance = "" if answer is None else f"{answer.value:.4g}" if likely is None else percent(likely)
    warnings = subject.warnings
    return AnswerView(
        f"{name} rather than {other.name}" if other else name,
        likely,
        chance,
        question_of(subject),
        tuple(warnings),
        tuple(note for note in subject.notes if note not in warnings),
        tuple(block for n in names for block in _blocks(subject, n, place)),
        ranking_view(subject),
        books_view(subject),
        subject.explanation.ledger.mixed,
        flow_view(subject),
        subject.reasons,
    )


def _blocks(subject: ExplainedSample, name: str, place: int | None) -> list[Block]:
    kind = kind_of(subject, name)
    if kind == "text":
        return [text_view(subject, name, place)]
    if kind == "series":
        return [series_view(subject, name)]
    if kind == "spectrogram":
        return [spectrogram_view(subject, name)]
    return [array_view(subject, name)] if kind == "array" else []


__all__ = ["AnswerView", "SampleSection", "explanation_page"]
