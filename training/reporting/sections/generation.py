"""A language model: texts that it wrote, and where in a text it is surprised."""

from training.evaluation.demonstrate import continue_texts
from training.reporting.charts import draw_place_losses
from training.reporting.document import Picture, Section, Table
from training.reporting.findings import Findings
from training.reporting.measures import losses_by_place
from training.scoring.answers import LikelihoodAnswers

_SAMPLE_COUNT = 4
_PROMPT_SHARE = 0.25
_PROMPT_CHARACTERS = 80
_TEMPERATURE = 0.8
_CHARACTERS_SHOWN = 1000


def generation_sections(findings: Findings, answers: LikelihoodAnswers) -> list[Section]:
    """Samples and loss by place."""
    return [_samples(findings, answers), _losses(answers)]


def _samples(findings: Findings, answers: LikelihoodAnswers) -> Section:
    """The first test texts' beginnings, and nothing, are continued."""
    prompts = ["", *dict.fromkeys(_beginning(text) for text in answers.texts[: _SAMPLE_COUNT - 1])]
    seed = findings.recipe.seed
    written = continue_texts(findings.bundle, prompts, temperature=_TEMPERATURE, seed=seed)
    rows = [(prompt or "(nothing)", text[:_CHARACTERS_SHOWN]) for prompt, text in zip(prompts, written, strict=True)]
    caption = (
        f"Sampled at temperature {_TEMPERATURE}, seeds {seed} and up, by the service's engine: the same bundle writes "
        f"the same again. At most {_CHARACTERS_SHOWN:,} characters are shown."
    )
    return Section(
        "Samples", [Table("beginnings of test texts, continued", ("beginning", "as the model goes on"), rows, caption)]
    )


def _beginning(text: str) -> str:
    return text[: min(_PROMPT_CHARACTERS, max(1, round(len(text) * _PROMPT_SHARE)))]


def _losses(answers: LikelihoodAnswers) -> Section:
    losses = losses_by_place(answers)
    caption = (
        "How surprised the model is by the tokens of the test texts, by how many tokens it has read of a text before. "
        "The loss falls as far as reading more helps; where it stays level, more memory is of no use to the model. "
        "The mean over all tokens is the score: e to its power the perplexity, or of characters, divided by ln 2, the "
        "bits per character. Below: how many tokens there are at each place."
    )
    rows = [(one.places, f"{one.loss:.3f}", f"{one.token_count:,}") for one in losses]
    table = Table("loss by place", ("tokens before", "mean loss (nats per token)", "tokens"), rows, folded=True)
    return Section("Loss by place", [Picture("loss by place in the text", caption, draw_place_losses(losses)), table])
