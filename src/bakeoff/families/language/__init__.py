"""Language models on this machine: `prompted`, `lora`, `full`, `encoder`.

`catalogue` knows models by name and `footprint` what they need; `sources` fetches one and `convert` brings it into one
form (safetensors, tokenizer, chat template) in the project's cache; `backbone` runs it. `prompts` makes rows into
tokens, `likelihood` scores labels as their continuations, `calibration` mends what those scores favour. `examples`,
`objectives`, `training` and `checkpoints` fine-tune; `tuned` is the fitted model and `storing` how it lies on disk.
"""
