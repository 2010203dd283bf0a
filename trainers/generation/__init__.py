"""Ask any model for text: `types` is the vocabulary, `models` opens models for your own code.

`vllm` asks servers of ours, token ids in and out; `api` asks chat APIs, `local` a model in this process, `functions` a
Python function; `chat_templates` turns conversations into token ids. Nothing here knows what is taught.
"""
