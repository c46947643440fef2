import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError
from bakeoff.families.language.likelihood import Scorer, naive_scores
from bakeoff.families.language.prompted import PromptedFamily, PromptedParams
from bakeoff.testing.families import FamilyConformance

pytestmark = pytest.mark.slow

TEXTS = ["aaord label1", "bbord sign0 ccord nothing", "ddord"]


class TestPrompted(FamilyConformance):
    tolerance = 1e-4

    @pytest.fixture
    def family(self) -> PromptedFamily:
        return PromptedFamily()

    @pytest.fixture
    def params(self, tiny: Path) -> PromptedParams:
        return PromptedParams(model=str(tiny), precision="fp32", calibration_rows=20)

    def test_it_predicts_better_than_chance(self) -> None:
        pytest.skip("random weights, and nothing is trained")

    @pytest.mark.parametrize("chat", [True, False])
    @pytest.mark.parametrize(("shots", "select"), [(0, "random"), (3, "balanced"), (2, "nearest")])
    def test_scores_are_those_of_label_by_label(  # noqa: PLR0917 - fixtures
        self, family, job, params, chat, shots, select
    ) -> None:
        own = dataclasses.replace(params, chat=chat, shots=shots, select=select, max_tokens=12, calibration="none")
        model = family.fit(dataclasses.replace(job, params=own))
        prompts = model.prompts(["aaord label1", "", "bbord sign0 ccord nothing", "ö 完全"])
        labels = ((5, 6, 7), (5, 9), (11,), (5, 6))
        fast = Scorer(backbone=model.backbone, labels=labels, prefix=model._scorer.prefix)(prompts)
        np.testing.assert_allclose(fast, naive_scores(model.backbone, prompts, labels), atol=1e-4)
        assert len(model._scorer.prefix) > 4

    @pytest.mark.parametrize(("chat", "end"), [(True, "</s>"), (False, "\n\n")])
    def test_a_label_ends_where_its_likelihood_does(self, family, job, params, chat, end) -> None:
        """Else the beginning of another label wins by construction."""
        target = pl.Series(["card" if name == "class 0" else "card lost" for name in job.train["target"]])
        train = job.train.with_columns(target=target)
        scores = {}
        for scoring in ("whole", "open", "bytes"):
            own = dataclasses.replace(params, chat=chat, calibration="none", scoring=scoring)
            model = family.fit(dataclasses.replace(job, params=own, train=train, validation=train[:4]))
            scores[scoring] = model.scores(TEXTS)
        words, lead = model.backbone, "" if chat else " "
        card, lost = ([*words.tokens([lead + name], special=False)[0]] for name in ("card", "card lost"))
        assert lost[: len(card)] == card
        assert (scores["open"][:, 0] > scores["open"][:, 1]).all()
        ends = [words.words.control[end]] if chat else words.tokens([end], special=False)[0][:1]
        naive = naive_scores(words, model.prompts(TEXTS), ([*card, *ends], [*lost, *ends]))
        np.testing.assert_allclose(scores["whole"], naive, atol=1e-4)
        np.testing.assert_allclose(scores["bytes"], scores["open"] / [len(lead) + 4, len(lead) + 9], atol=1e-4)

    def test_balanced_examples_are_of_every_class(self, family, job, params) -> None:
        own = dataclasses.replace(params, shots=2, max_tokens=12)
        pool = family.fit(dataclasses.replace(job, params=own)).state.shots.pool
        assert {shot.answer for shot in pool} == {"class 0", "class 1"}

    def test_contextual_calibration_evens_out_prompts_without_content(self, family, job, params) -> None:
        own = dataclasses.replace(params, calibration="contextual")
        model = family.fit(dataclasses.replace(job, params=own))
        even = model.state.scaling(model.scores(("N/A", "", "[MASK]")))
        np.testing.assert_allclose(even.mean(axis=0), 0.5, atol=0.05)

    def test_a_long_text_is_cut_and_the_instruction_stays(self, family, job, params) -> None:
        model = family.fit(job)
        (prompt,) = model.prompts(["aaord " * 5000])
        assert len(prompt) <= model.backbone.context
        assert "Answer with one of" in model.backbone.tokenizer.decode(prompt)

    def test_texts_that_are_cut_are_counted(self, family, job, params) -> None:
        losses = []
        train = job.train.with_columns(text=pl.lit("aa"))
        train[3, "text"] = train[5, "text"] = "aaord " * 400
        own = dataclasses.replace(params, max_tokens=120, calibration="none")
        family.fit(dataclasses.replace(job, params=own, train=train, validation=train[:4], on_loss=losses.append))
        assert [(loss.kind, loss.subject, loss.count, loss.of, loss.remedy, loss.grave) for loss in losses] == [
            ("text", "training rows", 2, len(train), "raise max_tokens", True),
            ("text", "validation rows", 1, 4, "raise max_tokens", True),
        ]

    def test_an_instruction_without_room_for_a_text_is_an_error(self, family, job, params) -> None:
        own = dataclasses.replace(params, instruction="aaord " * 400)
        with pytest.raises(CandidateError, match="shorten the instruction"):
            family.fit(dataclasses.replace(job, params=own))

    def test_a_missing_chat_template_is_an_error_when_it_is_asked_for(self, family, job, params, tiny_plain) -> None:
        own = dataclasses.replace(params, model=str(tiny_plain), chat=True)
        with pytest.raises(CandidateError, match="chat template"):
            family.fit(dataclasses.replace(job, params=own))

    def test_a_template_names_columns_only(self, family, job, params) -> None:
        own = dataclasses.replace(params, template="{text} and {nothing}")
        with pytest.raises(CandidateError, match="nothing"):
            family.fit(dataclasses.replace(job, params=own))
        own = dataclasses.replace(params, template="<{text}>")
        model = family.fit(dataclasses.replace(job, params=own))
        assert len(model.predict(pl.DataFrame(self.held(job)))) == len(self.held(job))
