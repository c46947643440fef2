"""Autologging, models and evaluations, as the stock client logs them."""

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 3))
CLASSES = (ROWS[:, 0] > 0).astype(int)


def artifacts(mlflow, run_id):
    return {each.path for each in mlflow.artifacts.list_artifacts(run_id=run_id)}


def test_scikit_learn_is_logged_by_itself_and_loaded_again(mlflow):
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog()
    try:
        with mlflow.start_run() as run:
            model = LogisticRegression(C=0.5).fit(ROWS, CLASSES)
    finally:
        mlflow.sklearn.autolog(disable=True)
    data = mlflow.get_run(run.info.run_id).data
    assert data.params["C"] == "0.5"
    assert data.metrics["training_score"] == pytest.approx(model.score(ROWS, CLASSES))
    assert "estimator.html" in artifacts(mlflow, run.info.run_id)
    (logged,) = mlflow.search_logged_models(output_format="list")
    assert (logged.source_run_id, logged.status) == (run.info.run_id, "READY")
    loaded = mlflow.sklearn.load_model(logged.model_uri)
    assert (loaded.predict(ROWS) == model.predict(ROWS)).all()


def test_lightgbm_is_logged_by_itself(mlflow):
    import lightgbm

    mlflow.lightgbm.autolog(log_models=False)
    try:
        with mlflow.start_run() as run:
            data = lightgbm.Dataset(ROWS, CLASSES)
            params = {"objective": "binary", "num_leaves": 3, "verbose": -1, "num_threads": 1}
            lightgbm.train(params, data, 4, valid_sets=[lightgbm.Dataset(ROWS, CLASSES, reference=data)])
    finally:
        mlflow.lightgbm.autolog(disable=True)
    assert mlflow.get_run(run.info.run_id).data.params["num_leaves"] == "3"
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "valid_0-binary_logloss")
    assert [each.step for each in history] == [0, 1, 2, 3]
    assert history[-1].value < history[0].value
    assert "feature_importance_gain.json" in artifacts(mlflow, run.info.run_id)


def test_xgboost_is_logged_by_itself(mlflow):
    xgboost = pytest.importorskip("xgboost", reason="pip install 'bakeoff[xgboost]'")
    mlflow.xgboost.autolog(log_models=False)
    try:
        with mlflow.start_run() as run:
            xgboost.train({"objective": "binary:logistic", "max_depth": 2}, xgboost.DMatrix(ROWS, CLASSES), 3)
    finally:
        mlflow.xgboost.autolog(disable=True)
    assert mlflow.get_run(run.info.run_id).data.params["max_depth"] == "2"


def test_transformers_trainer_reports_its_losses(mlflow, tmp_path):
    pytest.importorskip("accelerate", reason="the trainer of transformers needs accelerate")
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=1, n_head=1, n_embd=8, vocab_size=16, n_positions=8)
    rows = [{"input_ids": torch.arange(8), "labels": torch.arange(8)}] * 4
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=2, logging_steps=1, report_to=["mlflow"], use_cpu=True, save_strategy="no"
    )
    trainer = transformers.Trainer(model=transformers.GPT2LMHeadModel(config), args=arguments, train_dataset=rows)
    with mlflow.start_run() as run:
        trainer.train()
    assert [each.step for each in mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")] == [1, 2]
    assert mlflow.get_run(run.info.run_id).data.params["n_embd"] == "8"


def test_a_model_is_registered_and_loaded_by_its_alias(mlflow):
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(ROWS, ROWS[:, 1])
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model,
            name="line",
            registered_model_name="line",
            input_example=ROWS[:2],
            pip_requirements=["scikit-learn"],
            serialization_format="cloudpickle",
        )
        mlflow.log_metric("r2", 1.0, model_id=logged.model_id)
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("line", "best", 1)
    loaded = mlflow.pyfunc.load_model("models:/line@best")
    assert loaded.predict(ROWS) == pytest.approx(model.predict(ROWS))
    assert loaded.metadata.signature is not None
    assert logged.model_id in client.get_model_version("line", "1").source
    assert mlflow.get_logged_model(logged.model_id).metrics[0].key == "r2"


def test_an_application_is_evaluated_by_scorers(mlflow):
    from mlflow.genai.scorers import scorer

    @scorer
    def exact(outputs, expectations):
        return outputs == expectations["answer"]

    rows = [
        {"inputs": {"question": "a"}, "expectations": {"answer": "A"}},
        {"inputs": {"question": "b"}, "expectations": {"answer": "x"}},
    ]
    result = mlflow.genai.evaluate(data=rows, predict_fn=lambda question: question.upper(), scorers=[exact])
    assert result.metrics == {"exact/mean": 0.5}
    assert mlflow.get_run(result.run_id).data.metrics["exact/mean"] == 0.5
    traces = mlflow.search_traces(run_id=result.run_id, return_type="list")
    judged = {each.info.request_preview: each.search_assessments(name="exact")[0].value for each in traces}
    assert judged == {'{"question": "a"}': True, '{"question": "b"}': False}


def test_files_go_up_in_parts_and_come_back(mlflow, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "100000")
    content = bytes(range(256)) * 1200
    (tmp_path / "weights.bin").write_bytes(content)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(tmp_path / "weights.bin"), "model")
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="model/weights.bin")
    assert Path(path).read_bytes() == content
