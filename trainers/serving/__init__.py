"""Start `vllm serve` (`processes`) and give it new weights (`weights`). Nothing here knows what is asked of models."""
