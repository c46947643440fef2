"""Ways to build models: `linear`, `boosting`, `embedding`; each is found by its entry point.

`linear`, `boosting` and `embedding` are the families, `blend`, `cascade` and `calibrated` those whose models are
made of others' (`members`). What they share: `columns` and `targets` read a job's
tables; `text_features`, `table_features` and `onnx_encoder` make numbers of them; `heads` fits linear
models on top; `saved` is how models lie on disk.
"""
