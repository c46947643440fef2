import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bakeoff.core.errors import CandidateError
from bakeoff.families.language.encoder import EncoderFamily, EncoderParams
from bakeoff.families.language.full import FullFamily, FullParams
from bakeoff.testing.families import FamilyConformance


class TestFull(FamilyConformance):
    tolerance = 1e-4

    @pytest.fixture
    def family(self) -> FullFamily:
        return FullFamily()

    @pytest.fixture
    def params(self, tiny_encoder: Path) -> FullParams:
        return FullParams(model=str(tiny_encoder), learning_rate=4e-3, epochs=4, precision="fp32", max_tokens=48)

    def test_it_predicts_better_than_chance(self, family, job) -> None:
        longer = dataclasses.replace(job.params, learning_rate=2e-3, epochs=8)  # the others need no good model
        super().test_it_predicts_better_than_chance(family, dataclasses.replace(job, params=longer))

    def test_a_decoder(self, family, job, params, tiny: Path, tmp_path: Path) -> None:
        own = dataclasses.replace(params, model=str(tiny), layers=1, max_train_rows=32)
        model = family.fit(dataclasses.replace(job, params=own))
        (tmp_path / "model").mkdir()
        model.save(tmp_path / "model")
        loaded = family.load(tmp_path / "model", 1)
        assert (loaded.predict(self.held(job)).probabilities_nk == model.predict(self.held(job)).probabilities_nk).all()


class TestEncoder:
    @pytest.mark.parametrize("contrastive", [True, False, None])
    def test_it_learns(self, tiny_encoder: Path, tmp_path: Path, contrastive: bool | None) -> None:
        suite = TestFull()
        params = EncoderParams(
            model=str(tiny_encoder),
            learning_rate=3e-3,
            epochs=4,
            precision="fp32",
            max_tokens=48,
            contrastive=contrastive,
            few=100,
        )
        job = suite.job_of("classification", params, tmp_path, columns=("categorical",))
        suite.test_it_predicts_better_than_chance(EncoderFamily(), job)

    def test_a_decoder_is_refused(self, tiny: Path, tmp_path: Path) -> None:
        job = TestFull().job_of("classification", EncoderParams(model=str(tiny)), tmp_path)
        with pytest.raises(CandidateError, match="which is a decoder"):
            EncoderFamily().fit(job)


def test_an_encoder_embeds_texts_to_length_one(tiny_encoder: Path, tmp_path: Path) -> None:
    params = EncoderParams(model=str(tiny_encoder), contrastive=False, epochs=0.1, precision="fp32", max_tokens=48)
    model = EncoderFamily().fit(FamilyConformance().job_of("classification", params, tmp_path, columns=("text",)))
    texts = ["aaord bbord", "", "aaord bbord"]
    found = model.embedder.embed(texts)
    assert found.vectors_nd.shape == (3, model.backbone.width)
    assert found.tokens == sum(map(len, model.state.reading.ids(model.backbone, texts)))
    np.testing.assert_allclose(np.linalg.norm(found.vectors_nd, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.vectors_nd[0], found.vectors_nd[2], rtol=1e-5)
