"""The forms in which clients ask: the chat, and completions and responses, which are translated to it and back."""
