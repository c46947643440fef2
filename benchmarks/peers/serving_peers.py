"""A model of 30 numbers behind a peer's server: `python serving_peers.py SYSTEM MODEL FOLDER PORT WORKERS`.

FOLDER holds `data.json` (names, rows, labels) and `trees.txt`, LightGBM's text of a model. `fit` as SYSTEM fits the
scikit-learn model and saves both for mlflow. Each server answers `{"rows": [{…}, …]}` with the probabilities of the
second class, but mlflow's, which has a form of its own.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def data(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "data.json").read_text())


def predictor(model: str, folder: Path) -> Any:
    """Rows of numbers to probabilities."""
    import numpy as np

    names = data(folder)["names"]
    if model == "boosting":
        import lightgbm

        booster = lightgbm.Booster(model_file=str(folder / "trees.txt"))
        return lambda rows: booster.predict(_matrix(rows, names), num_threads=1).tolist()
    if model == "numpy":  # the arithmetic of a linear model and nothing else
        values = np.load(folder / "linear.npz")
        center, scale, coef, intercept = (values[name] for name in ("center", "scale", "coef", "intercept"))
        return lambda rows: (1 / (1 + np.exp(-((_matrix(rows, names) - center) / scale @ coef + intercept)))).tolist()
    import joblib

    pipeline = joblib.load(folder / "linear.joblib")
    return lambda rows: pipeline.predict_proba(_matrix(rows, names))[:, 1].tolist()


def _matrix(rows: list[dict[str, float]], names: list[str]) -> Any:
    import numpy as np

    return np.array([[row[name] for name in names] for row in rows], dtype=np.float64)


def fit(folder: Path) -> None:
    """The scikit-learn model; and both as mlflow has them."""
    import joblib
    import lightgbm
    import mlflow
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    given = data(folder)
    table = pd.DataFrame(given["rows"])[given["names"]]
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(table.to_numpy(), given["labels"])
    joblib.dump(pipeline, folder / "linear.joblib")
    scaler, head = pipeline.steps[0][1], pipeline.steps[1][1]
    np.savez(
        folder / "linear.npz", center=scaler.mean_, scale=scaler.scale_, coef=head.coef_[0], intercept=head.intercept_
    )
    mlflow.sklearn.save_model(pipeline, str(folder / "mlflow-linear"), serialization_format="cloudpickle")
    booster = lightgbm.Booster(model_file=str(folder / "trees.txt"))
    mlflow.lightgbm.save_model(booster, str(folder / "mlflow-boosting"))


def serve_bare(predict: Any, port: int, workers: int) -> None:
    """Starlette and uvicorn with the model in the handler."""
    import msgspec
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def answer(request: Any) -> Any:
        rows = msgspec.json.decode(await request.body())["rows"]
        return Response(msgspec.json.encode({"predictions": predict(rows)}), media_type="application/json")

    app = Starlette(routes=[Route("/predict", answer, methods=["POST"])])
    if workers > 1 and os.fork() == 0:  # two processes at one port
        pass
    import socket

    listening = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        listening.setsockopt(socket.SOL_SOCKET, option, 1)
    listening.bind(("127.0.0.1", port))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    server.run(sockets=[listening])


if "litserve" in sys.argv:  # its workers look the class up in this module
    import litserve

    class Api(litserve.LitAPI):
        def setup(self, device: str) -> None:
            del device
            self.model = predictor(sys.argv[2], Path(sys.argv[3]))

        def decode_request(self, request):  # a type would be read as that of a query
            return request["rows"]

        def predict(self, x: Any) -> Any:
            return self.model(x)

        def encode_response(self, output: Any) -> Any:
            return {"predictions": output}


def serve_litserve(port: int, workers: int) -> None:
    """LitServe as it is, with workers for the model and for the API."""
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, num_api_servers=workers, log_level="error", generate_client_file=False)


def serve_ray(model: str, folder: Path, port: int, workers: int) -> None:
    """Ray Serve: a proxy and replicas."""
    import time

    import ray
    from ray import serve

    ray.init(num_cpus=max(workers, 1), include_dashboard=False, log_to_driver=False)

    @serve.deployment(num_replicas=workers, max_ongoing_requests=100)
    class Predictor:
        def __init__(self) -> None:
            sys.path.insert(0, str(Path(__file__).parent))
            from serving_peers import predictor as made

            self.predict = made(model, folder)

        async def __call__(self, request: Any) -> Any:
            return {"predictions": self.predict((await request.json())["rows"])}

    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Predictor.bind(), route_prefix="/predict")
    while True:
        time.sleep(3600)


BENTO = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import bentoml
from serving_peers import predictor

@bentoml.service(workers={workers}, traffic={{"timeout": 60}})
class Predictor:
    def __init__(self) -> None:
        self.model = predictor({model!r}, Path({folder!r}))

    @bentoml.api
    def predict(self, rows: list[dict[str, float]]) -> dict:
        return {{"predictions": self.model(rows)}}
"""


def main() -> None:
    system, model, folder, port, workers = sys.argv[1:]
    where, number, count = Path(folder), int(port), int(workers)
    scripts = Path(sys.executable).parent
    if system == "fit":
        fit(where)
    elif system == "mlflow":
        command = [str(scripts / "mlflow"), "models", "serve", "-m", str(where / f"mlflow-{model}"), "-p", port]
        os.environ["PATH"] = f"{scripts}:{os.environ['PATH']}"
        os.execv(command[0], [*command, "--env-manager", "local", "-w", workers])
    elif system == "bentoml":
        text = BENTO.format(here=str(Path(__file__).parent), workers=count, model=model, folder=folder)
        (where / f"bento_{model}_{count}.py").write_text(text)
        command = [str(scripts / "bentoml"), "serve", f"bento_{model}_{count}:Predictor", "--port", port]
        os.chdir(where)
        os.environ["BENTOML_DO_NOT_TRACK"] = "true"
        os.execv(command[0], [*command, "--host", "127.0.0.1"])
    elif system == "litserve":
        serve_litserve(number, count)
    elif system == "ray":
        serve_ray(model, where, number, count)
    else:
        serve_bare(predictor("numpy" if system == "bare numpy" else model, where), number, count)


if __name__ == "__main__":
    main()
