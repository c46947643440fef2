"""What a person should know of rows before a model learns from them."""
